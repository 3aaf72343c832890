"""P9, U1: a folder is read as what pack would put into its archive; links are refused."""

import os
import socket

import pytest

from yoi.errors import ManifestError, PackageError, YoiError
from yoi.limits import LIMITS
from yoi.packages import pack, read_package
from yoi.packages.archive import read_archive
from yoi.packages.folder import read_folder

TOML = b"""schema_version = 1
id = "echo"
name = "Echo"
version = "0.1.0"
[runtime]
kind = "python"
runner = "1"
entry = "plugin:Echo"
"""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "echo"
    made.mkdir()
    (made / "plugin.toml").write_bytes(TOML)
    (made / "plugin.py").write_text("class Echo:\n    pass\n")
    return made


def put(folder, path, content=b"x"):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def refused(folder):
    with pytest.raises(YoiError) as caught:
        read_package(folder)
    return caught.value.code


LEFT_OUT = {
    ".git/config": (".git/", "version control"),
    ".hg/store": (".hg/", "version control"),
    "CVS/Root": ("CVS/", "version control"),
    ".env": (".env", "dotfile"),
    ".venv/bin/python": (".venv/", "dotfile"),
    "lib/.DS_Store": ("lib/.DS_Store", "dotfile"),
    "__pycache__/a.pyc": ("__pycache__/", "cache"),
    "lib/__pycache__/a.pyc": ("lib/__pycache__/", "cache"),
    "lib/a.pyc": ("lib/a.pyc", "cache"),
    "node_modules/a/b.js": ("node_modules/", "cache"),
    "dist/a.whl": ("dist/", "build output"),
    "target/a": ("target/", "build output"),
    "old.yoi-plugin": ("old.yoi-plugin", "build output"),
    "tests/test_a.py": ("tests/", "tests are not run by the host"),
    "plugin.py~": ("plugin.py~", "cache"),
}


@pytest.mark.parametrize("path", LEFT_OUT)
def test_what_is_left_out_is_said(folder, path):
    before = read_package(folder).digest
    put(folder, path)
    package = read_package(folder)
    assert [(one.path, one.reason) for one in package.left_out] == [LEFT_OUT[path]]
    assert package.digest == before
    assert set(package.files) == {"plugin.toml", "plugin.py"}


@pytest.mark.parametrize("path", ["lib/tests/a.py", "build.py", "dist", "data/venv"])
def test_ordinary_names_that_only_look_like_it_stay(folder, path):
    put(folder, path)
    assert path in read_package(folder).files


def test_a_folder_and_its_archive_have_the_same_digest(folder):
    put(folder, ".git/x")
    put(folder, "lib/a.py", b"A = 1\n")
    result = pack(folder)
    assert result.path == folder.with_name("echo.yoi-plugin")
    assert result.package.left_out[0].path == ".git/"
    again = read_package(result.path)
    assert again.digest == result.package.digest == read_package(folder).digest
    first = result.path.read_bytes()
    assert pack(folder, replace=True).path.read_bytes() == first


def test_pack_never_overwrites_unasked(folder, tmp_path):
    target = tmp_path / "out.yoi-plugin"
    target.write_bytes(b"mine")
    with pytest.raises(PackageError) as caught:
        pack(folder, target)
    assert caught.value.code == "package.exists"
    assert "--force" in caught.value.hint
    assert target.read_bytes() == b"mine"
    pack(folder, target, replace=True)
    assert read_archive(target.read_bytes())["plugin.toml"] == TOML


def test_pack_replaces_a_link_and_not_what_it_points_to(folder, tmp_path):
    precious, target = tmp_path / "precious", tmp_path / "out.yoi-plugin"
    precious.write_bytes(b"mine")
    target.symlink_to(precious)
    with pytest.raises(PackageError):
        pack(folder, target)
    pack(folder, target, replace=True)
    assert precious.read_bytes() == b"mine"
    assert not target.is_symlink()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("plugin.py", b"class Echo(:\n"),
        ("plugin.py", b"class Other: pass\n"),
        ("plugin.toml", TOML.replace(b"Echo", b"Ec\xffho")),
        ("plugin.toml", TOML + b'[[tools]]\nname = "t"\ninput_schema = { type = "string" }\n'),
    ],
)
def test_pack_refuses_what_would_not_run_and_writes_nothing(folder, tmp_path, path, content):
    put(folder, path, content)
    with pytest.raises(YoiError):
        pack(folder)
    assert os.listdir(tmp_path) == ["echo"]


def test_a_disk_that_is_full_leaves_no_litter(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PackageError) as caught:
        pack(folder)
    assert caught.value.code == "package.io"
    assert os.listdir(tmp_path) == ["echo"]


@pytest.mark.parametrize("target", ["/etc/passwd", "plugin.py", ".", "nowhere"])
def test_links_inside_are_refused(folder, target):
    (folder / "link").symlink_to(target)
    assert refused(folder) == "package.traversal"


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert read_package(tmp_path / "link").digest == read_package(folder).digest


def test_special_files_are_left_out_without_waiting(folder):
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "sock"))
        package = read_package(folder)
    assert {(one.path, one.reason) for one in package.left_out} == {
        ("pipe", "not a regular file"),
        ("sock", "not a regular file"),
    }


def test_a_fifo_as_the_package_does_not_hold_the_reader(tmp_path):
    os.mkfifo(tmp_path / "p.yoi-plugin")
    with pytest.raises(PackageError) as caught:
        read_package(tmp_path / "p.yoi-plugin")
    assert caught.value.code == "package.unsupported"


def test_bounds(folder):
    put(folder, "big", bytes(LIMITS.package_file_bytes + 1))
    assert refused(folder) == "package.bounds"
    (folder / "big").unlink()
    for number in range(3):
        put(folder, f"big{number}", bytes(LIMITS.package_file_bytes - 100))
    assert refused(folder) == "package.bounds"


def test_too_many_files_and_too_deep_folders(tmp_path):
    for number in range(LIMITS.package_entries + 1):
        put(tmp_path / "many", f"f{number}")
    with pytest.raises(PackageError, match="more than 512 files"):
        read_folder(tmp_path / "many")
    put(tmp_path / "deep", "/".join("d" * 40) + "/f")
    with pytest.raises(PackageError, match="nested"):
        read_folder(tmp_path / "deep")


def test_names_that_are_not_text(folder):
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    assert refused(folder) == "package.malformed"


def test_names_that_clash(folder):
    put(folder, "README")
    put(folder, "readme")
    assert refused(folder) == "package.duplicate"


def test_what_is_missing_is_named(tmp_path, folder):
    with pytest.raises(PackageError) as caught:
        read_package(tmp_path / "nowhere")
    assert caught.value.code == "package.io"
    (folder / "plugin.py").unlink()
    with pytest.raises(ManifestError) as missing:
        read_package(folder)
    assert (missing.value.code, missing.value.fields["at"]) == ("manifest.missing", "runtime.entry")
    (folder / "plugin.toml").unlink()
    assert refused(folder) == "manifest.missing"


def test_a_component_in_a_build_folder_is_explained(folder):
    runtime = b'[runtime]\nkind = "wasm-component"\ncomponent = "target/a.wasm"\n'
    runtime += b'world = "yoi:plugin/instance@1.0.0"\n'
    put(folder, "plugin.toml", TOML[: TOML.index(b"[runtime]")] + runtime)
    put(folder, "target/a.wasm", b"\0asm")
    with pytest.raises(ManifestError, match="left out"):
        read_package(folder)
