"""What of an unpacked wheel goes into a package: its modules and data, nothing that is run."""

import base64
import csv
import hashlib
import os
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from yoi.display import printable
from yoi.errors import PackageError
from yoi.limits import LIMITS
from yoi.packages.bounds import LIBRARIES
from yoi.packages.libraries import canonical
from yoi.packages.paths import check_path

_NATIVE_ENDS = (".so", ".pyd", ".dylib", ".dll")
_NOT_TAKEN = frozenset(
    {"RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json", "uv_cache.json",
     "entry_points.txt", "top_level.txt"}
)  # fmt: skip
"""Of a dist-info folder: what says how it was installed, and programs that nothing starts."""
_ELSEWHERE = ("bin/", "share/", "etc/", "include/")
"""Where a wheel puts what is for the machine, not for `import`."""
_LICENCE_CHARS = 64


class Unpacked:
    """One distribution in a folder of unpacked wheels."""

    def __init__(self, folder: Path, dist_info: Path) -> None:
        self._folder = folder
        self._dist_info = dist_info
        text = (dist_info / "METADATA").read_text(encoding="utf-8", errors="replace")
        self._metadata = HeaderParser().parsestr(text)

    @classmethod
    def all_of(cls, folder: Path) -> "dict[str, Unpacked]":
        """Return the distributions in `folder`, by canonical name."""
        found = {}
        for dist_info in sorted(folder.glob("*.dist-info")):
            found[canonical(dist_info.name.partition("-")[0])] = cls(folder, dist_info)
        return found

    @property
    def version(self) -> str:
        """Return its version, as the name of its dist-info folder has it."""
        return self._dist_info.stem.partition("-")[2]

    @property
    def requires(self) -> list[str]:
        """Return what it needs, as its metadata write it."""
        return [str(one) for one in self._metadata.get_all("Requires-Dist", [])]

    @property
    def licence(self) -> str:
        """Return the licence as the metadata say it, in a few words."""
        said = str(self._metadata.get("License-Expression") or "")
        if not said:
            marks = [str(one) for one in self._metadata.get_all("Classifier", [])]
            kinds = [one.rpartition(" :: ")[2] for one in marks if one.startswith("License ::")]
            said = ", ".join(kinds)
        if not said:
            said = str(self._metadata.get("License") or "").strip().split("\n")[0]
        return printable(said.strip(), _LICENCE_CHARS) or "unknown"

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of each file that goes into the package.

        Raises PackageError: `package.library_native` for compiled code, `package.traversal` and
        `package.malformed` for paths, `package.library_hash` for a file unlike its record.
        """
        record = (self._dist_info / "RECORD").read_text(encoding="utf-8", errors="replace")
        for row in csv.reader(record.splitlines()):
            path, digest = row[0], row[1] if len(row) > 1 else ""
            if _taken(path):
                if path.endswith(_NATIVE_ENDS) or ".so." in path:
                    raise PackageError(
                        "package.library_native",
                        f"{self._dist_info.stem} has compiled code: {path}",
                        hint="use another library",
                    )
                yield path, self._content(check_path(path), digest)

    def _content(self, path: str, digest: str) -> bytes:
        fd = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            content = file.read(LIMITS.library_bytes + 1)
        name, _, expected = digest.partition("=")
        if name != "sha256" or expected != _record_hash(content):
            raise PackageError(
                "package.library_hash",
                f"{path} is not the file that {self._dist_info.stem} lists",
                hint="two libraries bring the same file, or the archive is damaged",
            )
        return content


def library_files(found: "dict[str, Unpacked]") -> dict[str, bytes]:
    """Return the files of all distributions. Raises PackageError, also `package.bounds`."""
    files: dict[str, bytes] = {}
    room = LIBRARIES.expanded_bytes
    for one in found.values():
        for path, content in one.files():
            files[path] = content
            room -= len(content)
            if room < 0 or len(files) > LIBRARIES.entries:
                raise PackageError(
                    "package.bounds",
                    f"the libraries are over {LIBRARIES.expanded_bytes} bytes or "
                    f"{LIBRARIES.entries} files together",
                    hint="use smaller libraries, or fewer",
                )
    return files


def _taken(path: str) -> bool:
    parts = path.split("/")
    if parts[0].endswith(".dist-info") and parts[-1] in _NOT_TAKEN:
        return False
    if path.startswith(_ELSEWHERE) or "__pycache__" in parts:
        return False
    return not path.endswith((".pyc", ".pth"))


def _record_hash(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
