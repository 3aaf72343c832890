"""Adding, removing, updating libraries of a source folder, with a real resolver and real wheels."""

import zipfile

import pytest

from yoi.errors import PackageError
from yoi.libraries import LibraryFolder
from yoi.limits import LIMITS
from yoi.packages import read_package

from .wheels import NATIVE, source, wheel


def labels(libraries):
    return [one.label for one in libraries]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_library_comes_with_what_it_needs_in_the_sandbox_and_nothing_else(wheels, plugin, added):
    """Markers are judged for the guest: wasi, CPython 3.14, whatever this host is."""
    needs = [
        "word",
        'never; sys_platform == "linux"',
        'never; python_version < "3.14"',
        'only; sys_platform == "wasi"',
        'never; extra == "more"',
    ]
    wheel(
        wheels,
        "greet",
        "2.0",
        requires=needs,
        headers=["Classifier: License :: OSI Approved :: BSD License"],
    )
    wheel(wheels, "word", "1.5")
    wheel(wheels, "only")
    wheel(wheels, "never")
    change = added("greet")
    assert labels(change.after) == ["greet 2.0 (BSD License)", "only 1.0 (MIT)", "word 1.5 (MIT)"]
    package = read_package(plugin)
    assert package.library_list == change.after
    assert set(package.library_files()) == {
        f"{name}/__init__.py" for name in ("greet", "only", "word")
    } | {f"{info}.dist-info/METADATA" for info in ("greet-2.0", "only-1.0", "word-1.5")}


def test_the_same_libraries_are_always_the_same_bytes_and_change_the_digest(wheels, plugin, added):
    wheel(wheels, "greet", requires=["word"])
    wheel(wheels, "word")
    bare = read_package(plugin).digest
    added("greet")
    first = {name: (plugin / name).read_bytes() for name in ("libs.zip", "plugin.lock")}
    digest = read_package(plugin).digest
    added("greet==1.0")
    assert (plugin / "libs.zip").read_bytes() == first["libs.zip"]
    added("greet")
    assert {name: (plugin / name).read_bytes() for name in first} == first
    assert read_package(plugin).digest == digest != bare
    with zipfile.ZipFile(plugin / "libs.zip") as archive:
        assert archive.testzip() is None


def test_adding_one_keeps_the_versions_of_the_others(wheels, added):
    wheel(wheels, "greet", "1.0")
    wheel(wheels, "word", "1.0")
    added("greet")
    wheel(wheels, "greet", "1.1")
    assert labels(added("word").after) == ["greet 1.0 (MIT)", "word 1.0 (MIT)"]


def test_update_takes_the_newest_and_tells_the_difference(wheels, plugin, added, index):
    wheel(wheels, "greet", "1.0", requires=["old"])
    wheel(wheels, "old")
    added("greet")
    wheel(wheels, "greet", "1.1", requires=["new"])
    wheel(wheels, "new")
    before = read_package(plugin).digest
    change = LibraryFolder(plugin).update(index(), [])
    assert labels(change.added) == ["greet 1.1 (MIT)", "new 1.0 (MIT)"]
    assert labels(change.removed) == ["greet 1.0 (MIT)", "old 1.0 (MIT)"]
    assert read_package(plugin).digest == before, "nothing is written before it is applied"


def test_remove_takes_out_what_nothing_else_needs(wheels, plugin, added, index):
    wheel(wheels, "greet", requires=["word"])
    wheel(wheels, "shout", requires=["word"])
    wheel(wheels, "word")
    added("greet", "shout")
    folder = LibraryFolder(plugin)
    change = folder.remove(index(), ["greet"])
    assert (change.still_needed(["greet"]), change.still_needed(["word"])) == ([], ["word"])
    assert labels(change.after) == ["shout 1.0 (MIT)", "word 1.0 (MIT)"]
    folder.apply(change)
    folder = LibraryFolder(plugin)
    folder.apply(folder.remove(index(), ["Shout"]))
    assert names(plugin) == ["plugin.py", "plugin.toml"]


def test_a_lost_archive_is_fetched_again_as_the_lock_names_it(wheels, plugin, added, index):
    wheel(wheels, "greet")
    added("greet")
    archive = (plugin / "libs.zip").read_bytes()
    (plugin / "libs.zip").unlink()
    with pytest.raises(PackageError) as refused:
        read_package(plugin)
    assert refused.value.code == "package.lock"
    folder = LibraryFolder(plugin)
    folder.apply(folder.restore(index()))
    assert (plugin / "libs.zip").read_bytes() == archive


