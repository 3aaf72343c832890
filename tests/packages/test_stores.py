"""P2: looking at stores is inventory only. Faults of one package do not hide the others."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from yoi.errors import PackageError
from yoi.limits import LIMITS
from yoi.packages import PackageInventory, Store, add_to_store, stores
from yoi.packages.writer import build_archive

TOML = (Path(__file__).parent / "echo.toml").read_text()


def put(store, name, toml=TOML):
    store.path.mkdir(parents=True, exist_ok=True)
    files = {"plugin.toml": toml.encode(), "plugin.py": b"class Echo: pass\n"}
    (store.path / name).write_bytes(build_archive(files))
    return store.path / name


def codes(inventory):
    return {one.path.name: one.error.code for one in inventory.unreadable}


def test_where_the_stores_are(tmp_path):
    assert Store.project(tmp_path).path == tmp_path / ".yoi" / "plugins"
    data = {"XDG_DATA_HOME": str(tmp_path / "data")}
    assert Store.user(data, tmp_path).path == tmp_path / "data" / "yoi" / "plugins"
    default = tmp_path / ".local" / "share" / "yoi" / "plugins"
    for environ in ({}, {"XDG_DATA_HOME": ""}, {"XDG_DATA_HOME": "relative"}):
        assert Store.user(environ, tmp_path).path == default


def test_an_absent_store_is_empty(tmp_path):
    assert PackageInventory.of(Store.project(tmp_path)) == PackageInventory((), ())


def test_packages_of_several_stores_coexist(tmp_path):
    stores = Store.project(tmp_path), Store.user({}, tmp_path)
    for store in stores:
        put(store, "echo.yoi-plugin")
    inventory = PackageInventory.of(*stores)
    assert [one.reference for one in inventory.packages] == ["project:echo", "user:echo"]
    assert inventory.find("user:echo").source == "user"
    for reference, code in (("echo", "package.ambiguous"), ("other", "package.missing")):
        with pytest.raises(PackageError) as caught:
            inventory.find(reference)
        assert caught.value.code == code


def test_faults_stay_with_their_file(tmp_path):
    store = Store.project(tmp_path)
    put(store, "good.yoi-plugin", TOML.replace('"echo"', '"good"', 1))
    put(store, "bad-toml.yoi-plugin", "nonsense")
    put(store, "one.yoi-plugin")
    put(store, "two.yoi-plugin")
    (store.path / "junk.yoi-plugin").write_bytes(b"junk")
    (store.path / "folder.yoi-plugin").mkdir()
    os.mkfifo(store.path / "fifo.yoi-plugin")
    (store.path / "notes.txt").write_text("not a package")
    (store.path / ".hidden.yoi-plugin").write_text("not looked at")
    outside = tmp_path / "outside.yoi-plugin"
    shutil.copy(store.path / "good.yoi-plugin", outside)
    (store.path / "link.yoi-plugin").symlink_to(outside)
    (store.path / "dangling.yoi-plugin").symlink_to("nowhere")
    inventory = PackageInventory.of(store)
    assert [one.reference for one in inventory.packages] == ["project:good"]
    assert codes(inventory) == {
        "bad-toml.yoi-plugin": "manifest.toml",
        "one.yoi-plugin": "package.duplicate",
        "two.yoi-plugin": "package.duplicate",
        "junk.yoi-plugin": "package.malformed",
        "folder.yoi-plugin": "package.unsupported",
        "fifo.yoi-plugin": "package.unsupported",
        "link.yoi-plugin": "package.traversal",
        "dangling.yoi-plugin": "package.io",
    }


def test_a_store_is_bounded(tmp_path):
    store = Store.project(tmp_path)
    store.path.mkdir(parents=True)
    for number in range(LIMITS.store_packages + 1):
        (store.path / f"p{number:03}.yoi-plugin").write_bytes(b"")
    inventory = PackageInventory.of(store)
    assert len(inventory.unreadable) == LIMITS.store_packages + 1
    assert inventory.unreadable[0].error.code == "package.bounds"


def test_a_store_is_bounded_in_memory(tmp_path, monkeypatch):
    store = Store.project(tmp_path)
    put(store, "a.yoi-plugin", TOML.replace('"echo"', '"a"', 1))
    put(store, "b.yoi-plugin", TOML.replace('"echo"', '"b"', 1))
    monkeypatch.setattr(stores, "LIMITS", replace(LIMITS, store_expanded_bytes=len(TOML) + 99))
    inventory = PackageInventory.of(store)
    assert [one.id for one in inventory.packages] == ["a"]
    assert codes(inventory) == {"b.yoi-plugin": "package.bounds"}


def test_adding_packs_a_folder_and_copies_an_archive(workspace, tmp_path):
    first = workspace.write()
    assert first.reference == "project:echo"
    other = Store.user({}, tmp_path)
    copied = add_to_store(first.path, other)
    assert copied.digest == first.digest
    assert copied.path.read_bytes() == first.path.read_bytes()
    assert os.listdir(other.path) == ["echo.yoi-plugin"]


def test_adding_a_newer_version_replaces_the_older(workspace):
    old = workspace.write()
    new = workspace.write(TOML.replace("0.1.0", "0.2.0"))
    assert new.path == old.path
    assert PackageInventory.of(workspace.store).find("echo").manifest.version == "0.2.0"


def test_adding_never_makes_a_second_of_the_same_id(workspace):
    put(workspace.store, "renamed.yoi-plugin")
    with pytest.raises(PackageError) as caught:
        workspace.write()
    assert caught.value.code == "package.duplicate"
    assert os.listdir(workspace.store.path) == ["renamed.yoi-plugin"]


def test_a_refused_package_leaves_the_store_alone(workspace):
    workspace.source.mkdir()
    (workspace.source / "plugin.toml").write_text("nonsense")
    with pytest.raises(Exception, match="line 1"):
        add_to_store(workspace.source, workspace.store)
    assert not workspace.store.path.exists()


def test_an_interrupted_copy_leaves_the_old_package(workspace, monkeypatch):
    old = workspace.write()

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PackageError) as caught:
        workspace.write(TOML.replace("0.1.0", "0.2.0"))
    assert caught.value.code == "package.io"
    assert os.listdir(workspace.store.path) == ["echo.yoi-plugin"]
    assert workspace.stored().digest == old.digest
