"""D1: what a durable service does about a log that is not as it should be, and odd words about it.

Each has a stable code; nothing is lost and nothing is done twice.
"""

import pytest
from tests.runtime.fakes import Bench, FakeInstance
from tests.runtime.test_durable import (  # noqa: F401
    DyingJournal,
    FullJournal,
    World,
    counting,
    frames_of,
    let_go,
    life,
)
from tests.runtime.test_durable_rules import Held, api
from tests.runtime.test_executor import ANSWER

from yoi.core.lifecycle import Lifecycle
from yoi.errors import GuestTrapped, JournalError, ServiceError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.protocol import service_log as log
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, HandlerFailed
from yoi.protocol.service_log import Command, encode
from yoi.runtime.service_log import folded
from yoi.types import SessionId

LOG = "service:echo"


def accepted(n=1, ingress="events"):
    frame = TextFrame(ingress, "gateway", SessionId("old"), n, f"text {n}", 1000, 6)
    return log.accepted(frame, at_ms=1)


async def journal_of(*entries, limits=None):
    journal = MemoryJournal(limits) if limits else MemoryJournal()
    records = [one if isinstance(one, bytes) else encode(one) for one in entries]
    await journal.commit([Append(LOG, 0, records, LogBounds(1000, 1 << 20))])
    return journal


BEGUN = log.Begun("echo", 1)
GOOD = encode(accepted())