def test_what_is_for_a_machine_or_would_be_run_is_left_out(wheels, plugin, added, tmp_path):
    files = {
        "greet.py": b"",
        "greet.pth": f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()".encode(),
        "greet-1.0.dist-info/entry_points.txt": b"[console_scripts]\ngreet = greet:main\n",
        "greet-1.0.data/scripts/greet.sh": b"#!/bin/sh\n",
        "greet-1.0.data/data/share/man/greet.1": b"man",
    }
    wheel(wheels, "greet", files=files)
    added("greet")
    paths = set(read_package(plugin).library_files())
    assert paths == {"greet.py", "greet-1.0.dist-info/METADATA"}
    assert not (tmp_path / "ran").exists()


def test_what_an_extra_asks_for_is_heard(wheels, added):
    wheel(wheels, "greet", requires=['word<2; extra == "loud"'], headers=["Provides-Extra: loud"])
    wheel(wheels, "word", "1.0")
    wheel(wheels, "word", "2.0")
    assert labels(added("greet[loud]").after) == ["greet 1.0 (unknown)", "word 1.0 (MIT)"]


def test_two_that_need_each_other_are_resolved(wheels, added):
    wheel(wheels, "hen", requires=["egg"])
    wheel(wheels, "egg", requires=["hen"])
    assert labels(added("hen").after) == ["egg 1.0 (MIT)", "hen 1.0 (MIT)"]


def test_metadata_that_only_uv_understands_end_nothing(wheels, added):
    """Real releases have such lines; and a licence is a stranger's text."""
    wheel(wheels, "good", "1.0")
    wheel(wheels, "good", "2.0")
    wheel(
        wheels,
        "odd",
        requires=["good (>=1.0<2.0)"],
        headers=["License: \u202e\x1b[31mMIT" + "x" * 100],
    )
    good, odd = labels(added("odd").after)
    assert good == "good 1.0 (MIT)"
    assert odd.startswith("odd 1.0 (\\u202e\\x1b[31mMITx")


def _missing(wheels, tmp_path):
    pass


def _native(wheels, tmp_path):
    wheel(wheels, "bad", "1.0")
    wheel(wheels, "bad", "2.0", tag=NATIVE)


def _native_below(wheels, tmp_path):
    wheel(wheels, "bad", requires=["deep"])
    wheel(wheels, "deep", tag=NATIVE)


def _native_in_disguise(wheels, tmp_path):
    wheel(wheels, "bad", files={"bad/__init__.py": b"", "bad/fast.cpython-314.so": b"\x7fELF"})


def _source_only(wheels, tmp_path):
    source(wheels, "bad", "1.0", tmp_path / "ran")


def _newest_is_source(wheels, tmp_path):
    wheel(wheels, "bad", "1.0")
    source(wheels, "bad", "2.0", tmp_path / "ran")


def _newest_needs_another_python(wheels, tmp_path):
    wheel(wheels, "bad", "1.0")
    wheel(wheels, "bad", "2.0", headers=["Requires-Python: >=3.15"])


def _newest_needs_what_is_not_there(wheels, tmp_path):
    wheel(wheels, "bad", "1.0")
    wheel(wheels, "bad", "2.0", requires=["nowhere"])


def _older_below(wheels, tmp_path):
    wheel(wheels, "bad", requires=["deep<3"])
    wheel(wheels, "deep", "1.0")
    source(wheels, "deep", "2.0", tmp_path / "ran")


def _standard_library(wheels, tmp_path):
    wheel(wheels, "bad", files={"json/__init__.py": b""})


def _absent_standard_library(wheels, tmp_path):
    wheel(wheels, "bad", files={"sqlite3.py": b""})


def _ours(wheels, tmp_path):
    wheel(wheels, "bad", files={"yoi_pdk/__init__.py": b""})


def _the_plugins(wheels, tmp_path):
    wheel(wheels, "bad", files={"plugin.py": b""})


def _too_large(wheels, tmp_path):
    wheel(wheels, "bad", files={"bad/__init__.py": b"", "bad/data": bytes(200_000_000)})


