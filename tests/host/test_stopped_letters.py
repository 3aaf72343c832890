"""D5: dead letters are read, replayed and discarded while no host runs; the next one carries on."""

import asyncio
import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.cli.main import run
from yoi.control.server import claimed
from yoi.decisions.port import AccountDecisions, WholeWorkspace
from yoi.errors import ClusterError
from yoi.host.stopped_letters import stopped_letters
from yoi.journal.sqlite import SqliteJournal
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, HandlerFailed
from yoi.runtime.workspace import operator_file

LIMITS = Limits(retry_first_ms=0)


def failing(event):
    return HandlerFailed("ValueError", "no", "") if isinstance(event, TextFrame) else NO_COMMANDS


class Heard:
    def __init__(self) -> None:
        self.texts: list[str] = []
        self.changed = asyncio.Event()

    def __call__(self, event):
        if isinstance(event, TextFrame):
            self.texts.append(event.text)
            self.changed.set()
        return NO_COMMANDS

    async def has(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.texts) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "w"
    (folder / ".yoi").mkdir(parents=True)
    return folder


async def opened(workspace) -> SqliteJournal:
    owner = AccountDecisions().identity(workspace)
    return await SqliteJournal.open(workspace / ".yoi" / "journal.db", owner=owner)


async def given_up(workspace, *texts) -> None:
    """Let a host give these up, and end."""
    journal = await opened(workspace)
    bench = Bench(
        [FakeInstance(failing)],
        durable=True,
        journal=journal,
        state=StateStore(None),
        limits=LIMITS,
    )
    await bench.service.start()
    bench.link.arrive()
    await bench.diagnostics.until(lambda: bench.link.session)
    for text in texts:
        bench.link.receive(text)
    await bench.diagnostics.until(lambda: len(bench.service.dead_letters) == len(texts))
    await bench.service.stop()
    await journal.close()


async def delivered(workspace, count: int) -> list[str]:
    """Return what the next host delivers, which are at least so many."""
    journal, heard = await opened(workspace), Heard()
    bench = Bench(
        [FakeInstance(heard)], durable=True, journal=journal, state=StateStore(None), limits=LIMITS
    )
    await bench.service.start()
    await heard.has(count)
    await bench.settle()
    await bench.service.stop()
    await journal.close()
    return heard.texts


async def yoi(workspace, *words: str) -> tuple[int, str]:
    """Return how the command ended and what it printed."""
    out = StringIO()

    def command() -> int:
        with redirect_stdout(out), redirect_stderr(StringIO()):
            return run(["service", *words, "--workspace", str(workspace)])

    return await asyncio.to_thread(command), out.getvalue()


async def test_letters_are_listed_replayed_and_discarded_without_a_host(workspace):
    await given_up(workspace, "a", "b", "c", "d")
    status, out = await yoi(workspace, "dead-letters", "echo", "--json")
    letters = json.loads(out)["dead_letters"]
    assert (status, json.loads(out)["host_runs"]) == (0, False)
    assert [one["event"]["payload"]["text"] for one in letters] == ["a", "b", "c", "d"]
    assert {one["code"] for one in letters} == {"sandbox.exception"}
    ids = [one["event_id"] for one in letters]
    # All or nothing: one that is not there keeps the others where they are.
    status, out = await yoi(workspace, "replay", "echo", ids[0], "nope", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, "service.unknown")
    assert (await yoi(workspace, "replay", "echo", ids[2]))[0] == 0
    assert (await yoi(workspace, "discard", "echo", ids[1]))[0] == 0
    status, out = await yoi(workspace, "replay", "echo", ids[2], "--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, "service.unknown")
    status, out = await yoi(workspace, "replay", "echo", "--all")
    assert (status, "2 events of echo will be delivered by the next host" in out) == (0, True)
    assert await delivered(workspace, 3) == ["c", "a", "d"]
    status, out = await yoi(workspace, "dead-letters", "echo")
    assert (status, "echo has no dead letters" in out) == (0, True)
    assert await delivered(workspace, 0) == []


async def test_a_service_without_a_log_is_unknown(workspace):
    for _ in range(2):
        status, out = await yoi(workspace, "dead-letters", "other", "--json")
        assert (status, json.loads(out)["error"]["code"]) == (1, "service.unknown")
        await (await opened(workspace)).close()


async def test_a_host_that_runs_keeps_its_log(workspace):
    with claimed(workspace):
        status, out = await yoi(workspace, "replay", "echo", "--all", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, "control.in_use")


async def test_logs_of_a_cluster_are_elsewhere(workspace):
    operator_file(workspace).write_text('[cluster]\nnats = ["nats://127.0.0.1:4222"]\n')
    operator_file(workspace).chmod(0o600)
    with pytest.raises(ClusterError) as caught:
        async with stopped_letters(workspace, "echo", WholeWorkspace()):
            raise AssertionError("it was opened")
    assert caught.value.code == "cluster.elsewhere"
