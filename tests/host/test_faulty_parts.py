"""A fault in one part of yoi.toml: which part is off, where it is shown, and that the rest runs.

Where a process listens, which runtimes it reads and which tables there are has to be as written: a
host does not start with a fault there. A fault that is saved while it runs changes nothing of it.
"""

import asyncio

import pytest
from tests.runtime.heard import Heard

import yoi
from yoi.control.client import call
from yoi.decisions.port import WholeWorkspace
from yoi.errors import EnablementError
from yoi.runtime.workspace import operator_file

ANYWHERE = '[observation]\nlisten = "127.0.0.1:0"\n'
WELL = '[[workers]]\nname = "well"\nmodel = "scripted"\nscript = [{ say = "hi" }]\n'
OFF = {
    "plugin": ('[[plugins.enabled]]\nid = "chat"\n', "service:plugins.enabled[0]"),
    "worker": ('[[workers]]\nname = "ill"\n', "worker:ill"),
    "mcp": ("[mcp]\nclients = true\n", "host"),
    "mcp server": ('[[mcp.servers]]\nname = "files"\n', "host"),
    "mcp tool": ('[[mcp.tools]]\nplugin = "chat"\n', "host"),
    "mcp events": ('[[mcp.events]]\nplugin = "a b"\n', "host"),
    "secrets": ('[secrets]\nstore = "drawer"\n', "host"),
}
"""By part: a faulty table of it, and the scope under which it is told."""
REFUSED = {
    "observation": ('[observation]\nlisten = "everywhere"\n', "observation.listen"),
    "runtime": ("[runtime]\nport = 1\n", "runtime.port"),
    "upstream": ('[[backend.runtimes]]\nid = "far"\n', "backend.runtimes[0].url"),
    "unknown": ('[observations]\nlisten = "127.0.0.1:0"\n', "observations"),
    "cluster": ("[cluster]\nserver = 1\n", "cluster.server"),
    "machine": ("[network]\nproxy = 1\n", "network"),
    "plugins": ("[plugins]\nenable = []\n", "plugins.enable"),
}


@pytest.fixture
def workspace(tmp_path):
    operator_file(tmp_path).parent.mkdir()
    return tmp_path


def saying(workspace, text) -> yoi.Host:
    operator_file(workspace).write_text(text)
    heard = Heard()
    host = yoi.Host(workspace, decisions=WholeWorkspace(), on_diagnostic=heard.append)
    host.heard = heard
    return host


async def test_a_faulty_part_is_off_and_told_and_the_others_run(workspace):
    parts = "".join(text for text, _ in OFF.values() if not text.startswith("[mcp]"))
    parts += "[[secrets.authorize]]\n"
    host = saying(
        workspace, "[mcp]\nclients = true\n" + ANYWHERE + WELL + parts + "[[secrets.authorize]]\n"
    )
    async with host:
        assert [one.name for one in host.workers] == ["well"]
        for part, (_, scope) in OFF.items():
            (told, *_) = [one for one in host.heard if part_of(one.message) == part]
            assert told.scope == scope
            assert told.severity == "error"
        servers = await asyncio.to_thread(call, workspace, "mcp.servers")
    assert {one["name"]: one["state"] for one in servers}["files"] == "stopped"
    (files,) = [one for one in servers if one["name"] == "files"]
    assert "mcp.servers[0].command" in files["error"]
    line = operator_file(workspace).read_text().splitlines().index("[[mcp.servers]]") + 1
    assert files["hint"] == f"mend line {line} of .yoi/yoi.toml, then: yoi trust"


def part_of(message):
    """Return the part in OFF that a message is about."""
    marks = {
        "mcp.servers": "mcp server",
        "mcp.tools": "mcp tool",
        "mcp.events": "mcp events",
        "mcp.clients": "mcp",
        "plugins.enabled": "plugin",
        "worker ill": "worker",
        "secrets.": "secrets",
    }
    return next((part for mark, part in marks.items() if mark in message), None)


@pytest.mark.parametrize("part", REFUSED)
async def test_a_host_does_not_start_where_it_would_not_be_as_written(workspace, part):
    text, at = REFUSED[part]
    with pytest.raises(EnablementError) as caught:
        async with saying(workspace, text + WELL):
            pass
    assert caught.value.fields["at"] == at


async def test_a_fault_that_is_saved_while_a_host_runs_stops_no_other_part(workspace):
    host = saying(workspace, ANYWHERE + WELL)
    async with host:
        well = host.workers["well"]
        for text, _ in [*OFF.values(), *REFUSED.values()]:
            operator_file(workspace).write_text(WELL + text)
            await host.reload()
            assert host.workers["well"] is well