def _too_large_together(wheels, tmp_path):
    files = {f"bad/data{n}": bytes(LIMITS.library_bytes // 2) for n in range(3)}
    wheel(wheels, "bad", files={"bad/__init__.py": b"", **files})


def _too_many_files(wheels, tmp_path):
    wheel(wheels, "bad", files={f"bad/m{n}.py": b"" for n in range(LIMITS.library_entries + 1)})


def _leads_out(wheels, tmp_path):
    wheel(wheels, "bad", files={"bad/__init__.py": b"", "../evil.py": b""})


def _device(wheels, tmp_path):
    wheel(wheels, "bad", files={"bad/__init__.py": b"", "bad/aux.py": b""})


def _two_cases(wheels, tmp_path):
    wheel(wheels, "bad", files={"bad/__init__.py": b"", "bad/x.py": b"", "bad/X.py": b""})


def _two_of_one_file(wheels, tmp_path):
    wheel(wheels, "bad", requires=["worse"], files={"bad.py": b"", "shared.py": b"1"})
    wheel(wheels, "worse", files={"worse.py": b"", "shared.py": b"22"})


@pytest.mark.parametrize(
    ("index_with", "code"),
    [
        (_missing, "package.library_missing"),
        (_native, "package.library_native"),
        (_native_below, "package.library_native"),
        (_native_in_disguise, "package.library_native"),
        (_source_only, "package.library_source"),
        (_newest_is_source, "package.library_older"),
        (_newest_needs_another_python, "package.library_older"),
        (_newest_needs_what_is_not_there, "package.library_older"),
        (_older_below, "package.library_older"),
        (_standard_library, "package.library_name"),
        (_absent_standard_library, "package.library_name"),
        (_ours, "package.library_name"),
        (_the_plugins, "package.library_name"),
        (_too_large, "package.bounds"),
        (_too_large_together, "package.bounds"),
        (_too_many_files, "package.bounds"),
        (_leads_out, "package.traversal"),
        (_device, "package.malformed"),
        (_two_cases, "package.duplicate"),
        (_two_of_one_file, "package.library_hash"),
    ],
)
def test_a_bad_library_is_refused_and_the_folder_stays(
    index_with, code, wheels, plugin, added, tmp_path
):
    wheel(wheels, "good")
    added("good")
    before = {name: (plugin / name).read_bytes() for name in names(plugin)}
    index_with(wheels, tmp_path)
    with pytest.raises(PackageError) as refused:
        added("bad")
    assert refused.value.code == code, refused.value.message
    assert refused.value.hint
    assert {name: (plugin / name).read_bytes() for name in names(plugin)} == before
    assert not (tmp_path / "ran").exists(), "nothing of a library runs on the host"


def test_an_older_release_is_taken_when_it_is_named(wheels, plugin, added, tmp_path):
    _newest_is_source(wheels, tmp_path)
    assert labels(added("bad==1.0").after) == ["bad 1.0 (MIT)"]


def test_a_hash_that_changed_is_refused(wheels, plugin, added, index):
    path = wheel(wheels, "greet")
    added("greet")
    wheel(wheels, "other")
    path.unlink()
    wheel(wheels, "greet", files={"greet/__init__.py": b"VALUE = 2\n"})
    for change in (
        lambda: LibraryFolder(plugin).add(index(), ["other"]),
        lambda: LibraryFolder(plugin).update(index(), []),
        lambda: LibraryFolder(plugin).restore(index()),
    ):
        with pytest.raises(PackageError) as refused:
            change()
        assert refused.value.code == "package.library_hash"


@pytest.mark.parametrize(
    "wanted", ["", "-r x", "a b", "greet @ file:///x", "./x", 'a; os_name=="x"']
)
def test_only_names_are_taken(wanted, wheels, plugin, index):
    with pytest.raises(PackageError) as refused:
        LibraryFolder(plugin).add(index(), [wanted])
    assert refused.value.code == "package.library_missing"


def test_what_was_not_added_cannot_be_removed_nor_updated(wheels, plugin, added, index):
    with pytest.raises(PackageError, match="no libraries"):
        LibraryFolder(plugin).update(index(), [])
    wheel(wheels, "greet", requires=["word"])
    wheel(wheels, "word")
    added("greet")
    with pytest.raises(PackageError, match="word was not added"):
        LibraryFolder(plugin).remove(index(), ["word"])
    with pytest.raises(PackageError, match="none is not among"):
        LibraryFolder(plugin).update(index(), ["none"])


def test_without_uv_the_error_names_what_to_install(wheels, plugin, index, monkeypatch):
    monkeypatch.setattr("yoi.libraries.index.importlib.import_module", _no_module)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PackageError) as refused:
        LibraryFolder(plugin).add(index(), ["greet"])
    assert refused.value.code == "package.resolver"
    assert refused.value.hint == 'pip install "yoi[libraries]"'


def _no_module(name):
    raise ImportError(name)
