"""A6 from yoi.toml to the answer: the commands a person types, against a host with real parts."""

import asyncio
import json
import re
import shlex
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.mcp.conftest import PROGRAM

import yoi
from yoi.cli.main import run
from yoi.control.client import call
from yoi.runtime.workspace import operator_file

PAGE = (Path(__file__).parents[2] / "docs/how-to/mcp.md").read_text(encoding="utf-8")
SERVER = """
[[mcp.servers]]
name = "files"   # kept
command = [{python}, {program}, "{mode}", {calls}]
"""
WORKER = """
[observation]
listen = "127.0.0.1:0"

[[workers]]
name = "reader"
model = "scripted"

[[workers.script]]
when = "read"
call = "files_echo"
arguments = { text = "from a file" }

[[workers.script]]
when = "wrong"
call = "files_echo"
arguments = { words = 1 }

[[workers.mcp]]
server = "files"
"""


@pytest.fixture
def workspace(tmp_path):
    """A workspace whose yoi.toml was written, and not decided."""

    def made(mode, more=""):
        path = operator_file(tmp_path)
        path.parent.mkdir(exist_ok=True)
        told = SERVER.format(
            python=json.dumps(sys.executable),
            program=json.dumps(PROGRAM),
            mode=mode,
            calls=json.dumps(str(tmp_path / "calls")),
        )
        path.write_text(told + more + WORKER)
        return tmp_path

    return made


@pytest.fixture
def typed(capsys):
    """Type a command; returns what it prints as JSON, or as words."""

    async def of(folder, *words, as_json=True, status=0):
        capsys.readouterr()
        line = [*words, "-w", str(folder), *(["--json"] if as_json else [])]
        assert await asyncio.to_thread(run, line) == status, capsys.readouterr()
        printed = capsys.readouterr()
        return json.loads(printed.out) if as_json else printed.out

    return of


@asynccontextmanager
async def served(folder, typed):
    """A host of `folder`, all that its yoi.toml says decided."""
    shown = await typed(folder, "trust", "--show")
    await typed(folder, "trust", "--digest", shown["digest"])
    async with yoi.Host(folder) as host:
        # On a busy machine a server may need longer than a host waits for it.
        await asyncio.gather(*(one.settled() for one in host._runtime.mcp._servers.values()))
        yield host


async def approved(folder, typed):
    shown = await typed(folder, "mcp", "approve", "files", "--show")
    return await typed(folder, "mcp", "approve", "files", "--digest", shown["digest"])


def status(folder):
    return call(folder, "worker.status", name="reader")


async def history(folder):
    return (await asyncio.to_thread(call, folder, "worker.history", name="reader"))["items"]


async def parked(folder):
    return (await asyncio.to_thread(status, folder))["approvals"]


async def eventually(read, true):
    async with asyncio.timeout(60):
        while not true(found := await read()):  # noqa: ASYNC110 - asked over a socket
            await asyncio.sleep(0.02)
    return found


async def test_from_the_review_to_the_answer(workspace, typed):
    folder = workspace("good")
    said = await typed(folder, "trust", "--show", as_json=False)
    assert "files: runs with your rights, outside the sandbox:" in said
    async with served(folder, typed):
        (before,) = (await typed(folder, "mcp", "servers"))["servers"]
        assert {tool["standing"] for tool in before["tools"]} == {"new"}
        refused = await typed(folder, "mcp", "approve", "files", as_json=True, status=2)
        assert "--show" in refused["error"]["hint"]
        shown = await typed(folder, "mcp", "approve", "files", "echo", "--show", as_json=False)
        assert "says it back" in shown
        assert '"required": ["text"]' in shown
        assert "env" not in shown
        answer = await approved(folder, typed)
        assert answer["approved"] == ["echo", "env", "fail", "odd name/1"]
        assert "# kept" in operator_file(folder).read_text()
        assert (await typed(folder, "trust", "--show"))["changes"] == []  # nothing is pending
        assert "4 approved" in await typed(folder, "mcp", "servers", as_json=False)

        # Arguments that do not fit the approved schema are refused before a person is asked.
        await typed(folder, "worker", "send", "reader", "wrong")
        items = await eventually(
            lambda: history(folder), lambda found: found[-1:] and (found[-1]["type"] == "run_end")
        )
        result = next(one for one in items if one["type"] == "tool_result")
        assert (result["outcome"], "required" in result["output"]) == ("refused", True)
        assert not any(one["type"] == "approval_asked" for one in items)
        assert not (folder / "calls").exists()

        # Otherwise a person decides; the answer is text from outside.
        await typed(folder, "worker", "send", "reader", "read")
        (question,) = await eventually(lambda: parked(folder), lambda found: len(found) == 1)
        assert (question["name"], json.loads(question["arguments"])["text"]) == (
            "files_echo",
            "from a file",
        )
        assert not (folder / "calls").exists()
        await typed(folder, "worker", "approve", "reader")
        await eventually(
            lambda: history(folder),
            lambda found: [one["type"] for one in found].count("run_end") == 2,
        )
        items = await history(folder)
        result = [one for one in items if one["type"] == "tool_result"][-1]
        assert (result["outcome"], result["output"]) == ("returned", "from a file")
        assert result["origin"]["service"] == "mcp:files"
        shown = await typed(folder, "worker", "show", "reader", as_json=False)
        assert "its model reads text from outside" in shown
        assert "files: running, 4 approved tools" in shown


