"""Small wheels and source archives, built here: an index in a folder."""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ANY = "py3-none-any"
NATIVE = "cp314-cp314-manylinux_2_17_x86_64"


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = ANY,
    requires: Iterable[str] = (),
    headers: Iterable[str] = ("License-Expression: MIT",),
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a wheel with one package `name`, or with `files` instead; return its path."""
    module = name.replace("-", "_")
    content = dict(files if files is not None else {f"{module}/__init__.py": b"VALUE = 1\n"})
    info = f"{module}-{version}.dist-info"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *headers]
    lines += [f"Requires-Dist: {one}" for one in requires]
    content[f"{info}/METADATA"] = "\n".join([*lines, "", "About it.\n"]).encode()
    content[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    )
    record = "".join(f"{path},sha256={_hash(data)},{len(data)}\n" for path, data in content.items())
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    target = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(path, data)
    return target


def source(folder: Path, name: str, version: str, ran: Path) -> None:
    """Write a source archive whose setup.py would leave the file `ran` behind."""
    content = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "setup.py": f"open({str(ran)!r}, 'w').close()\n",
    }
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
        for path, text in content.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
