"""Read a `.yoi-plugin` archive: a ZIP in which every byte is accounted for, and nothing else.

The archive is hostile input. The reader is its own, because the usual ones are lenient where two
of them then disagree: here local and central headers must agree, entries must tile the file from
its first byte to the central directory without gap or overlap, and sizes are checked before
anything is inflated. Nothing is ever extracted to disk.

Source: PKWARE APPNOTE.TXT 6.3.10 (4.3 layout, 4.4 fields); limits: `yoi.packages.bounds`.
"""

import stat
import struct
import zlib
from dataclasses import dataclass

from yoi.display import printable
from yoi.errors import PackageError
from yoi.packages.bounds import PACKAGE, ArchiveBounds
from yoi.packages.paths import PathSet, check_path

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_CENTRAL_SIGNATURE = b"PK\x01\x02"
_END_SIGNATURE = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
_MAX_COMMENT = 0xFFFF

# 2.0: folders and deflate (4.4.3). A higher one says that the entry needs more than that.
_VERSION = 20
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_DESCRIPTOR = 0x0008
_UTF8 = 0x0800
# Bits 1 and 2 only say how hard the compressor tried.
_KNOWN_FLAGS = 0x0006 | _DESCRIPTOR | _UTF8
_DOS_DIRECTORY = 0x10
_EXTRA_ZIP64, _EXTRA_UNICODE_PATH = 0x0001, 0x7075


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int


def read_archive(data: bytes, bounds: ArchiveBounds = PACKAGE) -> dict[str, bytes]:
    """Return the files in the archive `data`, by path. Folder entries are checked and dropped.

    Raises PackageError: `package.malformed`, `package.unsupported` (ZIP64, encryption, several
    disks, other compression), `package.traversal` (paths and links), `package.duplicate`,
    `package.bounds`. Memory stays within the limits: sizes are summed before anything is inflated.
    """
    if len(data) > bounds.bytes:
        raise PackageError(
            "package.bounds", f"the archive is over {bounds.bytes} bytes", hint=_SMALLER
        )
    directory = _find_directory(data, bounds)
    entries = _central_entries(data, directory)
    names = _checked_names(entries)
    _check_sizes(entries, names, bounds)
    spans = [_local_span(data, entry, directory) for entry in entries]
    _check_tiling(entries, spans, directory)
    files: dict[str, bytes] = {}
    for entry, name, (body, _) in zip(entries, names, spans, strict=True):
        content = _content(data[body : body + entry.packed], entry)
        if not name.endswith("/"):
            files[name] = content
    return files


_SMALLER = "leave out what the plugin does not need at run time"
_REPACK = "pack it again with: yoi plugin pack DIR"


def _malformed(message: str) -> PackageError:
    return PackageError("package.malformed", f"the archive cannot be read: {message}", hint=_REPACK)


def _unsupported(message: str) -> PackageError:
    return PackageError("package.unsupported", f"the archive uses {message}", hint=_REPACK)


def _shown(name: bytes) -> str:
    return f'"{printable(name.decode("utf-8", "replace"), 200)}"'


@dataclass(frozen=True, slots=True)
class _Directory:
    start: int
    end: int
    count: int


def _find_directory(data: bytes, bounds: ArchiveBounds) -> _Directory:
    """Return where the central directory lies: right before the one end record at the very end."""
    at = data.rfind(_END_SIGNATURE, max(0, len(data) - _END.size - _MAX_COMMENT))
    if at == -1 or at + _END.size > len(data):
        raise _malformed("it has no end record (it is not a ZIP file, or it was cut short)")
    _, disk, start_disk, here, total, size, offset, comment = _END.unpack_from(data, at)
    if at + _END.size + comment != len(data):
        raise _malformed("bytes follow the end record")
    if data[max(0, at - 20) : at].startswith(_ZIP64_LOCATOR) or (
        total == 0xFFFF or size == 0xFFFFFFFF or offset == 0xFFFFFFFF
    ):
        raise _unsupported("ZIP64")
    if disk or start_disk or here != total:
        raise _unsupported("several disks")
    if total > bounds.entries:
        raise PackageError(
            "package.bounds",
            f"the archive has {total} entries; at most {bounds.entries} are allowed",
            hint=_SMALLER,
        )
    if offset + size != at:
        raise _malformed("the central directory is not where the end record says")
    return _Directory(offset, at, total)