@pytest.mark.parametrize(
    "records",
    [
        (BEGUN, GOOD[:-1]),
        (BEGUN, GOOD[: len(GOOD) // 2]),
        (BEGUN, GOOD, b""),
        (BEGUN, GOOD, b"\x00" * 64),
        (BEGUN, GOOD, encode(log.Checkpoint("echo", 0, 1, version=2))),
        (BEGUN, GOOD, b'{"type":"from a later version"}'),
        (log.Begun("other", 1), GOOD),
        (BEGUN, GOOD, log.Checkpoint("other", 0, 1)),
        (log.Begun("echo", 1, 7), GOOD, log.Begun("echo", 2, 6)),
        (BEGUN, GOOD, log.Part(state={"a": "1"})),
        (BEGUN, GOOD, log.Checkpoint("echo", 0, 1), log.CheckpointEnd(2)),
        (BEGUN, log.Checkpoint("echo", 0, 1), log.Part(attempts={"x": 1}), log.CheckpointEnd(2)),
        (
            BEGUN,
            log.Checkpoint("echo", 0, 1),
            log.Part(dead=(log.Dead("x", "c", "m", 1),)),
            log.CheckpointEnd(2),
        ),
        (BEGUN, GOOD, log.Declared(order={"events": "no pointer"})),
    ],
    ids=[
        "torn by a byte", "torn in half", "an empty one", "zeros", "a newer checkpoint",
        "an unknown record", "another service's", "another service's checkpoint", "an old owner's",
        "a part of nothing", "an end of another", "a checkpoint without its event",
        "a checkpoint without its letter", "a place that is none",
    ],
)  # fmt: skip
async def test_a_log_that_is_not_understood_is_left_as_it_is(records):
    """`journal.format`: nothing runs, is dialled or concluded, however often it is tried."""
    journal = await journal_of(*records)
    before = await journal.read(LOG, 0, 100)
    instance = FakeInstance()
    bench = World().bench(journal, instance)
    for _ in range(2):
        await bench.service.start()
        await bench.settle()
        assert bench.service.lifecycle is Lifecycle.FAILED
        assert bench.service.status().last_error_code == "journal.format"
        await bench.service.stop()
    assert instance.calls == bench.links == []
    assert await journal.read(LOG, 0, 100) == before


async def test_state_over_its_bound_runs_nothing_and_waits_for_room():
    """`service.state_full`: the log stays the truth, and is gone on from when there is room."""
    state = {f"k{n}": '"v"' for n in range(5)}
    journal = await journal_of(BEGUN, log.Handled("", state=state), accepted())
    world = World()
    world.state = StateStore(None, Limits(state_keys=3))
    first = FakeInstance(counting)
    bench = world.bench(journal, first)
    await bench.service.start()
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.FAILED
    assert bench.service.status().last_error_code == "service.state_full"
    assert first.calls == []
    # The same instance of the service, asked again: nothing is taken for done that was not.
    bench.service._context.state._limits = Limits()
    await bench.service.restart()
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert frames_of(first) == [("old.1", 2)]
    assert sorted(world.state.all("echo")) == ["k0", "k1", "k2", "k3", "k4", "text 1"]
    await bench.service.stop()


class StubbornState(StateStore):
    """Takes nothing while `stuck`."""

    stuck = False

    def set(self, service, key, value):
        if self.stuck:
            raise JournalError("journal.io", "the disk is full")
        super().set(service, key, value)


async def test_a_state_file_that_takes_nothing_loses_no_event():
    """The log is open and the state is not as it says: nothing runs until both are right."""
    journal = await journal_of(BEGUN, log.Handled("", state={"k": "1"}), accepted())
    world = World()
    world.state = StubbornState(None)
    world.state.stuck = True
    instance = FakeInstance(counting)
    bench = world.bench(journal, instance)
    await bench.service.start()
    await bench.settle()
    assert bench.service.status().last_error_code == "journal.io"
    assert instance.calls == []
    world.state.stuck = False
    await bench.service.restart()
    await bench.settle()
    assert frames_of(instance) == [("old.1", 2)]
    assert world.state.get("echo", "k") == "1"
    await bench.service.stop()


async def test_a_crash_right_after_the_first_owner_began_keeps_the_state_from_before():
    """State: a service that was in memory until now has state and no log."""
    world = World()
    world.state.set("echo", "kept", "1")
    # The record that takes the state over was never stored.
    journal = await journal_of(BEGUN)
    for _ in range(2):
        bench = world.bench(journal, FakeInstance(counting))
        await bench.service.start()
        await bench.settle()
        assert world.state.get("echo", "kept") == "1"
        await bench.service.stop()


async def test_an_event_whose_ingress_is_gone_is_a_letter_that_can_only_be_discarded():
    """`service.ingress_gone`: also after further starts; replaying it is refused in words."""
    journal = await journal_of(BEGUN, accepted(1, "gone"), accepted(2))
    world = World()
    for _ in range(2):
        instance = FakeInstance(counting)
        bench = world.bench(journal, instance)
        await bench.service.start()
        await bench.settle()
        (letter,) = bench.service.dead_letters
        assert (letter.code, letter.event.event_id) == ("service.ingress_gone", "old.1")
        with pytest.raises(ServiceError, match="no ingress 'gone'") as refused:
            bench.service.replay("old.1")
        assert refused.value.code == "service.ingress_gone"
        assert refused.value.hint == "yoi service discard echo old.1"
        assert len(bench.service.dead_letters) == 1
        await bench.service.stop()
    assert world.workers.told == {("old.2", "n"): "text 2"}
    last = world.bench(journal, FakeInstance())
    await last.service.start()
    last.service.discard("old.1")
    await last.settle()
    assert last.service.dead_letters == ()
    await last.service.stop()


async def test_a_replay_of_a_replay_is_one_delivery_each():
    """A letter that fails again is a letter again; a second word about it finds none."""
    world, journal, wrong = World(), MemoryJournal(), [True]

    def failing(event):
        if isinstance(event, TextFrame) and wrong[0]:
            return HandlerFailed("ValueError", "no", "")
        return counting(event)

    instance = FakeInstance(failing)
    bench = world.bench(journal, instance)
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    for times in (2, 3):
        bench.service.replay("session1.1")
        with pytest.raises(ServiceError, match="no dead letter"):
            bench.service.replay("session1.1")
        await bench.settle()
        assert [attempt for _, attempt in frames_of(instance)] == [1, 2, 3] * times
        assert len(bench.service.dead_letters) == 1
    wrong[0] = False
    bench.service.replay("session1.1")
    await bench.settle()
    await bench.service.stop()
    later = world.bench(journal, FakeInstance(failing))
    await later.service.start()
    await later.settle()
    assert later.service.dead_letters == ()
    assert world.workers.told == {("session1.1", "n"): "a"}
    await later.service.stop()


@pytest.mark.parametrize("durable", [False, True])
async def test_letters_of_a_service_that_does_not_run_can_be_decided_about(durable):
    """A replayed one waits for the next instance, also over a restart of the host."""
    world, journal = World(), MemoryJournal()

    def failing(event):
        if isinstance(event, TextFrame):
            return HandlerFailed("ValueError", "no", "")
        return NO_COMMANDS

    well = FakeInstance(counting)
    bench = world.bench(journal, FakeInstance(failing), well)
    if not durable:
        bench = Bench([FakeInstance(failing), well], notifier=world.workers)
    await bench.service.start()
    bench.link.arrive()
    for text in "abc":
        bench.link.receive(text)
    await bench.settle()
    bench.service.guest_lost(GuestTrapped("sandbox.trap", "gone"))
    assert bench.service.lifecycle is Lifecycle.FAILED
    bench.service.discard("session1.1")
    bench.service.replay("session1.2")
    await bench.settle()
    assert [one.event.event_id for one in bench.service.dead_letters] == ["session1.3"]
    if durable:
        await bench.service.stop()
        bench = world.bench(journal, well)
        await bench.service.start()
    else:
        await bench.service.restart()
    await bench.settle()
    assert [name for name, _ in frames_of(well)] == ["session1.2"]
    assert [one.event.event_id for one in bench.service.dead_letters] == ["session1.3"]
    await bench.service.stop()
    with pytest.raises(ServiceError) as refused:
        bench.service.discard("session1.3")
    assert (refused.value.code, refused.value.hint) == (
        "service.not_running",
        "yoi service restart echo",
    )


async def test_no_decision_is_taken_while_the_log_cannot_keep_it():
    world, journal = World(), FullJournal()

    def failing(event):
        if isinstance(event, TextFrame):
            return HandlerFailed("ValueError", "no", "")
        return NO_COMMANDS

    bench = world.bench(journal, FakeInstance(failing))
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    journal.full = True
    bench.link.receive("b")
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.FAILED
    for decide in (bench.service.discard, bench.service.replay):
        with pytest.raises(ServiceError) as refused:
            decide("session1.1")
        assert refused.value.code == "service.not_running"
    assert len(bench.service.dead_letters) == 1
    await bench.service.stop()


async def test_commands_of_an_ingress_that_is_gone_have_their_end():
    """A worker is told, a request is made again, and nobody is there to hear the answer."""
    asked = []

    async def send(prepared, authorise):
        asked.append(prepared.command_id)
        return ANSWER

    commands = (
        Command("n", "notify", {"worker": "w", "text": "x"}, "gone", repeatable=True),
        Command("r", "request", {"target": "api", "method": "POST", "path": "/x"}, "gone", True),
        Command("s", "websocket_send", {"text": "x"}, "gone"),
    )
    journal = await journal_of(BEGUN, log.Handled("old.1", 1, commands))
    world = World()
    for _ in range(2):
        bench = world.bench(
            journal, FakeInstance(counting), send=send, asked=api(), secrets=Held("s" * 20)
        )
        await bench.service.start()
        await bench.settle()
        assert bench.service.lifecycle is Lifecycle.RUNNING
        await bench.service.stop()
    assert (asked, world.workers.told) == (["r"], {("old.1", "n"): "x"})
    picture = await folded(journal, LOG, "echo")
    assert picture.unsettled == {}