async def test_a_server_that_dies_or_changes_never_ends_the_worker(workspace, typed):
    folder = workspace("changing")
    async with served(folder, typed) as host:
        await approved(folder, typed)
        for number in (1, 2):
            await typed(folder, "worker", "send", "reader", "read")
            await eventually(lambda: parked(folder), lambda found: len(found) == 1)
            if number == 2:  # it changes while a person thinks
                server = host._runtime.mcp._servers["files"]
                server._listed_at -= 3600
            await typed(folder, "worker", "approve", "reader")
            await eventually(
                lambda: history(folder),
                lambda found, n=number: [one["type"] for one in found].count("run_end") == n,
            )
        results = [one for one in await history(folder) if one["type"] == "tool_result"]
        assert [one["outcome"] for one in results] == ["returned", "failed"]
        assert "[mcp.changed]" in results[1]["output"]
        assert len((folder / "calls").read_text().splitlines()) == 1
        # The next run has no such tool; the worker, its alerts and the host say why.
        await typed(folder, "worker", "send", "reader", "read")
        await eventually(
            lambda: history(folder),
            lambda found: [one["type"] for one in found].count("run_end") == 3,
        )
        alerts = (await asyncio.to_thread(status, folder))["alerts"]
        assert any("yoi mcp approve files" in one["message"] for one in alerts)
        await host._runtime.alerting.look()
        told = await asyncio.to_thread(call, folder, "host.status")
        assert [one["kind"] for one in told["alerts"]] == ["mcp_server"]
        await approved(folder, typed)
        assert (await asyncio.to_thread(status, folder))["servers"][0]["changed"] == 0


async def test_the_page_can_be_followed(tmp_path, typed):
    page = PAGE.partition("## An MCP client uses plugins")[0].partition("### Secrets")[0]
    blocks = re.findall(r"```(python|toml|console)\n(.*?)```", page, re.S)
    commands = []
    for kind, block in blocks:
        if kind == "python":
            (tmp_path / "library.py").write_text(block)
        elif kind == "toml":
            path = operator_file(tmp_path)
            path.parent.mkdir()
            # Its whole path, as the page says: the PATH of this process is not looked at.
            assert block.count('"/home/you/.venv/bin/python"') == 1
            text = block.replace('"/home/you/.venv/bin/python"', json.dumps(sys.executable))
            path.write_text('[observation]\nlisten = "127.0.0.1:0"\n' + text)
        else:
            commands += [shlex.split(line.removeprefix("$ yoi ")) for line in block.splitlines()]
    assert commands[:2] == [["trust"], ["serve"]]
    said = ""
    async with served(tmp_path, typed):
        for words in commands[2:]:
            if words[:2] == ["mcp", "approve"]:  # a person reads and says yes
                shown = await typed(tmp_path, *words, "--show")
                words += ["--digest", shown["digest"]]
            if words[:2] == ["worker", "approvals"]:
                await eventually(lambda: parked(tmp_path), lambda found: len(found) == 1)
            if words[:2] == ["worker", "history"]:
                await eventually(
                    lambda: history(tmp_path), lambda found: found[-1]["type"] == "run_end"
                )
            said += await typed(tmp_path, *words, as_json=False)
    assert "1 new" in said
    assert "approved of library: look_up" in said
    assert 'library_look_up {"word":"milk"}' in said
    assert "shelf 7" in said
