"""plugin.lock and libs.zip as a reader meets them: they belong together, or are refused."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import PackageError
from yoi.packages.bounds import LIBRARIES
from yoi.packages.libraries import (
    ARCHIVE_NAME,
    LOCK_NAME,
    Library,
    LibraryLock,
    check_names,
    read_libraries,
)
from yoi.packages.source_review import review_source
from yoi.packages.writer import build_archive

FILES = {"greet/__init__.py": b"x = 1\n", "greet-2.0.dist-info/METADATA": b"Name: greet\n"}
ARCHIVE = build_archive(FILES, LIBRARIES)
LOCK = LibraryLock(
    ("greet",),
    hashlib.sha256(ARCHIVE).hexdigest(),
    (Library("greet", "2.0", "MIT", "greet-2.0-py3-none-any.whl", "0" * 64),),
)


def package(lock=LOCK, archive=ARCHIVE, **more):
    files = {LOCK_NAME: lock if isinstance(lock, bytes) else lock.text().encode()}
    return {**files, ARCHIVE_NAME: archive, **more}


def test_the_lock_reads_back_as_it_was_written():
    found = read_libraries(package())
    assert found is not None
    assert (found.lock, set(found.paths)) == (LOCK, set(FILES))
    assert read_libraries({"plugin.py": b""}) is None


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(TEXT, TEXT, st.lists(TEXT, max_size=4))
def test_any_text_in_a_lock_survives(version, licence, requested):
    library = Library("greet", version, licence, "w", "0" * 64)
    lock = LibraryLock(tuple(requested), "f" * 64, (library,))
    assert LibraryLock.parse(lock.text().encode()) == lock


@pytest.mark.parametrize(
    "files",
    [
        {LOCK_NAME: LOCK.text().encode()},
        {ARCHIVE_NAME: ARCHIVE},
        package(archive=build_archive({**FILES, "greet/more.py": b""}, LIBRARIES)),
        package(replace(LOCK, libraries=(replace(LOCK.libraries[0], version="2.1"),))),
        package(replace(LOCK, libraries=(*LOCK.libraries, replace(LOCK.libraries[0], name="x")))),
        package(replace(LOCK, libraries=LOCK.libraries * 2)),
        package(b"\xff"),
        package(b"version = 2\n"),
        package(b"x" * 100_000),
        package(LOCK.text().replace('sha256 = "0', 'sha256 = "g').encode()),
        package(LOCK.text().replace("[[libraries]]", "[libraries]").encode()),
        package(LOCK.text().replace('requested = ["greet"]', "requested = [1]").encode()),
    ],
)
def test_what_does_not_belong_together_is_refused(files):
    with pytest.raises(PackageError) as refused:
        read_libraries(files)
    assert refused.value.code == "package.lock"
    assert "yoi plugin update" in str(refused.value.hint)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_locks(data):
    with pytest.raises(PackageError):
        LibraryLock.parse(data)


@pytest.mark.parametrize(
    "path", ["json.py", "sqlite3/__init__.py", "yoi_pdk/x.py", "yoi.py", "plugin.py", "inner/x.py"]
)
def test_a_library_never_hides_another_module(path):
    with pytest.raises(PackageError) as refused:
        check_names([path], ["plugin.py", "inner/__init__.py", "words.txt"])
    assert refused.value.code == "package.library_name"


def test_modules_that_the_sandbox_has_no_more_may_come_from_a_library():
    check_names(["telnetlib.py", "distutils/__init__.py", "words/x.txt"], ["words.py"])


def test_the_review_of_source_knows_the_libraries(workspace):
    source = (
        "import greet, none, zoneinfo\n\nclass Echo:\n    pass\n\n\nZ = zoneinfo.ZoneInfo('UTC')\n"
    )
    workspace.write(plugin=source)
    for name, data in package().items():
        (workspace.source / name).write_bytes(data)
    found = [one.message for one in review_source(workspace.write(plugin=source))]
    assert len(found) == 2
    assert "none" in found[0]
    assert "ZoneInfo" in found[1]


def test_time_zones_are_fine_with_their_data_in_the_package(workspace):
    files = {"tzdata/__init__.py": b"", "tzdata-1.dist-info/METADATA": b""}
    archive = build_archive(files, LIBRARIES)
    lock = LibraryLock(
        ("tzdata",),
        hashlib.sha256(archive).hexdigest(),
        (replace(LOCK.libraries[0], name="tzdata", version="1"),),
    )
    source = "import zoneinfo\n\nclass Echo:\n    Z = zoneinfo.ZoneInfo('UTC')\n"
    workspace.write(plugin=source)
    for name, data in package(lock, archive).items():
        (workspace.source / name).write_bytes(data)
    assert review_source(workspace.write(plugin=source)) == []