def _central_entries(data: bytes, directory: _Directory) -> list[_Entry]:
    entries = []
    at = directory.start
    for _ in range(directory.count):
        if at + _CENTRAL.size > directory.end:
            raise _malformed("the central directory is shorter than its count")
        (signature, _, version, flags, method, _, _, crc, packed, size, name_len, extra_len,
         comment_len, disk, _, attributes, offset) = _CENTRAL.unpack_from(data, at)  # fmt: skip
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_len
        at = extra_at + extra_len + comment_len
        if signature != _CENTRAL_SIGNATURE or at > directory.end:
            raise _malformed("the central directory has a broken record")
        name = data[name_at:extra_at]
        if packed == 0xFFFFFFFF or size == 0xFFFFFFFF or offset == 0xFFFFFFFF:
            raise _unsupported("ZIP64")
        if disk:
            raise _unsupported("several disks")
        if version > _VERSION:
            raise _unsupported(f"a newer ZIP version for {_shown(name)}")
        _check_extra(data[extra_at : extra_at + extra_len], name)
        entries.append(_Entry(name, flags, method, crc, packed, size, attributes, offset))
    if at != directory.end:
        raise _malformed("the central directory is longer than its count")
    return entries


def _check_extra(extra: bytes, name: bytes) -> None:
    """Refuse extra fields that would change what an entry is called or how long it is."""
    at = 0
    while at < len(extra):
        if at + 4 > len(extra):
            raise _malformed(f"a broken extra field at {_shown(name)}")
        kind, length = struct.unpack_from("<HH", extra, at)
        at += 4 + length
        if at > len(extra):
            raise _malformed(f"a broken extra field at {_shown(name)}")
        if kind == _EXTRA_ZIP64:
            raise _unsupported("ZIP64")
        if kind == _EXTRA_UNICODE_PATH:
            raise _unsupported(f"a second name for {_shown(name)}")


def _checked_names(entries: list[_Entry]) -> list[str]:
    """Return the entries' names (folders keep their slash) after every check on name and type."""
    paths = PathSet()
    names = []
    for entry in entries:
        _check_features(entry)
        try:
            name = entry.name.decode("utf-8" if entry.flags & _UTF8 else "ascii")
        except UnicodeDecodeError:
            raise _malformed(f"the name {_shown(entry.name)} is not marked as UTF-8") from None
        folder = name.endswith("/")
        check_path(name[:-1] if folder else name)
        _check_type(entry, folder)
        if folder:
            paths.add_folder(name[:-1])
        else:
            paths.add_file(name)
        names.append(name)
    return names


def _check_features(entry: _Entry) -> None:
    if entry.flags & _ENCRYPTED:
        raise _unsupported(f"encryption for {_shown(entry.name)}")
    if entry.flags & ~_KNOWN_FLAGS:
        raise _unsupported(f"unknown flags for {_shown(entry.name)}")
    if entry.method not in (_STORED, _DEFLATED):
        raise _unsupported(f"compression method {entry.method} for {_shown(entry.name)}")


def _check_type(entry: _Entry, folder: bool) -> None:
    mode = stat.S_IFMT(entry.attributes >> 16)
    if mode == stat.S_IFLNK:
        raise PackageError(
            "package.traversal",
            f"{_shown(entry.name)} is a symbolic link",
            hint="put the file itself into the package",
        )
    if mode not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
        raise _unsupported(f"a special file type for {_shown(entry.name)}")
    if entry.attributes & _DOS_DIRECTORY and not folder:
        raise _malformed(f"{_shown(entry.name)} is marked as a folder but named as a file")


