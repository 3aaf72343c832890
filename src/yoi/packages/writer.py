"""Write a `.yoi-plugin` archive: the same files always give the same bytes."""

import struct
import zlib
from typing import TYPE_CHECKING

from yoi.errors import PackageError
from yoi.packages.bounds import PACKAGE, ArchiveBounds
from yoi.packages.paths import PathSet, check_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = 20
_UTF8 = 0x0800
# 1980-01-01: the earliest date the format has; 0 is not a date, and some tools refuse it.
_DATE = (1 << 5) | 1


def build_archive(files: "Mapping[str, bytes]", bounds: ArchiveBounds = PACKAGE) -> bytes:
    """Return `files` as a stored ZIP with real checksums, sorted by path, without dates or modes.

    Nothing is compressed: compressors differ between versions, and the bytes must not. Raises
    PackageError when a path or a size is one the reader would refuse.
    """
    paths = PathSet()
    if len(files) > bounds.entries:
        raise PackageError(
            "package.bounds",
            f"the archive would have {len(files)} files; at most {bounds.entries} are allowed",
        )
    body, directory = bytearray(), bytearray()
    for path in sorted(files, key=str.encode):
        content = files[path]
        paths.add_file(check_path(path))
        if len(content) > bounds.file_bytes:
            raise PackageError("package.bounds", f'"{path}" is over {bounds.file_bytes} bytes')
        name = path.encode()
        common = struct.pack(
            "<HHHHHIIIHH",
            _VERSION, _UTF8, 0, 0, _DATE, zlib.crc32(content), len(content), len(content),
            len(name), 0,
        )  # fmt: skip
        directory += b"PK\x01\x02" + struct.pack("<H", _VERSION) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\x03\x04" + common + name + content
    end = struct.pack(
        "<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), len(body), 0
    )
    archive = bytes(body + directory + end)
    if len(archive) > bounds.bytes:
        raise PackageError(
            "package.bounds",
            f"the archive would have {len(archive)} bytes; at most {bounds.bytes} are allowed",
            hint="leave out what the plugin does not need at run time",
        )
    return archive
