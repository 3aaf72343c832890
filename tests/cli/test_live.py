"""The commands against a real host, and `yoi plugin dev`."""

import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.slow

_GUARD_SECONDS = 120


@contextmanager
def running(workspace, *arguments):
    """Run a command that prints JSON lines; yield the child and a function that reads one."""
    with subprocess.Popen(
        [sys.executable, "-m", "yoi.cli", *arguments, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=workspace,
    ) as child:

        def until(wanted):
            for line in child.stdout:
                value = json.loads(line)
                if wanted(value):
                    return value
            raise AssertionError("it ended first")

        guard = threading.Timer(_GUARD_SECONDS, child.kill)  # a lost line must not hang the suite
        guard.start()
        try:
            yield child, until
        finally:
            guard.cancel()
            child.kill()


def is_ready(value):
    return value["event"] == "ready"


def test_a_plugin_is_switched_on_called_and_off_while_the_host_runs(yoi, workspace):
    """U1, U3: what a person would type, in the order they would type it."""
    yoi("plugin", "new", "tool", "adder")
    with running(workspace, "serve", "--port", "0") as (child, until):
        until(is_ready)
        on = json.loads(
            yoi("plugin", "enable", "./adder", "--grant-requested", "--yes", "--json").out
        )
        assert (on["host"]["started"], on["host"]["error"]) == (["adder"], None)
        listed = json.loads(yoi("service", "list", "--json").out)
        assert [(s["name"], s["lifecycle"]) for s in listed["services"]] == [("adder", "running")]
        called = json.loads(
            yoi("service", "call", "adder", "word_count", '{"text": "a b"}', "--json").out
        )
        assert called["output"]["summary"] == "2 words"
        assert yoi("service", "call", "adder", "no-such-tool", "{}").status == 1
        for verb, state in (("stop", "stopped"), ("restart", "running")):
            acted = json.loads(yoi("service", verb, "adder", "--json").out)
            assert acted["lifecycle"] == state
        off = json.loads(yoi("plugin", "disable", "adder", "--yes", "--json").out)
        assert off["host"]["stopped"] == ["adder"]
        assert yoi("service", "status", "adder").status == 1
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


def test_dev_reloads_on_save_and_stops_when_more_is_asked_for(yoi, workspace):
    """DESIGN 4: the grant of a session is bound to what was asked for when it was given."""
    yoi("plugin", "new", "tool", "adder")
    folder = workspace / "adder"
    dev = running(workspace, "plugin", "dev", "adder", "--grant-requested", "--yes")
    with dev as (child, until):
        until(is_ready)
        plugin = folder / "plugin.py"
        plugin.write_text(plugin.read_text() + "\n# saved once\n")
        until(lambda value: "it has started" in value["diagnostic"]["message"])
        plugin.write_text("def broken(:\n")
        fault = until(lambda value: value["diagnostic"]["code"] == "package.source")
        assert "plugin.py, line 1" in fault["diagnostic"]["message"]
        manifest = folder / "plugin.toml"
        manifest.write_text(
            manifest.read_text()
            + '\n[[websocket]]\nscheme = "wss"\nhost = "example.com"\npath_prefixes = ["/"]\n'
        )
        refused = until(lambda value: value["diagnostic"]["code"].startswith("usage."))
        assert "not agreed" in refused["diagnostic"]["message"]
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    assert not (workspace / ".yoi" / "yoi.toml").exists()
    assert not (folder / ".yoi" / "yoi.toml").exists()


@pytest.mark.parametrize("extra", [[], ["--yes"], ["--grant-requested"]])
def test_dev_needs_somebody_to_ask_or_the_flags(extra, yoi, workspace):
    yoi("plugin", "new", "tool", "adder")
    assert yoi("plugin", "dev", "adder", *extra).status == 2


def test_dev_of_no_folder_is_a_usage_error(yoi, workspace):
    assert yoi("plugin", "dev", "nowhere", "--grant-requested", "--yes").status == 2
