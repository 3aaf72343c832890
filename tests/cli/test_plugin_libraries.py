"""`yoi plugin add | remove | update | libraries`, and where libraries are shown."""

import json

import pytest
from tests.cli.packages import write_plugin
from tests.libraries.wheels import NATIVE, wheel


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder of wheels that stands for an index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    config = tmp_path / "uv.toml"
    config.write_text("no-index = true\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(config))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    wheel(folder, "greet", "1.0", requires=["word"])
    wheel(folder, "word", "3.1", headers=["License: BSD"])
    return folder


def test_the_life_of_a_library_from_add_to_remove(yoi, workspace, wheels):
    """Added, shown in check, pack, enable and list, updated, removed; each answer has its JSON."""
    write_plugin(workspace / "relay")
    options = ("--find-links", wheels)
    ran = yoi("plugin", "add", "greet", "--dir", "relay", *options)
    assert ran.status == 0, ran.err
    assert "+ greet 1.0 (MIT)" in ran.out
    assert "next: yoi plugin check relay" in ran.out
    assert "greet 1.0 (MIT), word 3.1 (BSD)" in yoi("plugin", "check", "relay").out
    listed = json.loads(yoi("plugin", "libraries", "-d", "relay", "--json").out)
    assert listed["requested"] == ["greet"]
    assert [one["name"] for one in listed["libraries"]] == ["greet", "word"]

    assert yoi("plugin", "pack", "relay", "-o", "one.yoi-plugin").status == 0
    assert yoi("plugin", "pack", "relay", "-o", "two.yoi-plugin").status == 0
    assert (workspace / "one.yoi-plugin").read_bytes() == (
        workspace / "two.yoi-plugin"
    ).read_bytes()
    ran = yoi("plugin", "enable", "one.yoi-plugin", "--grant-requested", "--yes", "-c", "channel=x")
    assert ran.status == 0, ran.err
    assert "word 3.1 (BSD)" in ran.out
    assert "project:relay brings greet 1.0 (MIT), word 3.1 (BSD)" in yoi("plugin", "list").out

    wheel(wheels, "greet", "1.1")
    ran = yoi("plugin", "update", "-d", "relay", *options)
    assert (ran.status, "greet 1.1" in ran.err, "--yes" in ran.err) == (2, True, True)
    ran = yoi("plugin", "update", "-d", "relay", "--yes", "--json", *options)
    answer = json.loads(ran.out)
    assert answer["status"] == "updated"
    assert [one["version"] for one in answer["added"]] == ["1.1"]
    assert [one["name"] for one in answer["removed"]] == ["greet", "word"]

    ran = yoi("plugin", "enable", "./relay", "--grant-requested", "--yes", "-c", "channel=x")
    assert "+ greet 1.1 (MIT)" in ran.out
    assert "- word 3.1 (BSD)" in ran.out

    assert yoi("plugin", "remove", "greet", "-d", "relay", *options).status == 0
    assert "no libraries" in yoi("plugin", "libraries", "-d", "relay").out
    assert sorted(path.name for path in (workspace / "relay").iterdir()) == [
        "plugin.py",
        "plugin.toml",
    ]


def test_what_the_person_says_no_to_is_not_written(yoi, workspace, wheels, monkeypatch):
    write_plugin(workspace / "relay")
    assert yoi("plugin", "add", "greet", "-d", "relay", "--find-links", wheels).status == 0
    wheel(wheels, "greet", "1.1", requires=["word"])
    before = (workspace / "relay" / "plugin.lock").read_bytes()
    asked = []
    monkeypatch.setattr("yoi.cli.plugin_libraries.check_can_ask", lambda **_: None)
    monkeypatch.setattr("typer.confirm", lambda question, **_: asked.append(question) or False)
    ran = yoi("plugin", "update", "-d", "relay", "--find-links", wheels)
    assert (ran.status, asked) == (1, ["Write this?"])
    assert "greet 1.1 (MIT), was 1.0" in ran.out
    assert (workspace / "relay" / "plugin.lock").read_bytes() == before


def test_compiled_code_is_refused_with_what_to_use_instead(yoi, workspace, wheels):
    write_plugin(workspace / "relay")
    wheel(wheels, "jinja2", requires=["markupsafe"])
    wheel(wheels, "markupsafe", tag=NATIVE)
    ran = yoi("plugin", "add", "jinja2", "-d", "relay", "--find-links", wheels, "--json")
    error = json.loads(ran.out)["error"]
    assert ran.status == 1
    assert error["code"] == "package.library_native"
    assert "markupsafe 1.0" in error["message"]
    assert "string.Template" in error["hint"]


def test_a_folder_without_a_plugin_and_a_changed_archive_are_said(yoi, workspace, wheels):
    assert yoi("plugin", "add", "greet").status == 1
    write_plugin(workspace / "relay")
    assert yoi("plugin", "add", "greet", "-d", "relay", "--find-links", wheels).status == 0
    archive = workspace / "relay" / "libs.zip"
    archive.write_bytes(archive.read_bytes()[:-1] + b"\1")
    ran = yoi("plugin", "check", "relay")
    assert ran.status == 1
    assert "[package.lock]" in ran.out
    assert "yoi plugin update" in ran.out
