"""What the control socket offers for workers."""

import msgspec
import pytest
from tests.redactors import NoRedaction
from tests.workers.test_tools import Plugins
from tests.workers.test_worker_set import NoSecrets, profile

from yoi.errors import WorkerError
from yoi.journal.memory import MemoryJournal
from yoi.limits import Limits
from yoi.testing import ManualClock
from yoi.workers.operations import WorkerOperations
from yoi.workers.worker_set import WorkerContext, WorkerSet

LIMITS = Limits(worker_watches=2, watch_poll_ms=20_000, history_page=4)


class Host:
    def __init__(self):
        self.clock = ManualClock()
        self.worker_set = WorkerSet(
            WorkerContext(
                journal=MemoryJournal(),
                plugins=Plugins(),
                secrets=NoSecrets(),
                redactor=NoRedaction(),
                clock=self.clock,
            )
        )
        self.operations = WorkerOperations(self.worker_set, self.clock, LIMITS)

    async def ask(self, method, **params):
        answer = await self.operations.methods[method](params)
        return msgspec.json.decode(msgspec.json.encode(answer))

    async def events_until(self, watch, name):
        heard = []
        while name not in [e["event"] for e in heard]:
            answer = await self.ask("worker.poll", watch=watch)
            assert answer["events"]
            heard += answer["events"]
        return heard


@pytest.fixture
async def host():
    made = Host()
    tools = [{"plugin": "chat", "tool": "reply", "approval": "ask"}]
    await made.worker_set.apply([profile("a", tools=tools), profile("b")])
    yield made
    await made.worker_set.stop()


async def test_a_person_sends_follows_approves_and_reads(host):
    assert [w["name"] for w in await host.ask("worker.list")] == ["a", "b"]
    follow = await host.ask("worker.watch", name="a")
    assert follow["snapshot"]["data"]["status"] == "idle"
    assert await host.ask("worker.send", name="a", text="help") == {"seq": 1}
    heard = await host.events_until(follow["watch"], "approval_request")
    call = next(e for e in heard if e["event"] == "approval_request")["data"]
    await host.ask("worker.approve", name="a", item=call["item"], approved=True)
    heard = await host.events_until(follow["watch"], "tool_result")
    await host.events_until(follow["watch"], "status")
    status = await host.ask("worker.status", name="a")
    assert status["approvals"] == []
    items, after = [], 0
    while page := (await host.ask("worker.history", name="a", after=after))["items"]:
        assert len(page) <= 4
        items += page
        after = page[-1]["seq"]
    decided = next(i for i in items if i["type"] == "approval_decided")
    assert decided["by"] == "operator"
    await host.ask("worker.pause", name="a")
    await host.ask("worker.resume", name="a")
    await host.ask("worker.compact", name="a")
    await host.events_until(follow["watch"], "compact_done")
    with pytest.raises(WorkerError):
        await host.ask("worker.cancel", name="a")
    await host.ask("worker.unwatch", watch=follow["watch"])
    with pytest.raises(WorkerError):
        await host.ask("worker.poll", watch=follow["watch"])


async def test_following_ends_when_the_worker_does(host):
    follow = await host.ask("worker.watch", name="a")
    await host.worker_set.apply([])
    answer = await host.ask("worker.poll", watch=follow["watch"])
    assert answer["ended"]
    assert answer["events"][-1] == {"event": "shutdown"}


async def test_followers_are_bounded_and_idle_ones_make_room(host):
    first = await host.ask("worker.watch", name="a")
    await host.ask("worker.watch", name="a")
    with pytest.raises(WorkerError) as caught:
        await host.ask("worker.watch", name="a")
    assert caught.value.code == "worker.watch"
    host.clock.advance(31)
    await host.ask("worker.watch", name="b")
    with pytest.raises(WorkerError):
        await host.ask("worker.poll", watch=first["watch"])


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("worker.status", {"name": 3}),
        ("worker.status", {}),
        ("worker.history", {"name": "a", "after": -1}),
    ],
)
async def test_bad_parameters_are_refused(host, method, params):
    with pytest.raises((TypeError, KeyError)):
        await host.ask(method, **params)


async def test_a_page_of_long_items_fits_an_answer(host):
    host.operations = WorkerOperations(
        host.worker_set, host.clock, Limits(control_response_bytes=800)
    )
    await host.ask("worker.pause", name="b")
    for _ in range(3):
        await host.ask("worker.send", name="b", text="x" * 150)
    pages, after = [], 0
    while page := (await host.ask("worker.history", name="b", after=after))["items"]:
        pages.append(len(page))
        after = page[-1]["seq"]
    assert sum(pages) == 4
    assert max(pages) < 3
