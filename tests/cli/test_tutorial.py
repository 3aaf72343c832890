"""The tutorial is followed in an empty folder: its files are those, its commands end well."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
TYPED = re.compile(r"^    ((?:yoi|cd) [^#\n]+)", re.M)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
STAYS = ("yoi plugin dev", "yoi serve", "yoi service status")
"""These need a host that runs; the tour of README tries them."""
FETCHES = "yoi plugin add"
YES = ["--grant-requested", "--yes"]


def test_each_command_of_the_tutorial_works_where_it_is_typed(yoi, workspace, monkeypatch):
    typed = [line.strip() for line in TYPED.findall(TUTORIAL)]
    assert len(typed) == 9
    for line in typed:
        program, *arguments = shlex.split(line)
        if program == "cd":
            monkeypatch.chdir(arguments[0])
        elif not line.startswith((*STAYS, FETCHES)):
            ran = yoi(*arguments, *(YES if "enable" in arguments else ()))
            assert ran.status == 0, (line, ran.err)
    assert Path.cwd() == workspace
    assert yoi("plugin", "pack", "my-echo").status == 0
    assert yoi("plugin", "enable", "my-echo", *YES).status == 0


def test_the_plugin_and_the_test_that_the_tutorial_shows_pass_as_written(yoi, workspace):
    plugin, test, _ = PYTHON.findall(TUTORIAL)
    assert yoi("plugin", "new", "websocket", "my-echo").status == 0
    (workspace / "my-echo" / "plugin.py").write_text(plugin)
    (workspace / "my-echo" / "tests" / "test_plugin.py").write_text(test)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=workspace / "my-echo",
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout


def test_the_room_of_the_tutorial_is_checked_and_its_tool_declared(yoi, workspace):
    _, _, room = PYTHON.findall(TUTORIAL)
    assert yoi("plugin", "new", "websocket", "room").status == 0
    (workspace / "room" / "plugin.py").write_text(room)
    manifest = workspace / "room" / "plugin.toml"
    manifest.write_text(manifest.read_text().replace("plugin:Echo", "plugin:Room"))
    assert yoi("plugin", "check", "room").status == 1
    assert yoi("plugin", "check", "room", "--fix").status == 0
