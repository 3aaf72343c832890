"""Several workers of one host, made from profiles."""

import asyncio
import threading

import pytest
from tests.redactors import NoRedaction
from tests.workers.test_tools import Plugins

from yoi.errors import WorkerError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.protocol import events as ev
from yoi.testing import ManualClock
from yoi.workers import items as it
from yoi.workers.notify import Notification
from yoi.workers.profile import WorkerProfile
from yoi.workers.worker_set import WorkerContext, WorkerSet


class NoSecrets:
    def secret(self, name):
        return None


def profile(name="w", **more):
    table = {
        "name": name,
        "model": "scripted",
        "script": [
            {"when": "help", "call": "reply", "arguments": {"text": "coming"}},
            {"say": "noted"},
        ],
        "tools": [{"plugin": "chat", "tool": "reply", "approval": "auto"}],
        "notify": [{"plugin": "chat", "start_run": True}],
        **more,
    }
    return WorkerProfile.parse(table)


@pytest.fixture
async def plugins():
    return Plugins()


@pytest.fixture
async def worker_set(plugins):
    made = WorkerSet(
        WorkerContext(
            journal=MemoryJournal(),
            plugins=plugins,
            secrets=NoSecrets(),
            redactor=NoRedaction(),
            clock=ManualClock(),
        )
    )
    yield made
    await made.stop()


async def ended(worker):
    done = asyncio.Event()
    worker.bus.listen(lambda event: done.set() if isinstance(event, ev.RunEnd) else None)
    return done


def note(text="please help", command_id="c1", worker="w"):
    return Notification(
        worker=worker,
        text=text,
        plugin="chat",
        plugin_id="project:chat",
        digest="sha256:ab",
        ingress="events",
        event_id="e",
        command_id=command_id,
    )


async def test_a_notification_reaches_a_worker_that_answers_through_the_plugins_tool(
    worker_set, plugins
):
    """The way of a message, with the runtime's two protocols faked at their seams."""
    change = await worker_set.apply([profile()])
    assert change.started == ["w"]
    done = await ended(worker_set.worker("w"))
    await worker_set.notifications.notify(note())
    await asyncio.wait_for(done.wait(), 20)
    assert plugins.called == [("chat", "reply", {"text": "coming"})]
    items = [stored.item for stored in await worker_set.worker("w").history(0, 100)]
    result = next(i for i in items if isinstance(i, it.ToolResult))
    assert result.origin.digest == "sha256:ab"
    assert items[-1].result == "finished"


async def test_only_what_changed_is_restarted(worker_set):
    await worker_set.apply([profile("a"), profile("b"), profile("c")])
    kept = worker_set.worker("a")
    change = await worker_set.apply([profile("a"), profile("b", instructions="x"), profile("d")])
    assert (change.started, change.stopped, change.restarted) == (["d"], ["c"], ["b"])
    assert worker_set.worker("a") is kept
    assert [worker.name for worker in worker_set.workers] == ["a", "b", "d"]
    with pytest.raises(WorkerError) as caught:
        worker_set.worker("c")
    assert caught.value.code == "worker.unknown"


async def test_one_workers_failure_stops_no_other(worker_set):
    needs_key = WorkerProfile.parse({"name": "x", "model": "openai:m", "api_key": "gone"})
    change = await worker_set.apply([needs_key, profile("y")])
    assert list(change.failed) == ["x"]
    assert "worker.secret" in change.failed["x"]
    assert change.started == ["y"]


async def test_the_list_of_prices_is_read_beside_the_loop(worker_set, monkeypatch):
    """Loading it takes half a second, in which no connection would be read."""
    threads = []

    def priced(profile):
        threads.append(threading.current_thread())
        return profile.budget

    monkeypatch.setattr("yoi.workers.worker_set.priced", priced)
    await worker_set.apply([profile()])
    assert threading.main_thread() not in threads
    assert len(threads) == 1


async def test_a_tool_that_is_not_there_is_told_once_and_the_worker_runs(worker_set):
    tools = [{"plugin": "chat", "tool": "gone"}, {"plugin": "chat", "tool": "wave", "name": "a b"}]
    await worker_set.apply([profile(tools=tools)])
    worker = worker_set.worker("w")
    for number in range(2):
        done = await ended(worker)
        await worker.send(f"hello {number}")
        await asyncio.wait_for(done.wait(), 20)
    told = [alert.message for alert in worker.status().alerts]
    assert len(told) == 2
    assert any("offers no tool gone" in message for message in told)
    assert any("'a b'" in message for message in told)


async def test_names_are_unique_and_a_stopped_roster_starts_nothing(worker_set):
    with pytest.raises(WorkerError) as caught:
        await worker_set.apply([profile(), profile()])
    assert caught.value.code == "worker.duplicate"
    await worker_set.stop()
    with pytest.raises(WorkerError) as caught:
        await worker_set.apply([profile()])
    assert caught.value.code == "worker.stopped"


async def test_a_damaged_history_keeps_its_worker_down_and_nobody_else():
    journal = MemoryJournal()
    await journal.commit([Append("worker:w", 0, [b"{}"], LogBounds(records=9, size_bytes=99))])
    made = WorkerSet(
        WorkerContext(
            journal=journal,
            plugins=Plugins(),
            secrets=NoSecrets(),
            redactor=NoRedaction(),
            clock=ManualClock(),
        )
    )
    change = await made.apply([profile("v"), profile("w")])
    assert change.started == ["v"]
    assert "worker.history_invalid" in change.failed["w"]
    # Its table has no fault: another name is what a person can give it.
    (failed,) = made.failed
    assert "another name" in failed.hint
    await made.stop()
