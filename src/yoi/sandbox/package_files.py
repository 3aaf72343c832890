"""The files of one plugin, handed to its guest one by one, when it imports or reads them."""

from base64 import b64encode
from collections.abc import Mapping

import msgspec

from yoi.sandbox.state import HostCalls

READ = "package.read"
_OWN, _LIBRARIES = "plugin/", "libs/"
_decode = msgspec.json.Decoder(tuple[str]).decode
_NO_FILE = msgspec.json.encode(
    {"error": {"code": "package.missing", "message": "no such file in this package"}}
).decode()


class PackageFiles:
    """Answers the runner's `package.read`; every other host call goes to `others`."""

    def __init__(
        self, own: Mapping[str, bytes], libraries: Mapping[str, bytes], others: HostCalls
    ) -> None:
        self._roots = {_OWN: own, _LIBRARIES: libraries}
        self._others = others

    @property
    def own(self) -> list[str]:
        """Return the paths of the package's own files."""
        return list(self._roots[_OWN])

    @property
    def libraries(self) -> list[str]:
        """Return the paths of the files of its libraries."""
        return list(self._roots[_LIBRARIES])

    def __call__(self, op: str, argument: str) -> str:
        """See `HostCalls`."""
        return self._read(argument) if op == READ else self._others(op, argument)

    def _read(self, argument: str) -> str:
        try:
            (path,) = _decode(argument)
        except (msgspec.DecodeError, RecursionError):
            return _NO_FILE
        for root, files in self._roots.items():
            if path.startswith(root) and path[len(root) :] in files:
                return _answer(files[path[len(root) :]])
        return _NO_FILE


def _answer(data: bytes) -> str:
    """Return a file's content as JSON: as text where it is UTF-8, byte for byte either way."""
    try:
        content = {"text": data.decode()}
    except UnicodeDecodeError:
        content = {"base64": b64encode(data).decode()}
    return msgspec.json.encode({"ok": content}).decode()
