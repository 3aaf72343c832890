"""The cache of compiled code: only what this host compiled is ever loaded.

A compiled component is native code, so a file counts only with a keyed digest under a key that
never leaves the cache folder (mode 0700). Files appear by `os.replace` and are never written
again: wasmtime maps them, and changing a mapped file kills the process.
"""

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from yoi.errors import SandboxError

_KEY_BYTES = 32
_MAC_BYTES = 32


class CodeCache:
    """Compiled components by digest and engine fingerprint, in one private folder."""

    def __init__(self, folder: Path, fingerprint: str, max_files: int) -> None:
        self._max_files = max_files
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.stat()
            if found.st_uid != os.geteuid():
                raise SandboxError(
                    "sandbox.engine", f"the code cache {folder} belongs to another user"
                )
            if stat.S_IMODE(found.st_mode) != 0o700:
                folder.chmod(0o700)
        except OSError as exc:
            raise SandboxError(
                "sandbox.engine",
                f"the code cache {folder} cannot be used: {exc.strerror}",
                hint="set XDG_CACHE_HOME to a folder you own",
            ) from None
        self._folder = folder
        self._fingerprint = fingerprint
        self._key = self._load_key()

    def path_of(self, component_digest: str) -> Path:
        """Return where the code of the component with this sha256 (hex) stands."""
        name = hashlib.sha256(f"{component_digest}\n{self._fingerprint}".encode()).hexdigest()
        return self._folder / f"{name}.cwasm"

    def find(self, component_digest: str) -> Path | None:
        """Return the path of intact code, or None. A file that fails its digest is removed."""
        path = self.path_of(component_digest)
        try:
            expected = path.with_suffix(".mac").read_bytes()
            actual = self._mac(path, path.name)
        except OSError:
            return None
        if secrets.compare_digest(expected, actual):
            with contextlib.suppress(OSError):
                os.utime(path)  # used now: forgotten last
            return path
        self.remove(component_digest)
        return None

    def remove(self, component_digest: str) -> None:
        """Remove the code of a component, if it is there."""
        path = self.path_of(component_digest)
        path.with_suffix(".mac").unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def refused(self, component_digest: str, terms: str) -> str | None:
        """Return why the component could not be compiled under `terms`, if that is remembered."""
        path = self._refusal_path(component_digest, terms)
        try:
            note = path.read_bytes()
        except OSError:
            return None
        if not secrets.compare_digest(
            note[:_MAC_BYTES], self._mac_of(note[_MAC_BYTES:], path.name)
        ):
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return note[_MAC_BYTES:].decode("utf-8", "replace")

    def remember_refusal(self, component_digest: str, terms: str, message: str) -> None:
        """Keep `message` for the next time that the component is to be compiled under `terms`."""
        path = self._refusal_path(component_digest, terms)
        text = message.encode()
        with self.new_file() as note:
            note.write_bytes(self._mac_of(text, path.name) + text)
            os.replace(note, path)
        self._forget_oldest("*.refused")

    def _refusal_path(self, component_digest: str, terms: str) -> Path:
        named = f"{component_digest}\n{self._fingerprint}\n{terms}".encode()
        return self._folder / f"{hashlib.sha256(named).hexdigest()}.refused"

    @contextlib.contextmanager
    def new_file(self) -> Iterator[Path]:
        """Yield the path of an empty private file in the folder; it is gone afterwards."""
        handle, name = tempfile.mkstemp(prefix="new-", dir=self._folder)
        os.close(handle)
        path = Path(name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, component_digest: str, compiled: Path) -> Path:
        """Move `compiled`, made by `new_file`, to its place and vouch for it; return the place."""
        path = self.path_of(component_digest)
        with self.new_file() as note:
            note.write_bytes(self._mac(compiled, path.name))
            # The digest of a code file must never be older than the file.
            path.with_suffix(".mac").unlink(missing_ok=True)
            os.replace(compiled, path)
            os.replace(note, path.with_suffix(".mac"))
        self._forget_oldest("*.cwasm")
        return path

    def _forget_oldest(self, pattern: str) -> None:
        """Keep the files used last. Removing one that is mapped is safe: its pages stay."""
        found: list[tuple[float, Path]] = []
        for path in self._folder.glob(pattern):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path))
        for _, path in sorted(found, reverse=True)[self._max_files :]:
            path.with_suffix(".mac").unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def _mac_of(self, data: bytes, name: str) -> bytes:
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=_MAC_BYTES)
        digest.update(data)
        return digest.digest()

    def _mac(self, path: Path, name: str) -> bytes:
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=_MAC_BYTES)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.digest()

    def _load_key(self) -> bytes:
        path = self._folder / "key"
        for _ in range(2):
            with contextlib.suppress(OSError):
                key = path.read_bytes()
                if len(key) == _KEY_BYTES:
                    return key
            with self.new_file() as note:
                note.write_bytes(secrets.token_bytes(_KEY_BYTES))
                # A second process may be first; then its key counts.
                with contextlib.suppress(FileExistsError):
                    os.link(note, path)
        raise SandboxError("sandbox.engine", f"the key of the code cache {self._folder} is damaged")
