"""P9: archives are hostile input. Each attack has its own typed refusal; nothing is extracted."""

import io
import re
import stat
import struct
import tracemalloc
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yoi.errors import PackageError
from yoi.limits import LIMITS
from yoi.packages.archive import read_archive
from yoi.packages.writer import build_archive


@dataclass
class Member:
    """One entry of a hand-made ZIP; whatever is None follows from the content."""

    name: bytes = b"a.txt"
    content: bytes = b"hello"
    raw: bytes | None = None
    method: int = 0
    flags: int = 0x0800
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    attributes: int = 0
    extra: bytes = b""
    central_extra: bytes = b""
    local: dict = field(default_factory=dict)
    offset: int | None = None
    version: int = 20
    descriptor: bytes = b""


def deflated(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def make_zip(*members, prefix=b"", gap=b"", tail=b"", comment=b"", **end):
    body, directory = bytearray(prefix), bytearray()
    for member in members:
        raw = deflated(member.content) if member.method == 8 else member.content
        raw = raw if member.raw is None else member.raw
        shared = {
            "version": member.version,
            "flags": member.flags,
            "method": member.method,
            "crc": zlib.crc32(member.content) if member.crc is None else member.crc,
            "packed": len(raw) if member.packed is None else member.packed,
            "size": len(member.content) if member.size is None else member.size,
            "name": member.name,
        }
        offset = len(body) if member.offset is None else member.offset

        def header(fields, extra):
            return struct.pack(
                "<HHHHHIIIHH", fields["version"], fields["flags"], fields["method"], 0, 33,
                fields["crc"], fields["packed"], fields["size"], len(fields["name"]), len(extra),
            )  # fmt: skip

        local = shared | member.local
        body += b"PK\x03\x04" + header(local, member.extra) + local["name"] + member.extra
        body += raw + member.descriptor + gap
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + header(shared, member.central_extra)
        directory += struct.pack("<HHHII", 0, 0, 0, member.attributes, offset)
        directory += member.name + member.central_extra
    fields = {
        "disk": 0, "start_disk": 0, "here": len(members), "total": len(members),
        "size": len(directory), "offset": len(body),
    } | end  # fmt: skip
    return (
        bytes(body)
        + bytes(directory)
        + struct.pack("<4sHHHHIIH", b"PK\x05\x06", *fields.values(), len(comment))
        + comment
        + tail
    )


def refused(data):
    with pytest.raises(PackageError) as caught:
        read_archive(data)
    assert len(caught.value.message) <= 1024
    return caught.value.code


def test_the_hand_made_zip_is_sound():
    data = make_zip(Member(), Member(b"b/c.txt", b"x" * 1000, method=8))
    assert read_archive(data) == {"a.txt": b"hello", "b/c.txt": b"x" * 1000}
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        assert other.testzip() is None


def mode(kind):
    return (kind | 0o644) << 16


HOSTILE = {
    "empty file": (b"", "package.malformed"),
    "not a zip": (b"#!/bin/sh\n" * 50, "package.malformed"),
    "parent": (make_zip(Member(b"../a")), "package.traversal"),
    "inner parent": (make_zip(Member(b"a/../../b")), "package.traversal"),
    "absolute": (make_zip(Member(b"/etc/passwd")), "package.traversal"),
    "home": (make_zip(Member(b"~/a")), "package.traversal"),
    "drive": (make_zip(Member(b"C:a")), "package.traversal"),
    "backslash": (make_zip(Member(b"a\\..\\b")), "package.traversal"),
    "dot segment": (make_zip(Member(b"a/./b")), "package.traversal"),
    "empty segment": (make_zip(Member(b"a//b")), "package.traversal"),
    "empty name": (make_zip(Member(b"")), "package.traversal"),
    "only a slash": (make_zip(Member(b"/", b"")), "package.traversal"),
    "folder parent": (make_zip(Member(b"../", b"")), "package.traversal"),
    "NUL": (make_zip(Member(b"a\0b")), "package.malformed"),
    "newline": (make_zip(Member(b"a\nb")), "package.malformed"),
    "bidi override": (make_zip(Member("a\u202eb".encode())), "package.malformed"),
    "not UTF-8": (make_zip(Member(b"\xff\xfe")), "package.malformed"),
    "UTF-8 not marked": (make_zip(Member("é".encode(), flags=0)), "package.malformed"),
    "long name": (make_zip(Member(b"a" * 2000)), "package.bounds"),
    "symlink": (make_zip(Member(attributes=mode(stat.S_IFLNK))), "package.traversal"),
    "device": (make_zip(Member(attributes=mode(stat.S_IFCHR))), "package.unsupported"),
    "FIFO": (make_zip(Member(attributes=mode(stat.S_IFIFO))), "package.unsupported"),
    "socket": (make_zip(Member(attributes=mode(stat.S_IFSOCK))), "package.unsupported"),
    "folder named as file": (
        make_zip(Member(attributes=mode(stat.S_IFDIR))),
        "package.unsupported",
    ),
    "file marked as folder": (make_zip(Member(attributes=0x10)), "package.malformed"),
    "folder with content": (make_zip(Member(b"a/", b"x")), "package.malformed"),
    "same name": (make_zip(Member(), Member()), "package.duplicate"),
    "case": (make_zip(Member(b"a.PY"), Member(b"A.py")), "package.duplicate"),
    "sharp s": (make_zip(Member("ß".encode()), Member(b"SS")), "package.duplicate"),
    "normalisation": (
        make_zip(Member("\u00e9".encode()), Member("e\u0301".encode())),
        "package.duplicate",
    ),
    "file and folder": (make_zip(Member(b"a"), Member(b"a/b")), "package.duplicate"),
    "folder and file": (make_zip(Member(b"a/b"), Member(b"A")), "package.duplicate"),
    "folder spelled twice": (make_zip(Member(b"a/b"), Member(b"A/c")), "package.duplicate"),
    "encrypted": (make_zip(Member(flags=0x0801)), "package.unsupported"),
    "strong encryption": (make_zip(Member(flags=0x0840)), "package.unsupported"),
    "hidden headers": (make_zip(Member(flags=0x2800)), "package.unsupported"),
    "patch data": (make_zip(Member(flags=0x0820)), "package.unsupported"),
    "bzip2": (make_zip(Member(method=12)), "package.unsupported"),
    "newer version": (make_zip(Member(version=45)), "package.unsupported"),
    "checksum": (make_zip(Member(crc=1)), "package.malformed"),
    "checksum zero, as the ancestor wrote": (make_zip(Member(crc=0)), "package.malformed"),
    "local name": (make_zip(Member(local={"name": b"b.txt"})), "package.malformed"),
    "local size": (make_zip(Member(local={"size": 4})), "package.malformed"),
    "local method": (make_zip(Member(local={"method": 8})), "package.malformed"),
    "local flags": (make_zip(Member(local={"flags": 0x0801})), "package.malformed"),
    "local checksum": (make_zip(Member(local={"crc": 9})), "package.malformed"),
    "two sizes": (make_zip(Member(size=4)), "package.malformed"),
    "size too small": (make_zip(Member(content=b"x" * 99, method=8, size=9)), "package.bounds"),
    "size too large": (
        make_zip(Member(content=b"x" * 99, method=8, size=999)),
        "package.malformed",
    ),
    "file over its bound": (
        make_zip(Member(method=8, size=LIMITS.package_file_bytes + 1)),
        "package.bounds",
    ),
    "sum over the bound": (
        make_zip(*(Member(b"f%d" % n, method=8, size=LIMITS.package_file_bytes) for n in range(9))),
        "package.bounds",
    ),
    "prepended": (make_zip(Member(), prefix=b"MZ junk"), "package.malformed"),
    "shifted": (b"MZ junk" + make_zip(Member()), "package.malformed"),
    "gap": (make_zip(Member(), Member(b"b"), gap=b"hidden"), "package.malformed"),
    "overlap": (
        make_zip(Member(), replace(Member(), name=b"b.txt", offset=0)),
        "package.malformed",
    ),
    "trailing": (make_zip(Member(), tail=b"x"), "package.malformed"),
    "count too small": (make_zip(Member(), Member(b"b"), here=1, total=1), "package.malformed"),
    "count too large": (make_zip(Member(), here=2, total=2), "package.malformed"),
    "too many": (
        make_zip(*(Member(b"f%d" % n, b"") for n in range(LIMITS.package_entries + 1))),
        "package.bounds",
    ),
    "two disks": (make_zip(Member(), disk=1, start_disk=1), "package.unsupported"),
    "ZIP64 count": (make_zip(Member(), here=0xFFFF, total=0xFFFF), "package.unsupported"),
    "ZIP64 offset": (make_zip(Member(), offset=0xFFFFFFFF), "package.unsupported"),
    "ZIP64 extra": (
        make_zip(Member(central_extra=struct.pack("<HHQ", 1, 8, 5))),
        "package.unsupported",
    ),
    "ZIP64 size": (make_zip(Member(size=0xFFFFFFFF, packed=0xFFFFFFFF)), "package.unsupported"),
    "second name": (
        make_zip(Member(central_extra=struct.pack("<HHBI", 0x7075, 6, 1, 0) + b"x")),
        "package.unsupported",
    ),
    "broken extra": (make_zip(Member(central_extra=b"\1\2\3")), "package.malformed"),
    "broken local extra": (make_zip(Member(extra=b"UT\xff\xff")), "package.malformed"),
    "offset into the directory": (make_zip(Member(), Member(b"b", offset=66)), "package.malformed"),
    "descriptor lies": (
        make_zip(Member(flags=0x0808, descriptor=struct.pack("<III", 1, 2, 3))),
        "package.malformed",
    ),
    "descriptor missing": (make_zip(Member(flags=0x0808)), "package.malformed"),
    "broken deflate": (make_zip(Member(method=8, raw=b"\xff" * 9)), "package.malformed"),
    "bytes after the deflate stream": (
        make_zip(Member(method=8, raw=deflated(b"hello") + b"hidden")),
        "package.malformed",
    ),
    "unfinished deflate stream": (
        make_zip(Member(method=8, raw=deflated(b"hello")[:-1])),
        "package.malformed",
    ),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_archives_are_refused(attack):
    data, code = HOSTILE[attack]
    assert refused(data) == code


def test_every_truncation_is_refused():
    data = make_zip(Member(), Member(b"b", b"y" * 30, method=8))
    for length in range(len(data)):
        refused(data[:length])


def test_a_deflate_bomb_costs_no_more_than_it_states():
    # 40 MiB of zeros behind a stated size of 1 KiB.
    packed = deflated(bytes(40 * 1024 * 1024))
    bomb = make_zip(Member(method=8, raw=packed, size=1024, packed=len(packed)))
    tracemalloc.start()
    try:
        assert refused(bomb) == "package.bounds"
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_over_sixteen_megabytes_is_not_even_looked_at():
    assert refused(bytes(LIMITS.package_bytes + 1)) == "package.bounds"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_the_usual_tools_write_is_read(method):
    """Folder entries, compression, dates, modes and data descriptors are ordinary."""
    buffer = io.BytesIO()

    class Unseekable(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return buffer.write(data)

    for sink in (buffer, Unseekable()):
        buffer.seek(0)
        buffer.truncate()
        with zipfile.ZipFile(sink, "w", method) as other:
            other.mkdir("lib")
            other.writestr("lib/a.py", "x = 1\n" * 100)
            other.writestr("grün.txt", "ü")
            other.comment = b"made by hand"
        assert read_archive(buffer.getvalue()) == {
            "lib/a.py": b"x = 1\n" * 100,
            "grün.txt": "ü".encode(),
        }


def test_the_writer_is_deterministic_readable_elsewhere_and_has_real_checksums():
    files = {"b/z.py": b"1", "a.txt": b"", "plugin.toml": b"id = 1"}
    data = build_archive(files)
    assert data == build_archive(dict(reversed(files.items())))
    assert read_archive(data) == files
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        assert other.testzip() is None
        assert {name: other.read(name) for name in other.namelist()} == files
        assert other.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"../a": b""}, "package.traversal"),
        ({"aux.py": b""}, "package.malformed"),
        ({"data/Com1.tar.gz": b""}, "package.malformed"),
        ({"NUL": b""}, "package.malformed"),
        ({"data./x": b""}, "package.malformed"),
        ({"readme ": b""}, "package.malformed"),
        ({"a": b"", "A": b""}, "package.duplicate"),
        ({"a": bytes(LIMITS.package_file_bytes + 1)}, "package.bounds"),
        ({f"f{n}": b"" for n in range(LIMITS.package_entries + 1)}, "package.bounds"),
        ({f"f{n}": bytes(LIMITS.package_file_bytes) for n in range(3)}, "package.bounds"),
    ],
)
def test_the_writer_refuses_what_the_reader_would(files, code):
    with pytest.raises(PackageError) as caught:
        build_archive(files)
    assert caught.value.code == code


