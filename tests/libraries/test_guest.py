"""From `yoi plugin add` to a running guest: the libraries of the package work in the sandbox."""

import json
import os
import struct
import sys
from pathlib import Path

from tests.sandbox.conftest import run_on_guest_thread

from yoi.cli.main import run
from yoi.limits import LIMITS
from yoi.packages import read_package
from yoi.sandbox import Sandbox
from yoi_pdk.testing import load_plugin

from .wheels import wheel

SOURCE = """
import json
from datetime import datetime
from importlib.metadata import version
from zoneinfo import ZoneInfo

import greet
from yoi_pdk import Plugin


class WordCount(Plugin):
    def on_tool(self, call, ctx):
        zone = ZoneInfo("Test/Zone")
        found = [greet.hello(), version("greet"), datetime(2026, 1, 1, tzinfo=zone).isoformat()]
        return json.dumps(found)
"""
GREET = b"""
from importlib.resources import files

import word


def hello():
    return word.WORD + str(len(files("greet").joinpath("logo.png").read_bytes()))
"""
ZONE = (
    b"TZif\0" + bytes(15) + struct.pack(">6I", 0, 0, 0, 0, 1, 5) + struct.pack(">ibB", 5400, 0, 0)
) + b"Test\0"


def test_added_libraries_run_in_a_guest_and_in_the_authors_tests(wheels, tmp_path, monkeypatch):
    logo = {"greet/__init__.py": GREET, "greet/logo.png": b"\x89PNG\xff"}
    wheel(wheels, "greet", "2.5", requires=["word"], files=logo)
    wheel(wheels, "word", files={"word.py": b"WORD = 'hi '\n"})
    folders = ("tzdata", "tzdata/zoneinfo", "tzdata/zoneinfo/Test")
    zones = {f"{folder}/__init__.py": b"" for folder in folders}
    wheel(wheels, "tzdata", "2026.1", files={**zones, "tzdata/zoneinfo/Test/Zone": ZONE})
    folder, archive = tmp_path / "counter", tmp_path / "counter.yoi-plugin"
    added = ["plugin", "add", "greet", "tzdata", "-d", str(folder), "--find-links", str(wheels)]
    assert run(["plugin", "new", "tool", str(folder)]) == 0
    assert run(added) == 0
    (folder / "plugin.py").write_text(SOURCE)
    assert run(["plugin", "check", str(folder)]) == 0
    assert run(["plugin", "pack", str(folder), "-o", str(archive)]) == 0
    package = read_package(archive)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yoi"
    sandbox = Sandbox(LIMITS, cache)
    sandbox.warm_up()

    def work():
        guest = sandbox.load_python(
            package.own_files, "plugin:WordCount", libraries=package.library_files()
        )
        try:
            guest.start("null", LIMITS.start_ms)
            return json.loads(guest.call_tool("word_count", "{}", LIMITS.start_ms))["summary"]
        finally:
            guest.close()

    assert json.loads(run_on_guest_thread(work)) == ["hi 5", "2.5", "2026-01-01T00:00:00+01:30"]
    monkeypatch.setattr(sys, "path", sys.path[:])
    try:
        load_plugin(folder)
        assert sys.modules["greet"].hello() == "hi 5"
        assert str(folder / "libs.zip") in sys.modules["greet"].__file__
    finally:
        for name in ("greet", "plugin", "word"):
            sys.modules.pop(name, None)
