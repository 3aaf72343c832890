"""U1: every template is a sound plugin from the first minute; nothing is fetched or enabled."""

import os
import subprocess
import sys
import zipfile

import pytest

from yoi.errors import PackageError
from yoi.packages import TEMPLATES, Status, create_from_template, inspect, pack, read_package


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_plugin_is_sound_and_packs(tmp_path, template):
    made = create_from_template(template, tmp_path / "my-plugin")
    assert made.id == "my-plugin"
    assert {"plugin.toml", "plugin.py", "README.md", "tests/test_plugin.py"} <= set(made.files)
    package = read_package(made.destination)
    inspection = inspect(package, None)
    assert inspection.findings == ()
    assert inspection.status is Status.DISABLED
    assert b"@ID@" not in b"".join(package.files.values())
    assert set(package.files) == {"plugin.toml", "plugin.py", "README.md"}
    result = pack(made.destination)
    assert zipfile.ZipFile(result.path).testzip() is None
    assert (
        os.listdir(tmp_path) == ["my-plugin", "my-plugin.yoi-plugin"]
        or len(os.listdir(tmp_path)) == 2
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_authors_own_tests_pass(tmp_path, template):
    """U2: a plugin is tested with plain pytest, without Yoi running."""
    create_from_template(template, tmp_path / "p")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "p",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def refused(template, destination, plugin_id=None):
    with pytest.raises(PackageError) as caught:
        create_from_template(template, destination, plugin_id)
    return caught.value.code


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "p").mkdir()
    create_from_template("tool", tmp_path / "p", "other-id")
    assert read_package(tmp_path / "p").id == "other-id"


def test_what_is_there_is_never_touched(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "mine").write_text("1")
    assert refused("tool", folder) == "package.exists"
    assert refused("tool", folder / "mine") == "package.exists"
    link = tmp_path / "link"
    (tmp_path / "empty").mkdir()
    link.symlink_to(tmp_path / "empty")
    assert refused("tool", link) == "package.exists"
    assert os.listdir(folder) == ["mine"]
    assert os.listdir(tmp_path / "empty") == []


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    assert refused("tool", tmp_path / "p") == "package.io"
    assert os.listdir(tmp_path) == []


def test_names_that_cannot_be_ids(tmp_path):
    assert refused("tool", tmp_path / "my plugin") == "package.malformed"
    assert refused("tool", tmp_path / "p", "../x") == "package.malformed"
    assert refused("rust", tmp_path / "p") == "package.missing"
    assert os.listdir(tmp_path) == []