def _check_sizes(entries: list[_Entry], names: list[str], bounds: ArchiveBounds) -> None:
    total = 0
    for entry, name in zip(entries, names, strict=True):
        if name.endswith("/") and entry.size:
            raise _malformed(f"the folder {_shown(entry.name)} has content")
        if entry.method == _STORED and entry.packed != entry.size:
            raise _malformed(f"{_shown(entry.name)} is stored with two different sizes")
        if entry.size > bounds.file_bytes:
            raise PackageError(
                "package.bounds",
                f"{_shown(entry.name)} is over {bounds.file_bytes} bytes",
                hint=_SMALLER,
            )
        total += entry.size
    if total > bounds.expanded_bytes:
        raise PackageError(
            "package.bounds",
            f"the files come to {total} bytes; at most {bounds.expanded_bytes} are allowed",
            hint=_SMALLER,
        )


def _local_span(data: bytes, entry: _Entry, directory: _Directory) -> tuple[int, int]:
    """Return where the entry's content starts and where the entry ends, headers agreeing."""
    if entry.offset + _LOCAL.size > directory.start:
        raise _malformed(f"{_shown(entry.name)} lies outside the archive")
    (signature, version, flags, method, _, _, crc, packed, size, name_len, extra_len) = (
        _LOCAL.unpack_from(data, entry.offset)
    )
    name_at = entry.offset + _LOCAL.size
    body = name_at + name_len + extra_len
    end = body + entry.packed
    if signature != _LOCAL_SIGNATURE or end > directory.start:
        raise _malformed(f"{_shown(entry.name)} lies outside the archive")
    name = data[name_at : name_at + name_len]
    if (flags, method, name) != (entry.flags, entry.method, entry.name) or version > _VERSION:
        raise _malformed(f"the two headers of {_shown(entry.name)} disagree")
    _check_extra(data[name_at + name_len : body], entry.name)
    stated = (entry.crc, entry.packed, entry.size)
    if flags & _DESCRIPTOR:
        if (crc, packed, size) not in ((0, 0, 0), stated):
            raise _malformed(f"the two headers of {_shown(entry.name)} disagree")
        return body, _descriptor_end(data, entry, end, directory)
    if (crc, packed, size) != stated:
        raise _malformed(f"the two headers of {_shown(entry.name)} disagree")
    return body, end


def _descriptor_end(data: bytes, entry: _Entry, at: int, directory: _Directory) -> int:
    """Return the end of the data descriptor at `at`; its signature is optional (4.3.9.3)."""
    record = struct.pack("<III", entry.crc, entry.packed, entry.size)
    for candidate in (_DESCRIPTOR_SIGNATURE + record, record):
        if data[at : min(at + len(candidate), directory.start)] == candidate:
            return at + len(candidate)
    raise _malformed(f"the data descriptor of {_shown(entry.name)} disagrees with its header")


def _check_tiling(
    entries: list[_Entry], spans: list[tuple[int, int]], directory: _Directory
) -> None:
    """Refuse overlaps, hidden bytes between entries, and anything before the first one."""
    at = 0
    for entry, (_, end) in sorted(
        zip(entries, spans, strict=True), key=lambda pair: pair[0].offset
    ):
        if entry.offset < at:
            raise _malformed(f"{_shown(entry.name)} overlaps another entry")
        if entry.offset > at:
            raise _malformed(f"bytes before {_shown(entry.name)} belong to no entry")
        at = end
    if at != directory.start:
        raise _malformed("bytes before the central directory belong to no entry")


def _content(packed: bytes, entry: _Entry) -> bytes:
    content = packed if entry.method == _STORED else _inflate(packed, entry)
    if zlib.crc32(content) != entry.crc:
        raise _malformed(f"the content of {_shown(entry.name)} does not match its checksum")
    return content


def _inflate(packed: bytes, entry: _Entry) -> bytes:
    # One byte more than stated is enough to notice that the size was a lie.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(packed, entry.size + 1)
    except zlib.error:
        raise _malformed(f"the compressed content of {_shown(entry.name)} is broken") from None
    if len(content) > entry.size:
        raise PackageError(
            "package.bounds",
            f"{_shown(entry.name)} expands to more than the size it states",
            hint=_REPACK,
        )
    if len(content) != entry.size or not inflater.eof or inflater.unused_data:
        raise _malformed(f"the compressed content of {_shown(entry.name)} is broken")
    return content