NAMES = st.text(st.characters(categories=["Ll", "Lu", "Nd", "Lo"]), min_size=1, max_size=8).filter(
    lambda name: re.fullmatch("(CON|PRN|AUX|NUL|(COM|LPT)[1-9])", name.upper()) is None
)


@settings(max_examples=150)
@given(st.dictionaries(NAMES, st.binary(max_size=200), max_size=6))
def test_writing_and_reading_give_the_same_files(files):
    if len({unicodedata.normalize("NFC", name).casefold() for name in files}) < len(files):
        with pytest.raises(PackageError):
            build_archive(files)
        return
    assert read_archive(build_archive(files)) == files


SEED = make_zip(
    Member(b"plugin.toml", b"id = 'x'\n" * 20, method=8),
    Member(b"lib/", b""),
    Member(b"lib/a.py", b"pass\n"),
    Member(
        b"d", b"z" * 40, flags=0x0808, descriptor=struct.pack("<III", zlib.crc32(b"z" * 40), 40, 40)
    ),
    comment=b"c",
)


@settings(max_examples=600)
@given(
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 40),
    st.binary(max_size=30),
)
@example([(0, 0x50)], 0, b"")
def test_mutations_end_in_files_or_a_package_error(changes, cut, insert):
    """P9: whatever the bytes, the reader answers with bounded files or a typed refusal."""
    data = bytearray(SEED)
    for at, value in changes:
        data[at] = value
    at = changes[0][0]
    data[at : at + cut] = insert
    try:
        files = read_archive(bytes(data))
    except PackageError:
        return
    # Another reader sees the same: nobody can be shown one package and run another.
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as other:
        assert {one: other.read(one) for one in other.namelist() if one[-1] != "/"} == files
    assert sum(map(len, files.values())) <= LIMITS.package_expanded_bytes
    assert all(not name.startswith("/") and ".." not in name.split("/") for name in files)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_noise_is_refused(data):
    with pytest.raises(PackageError):
        read_archive(data)
