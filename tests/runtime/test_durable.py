"""D1-D6 on the runtime's side: what a durable service is after the host died at any commit.

A crash is a journal that answers no more, before or after it stored a commit; the next host opens
what it had stored. The rules' names are those of the design of the service log.
"""

import asyncio
import copy

import pytest
from tests.runtime.fakes import Bench, FakeInstance, NoWorkers
from tests.runtime.test_service import command, running

from yoi.core.lifecycle import Lifecycle
from yoi.core.service_recovery import recover
from yoi.errors import GuestTrapped, JournalError, ServiceError, WorkerError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.journal.sqlite import SqliteJournal
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands, HandlerFailed, Reply
from yoi.protocol.service_log import Accepted, Done, decode
from yoi.runtime.service_log import ServiceLog, folded
from yoi.testing import ManualClock
from yoi.workers.notify import Notified

HANGING = []


@pytest.fixture(autouse=True)
async def let_go():
    """End the hosts that a test left hanging."""
    yield
    while HANGING:
        HANGING.pop().set()
        for _ in range(20):
            await asyncio.sleep(0)


class DyingJournal(MemoryJournal):
    """Stops answering at its `dies_at`-th commit, before or after it is stored."""

    def __init__(self, dies_at=None, stored=False):
        super().__init__()
        self.dies_at = dies_at
        self.stored = stored
        self.commits = 0
        self.dead = asyncio.Event()

    async def commit(self, appends):
        if self.dead.is_set():
            await self._hang()
        self.commits += 1
        dies = self.commits == self.dies_at
        if not dies or self.stored:
            await super().commit(appends)
        if dies:
            self.dead.set()
            await self._hang()
        # As a disk does: the loop goes on meanwhile.
        await asyncio.sleep(0)

    async def _hang(self):
        """Answer nothing until the test is over."""
        HANGING.append(asyncio.Event())
        await HANGING[-1].wait()
        raise JournalError("journal.closed", "the test is over")

    def survivor(self):
        """Return a journal with what is stored."""
        made = MemoryJournal()
        made._logs = copy.deepcopy(self._logs)
        return made


class Workers(NoWorkers):
    """Remembers what it was told; a repeated command id commits nothing."""

    def __init__(self):
        self.told = {}
        self.asked = []
        self.changed = asyncio.Event()

    async def has(self, count):
        while len(self.told) < count:
            self.changed.clear()
            await self.changed.wait()

    async def notify(self, notification):
        key = notification.event_id, notification.command_id
        self.asked.append(key)
        new = key not in self.told
        self.told.setdefault(key, notification.text)
        self.changed.set()
        return Notified(len(self.told), new)


def counting(event):
    """Keep what was seen, send a reply, tell a worker."""
    if not isinstance(event, TextFrame):
        return NO_COMMANDS
    return Commands(
        [
            command(event, "state_set", {"key": event.text, "value": event.seq}, "s"),
            command(event, "websocket_send", {"text": event.text}, "w"),
            command(event, "notify", {"worker": "w", "text": event.text}, "n"),
        ]
    )


class World:
    """What outlives the hosts: the state file, the workers, the far end."""

    def __init__(self):
        self.state = StateStore(None)
        self.workers = Workers()
        self.clock = ManualClock()

    def bench(self, journal, *instances, **options):
        return Bench(
            instances,
            durable=True,
            journal=journal,
            state=self.state,
            notifier=self.workers,
            clock=self.clock,
            **options,
        )


async def life(world, journal, texts, session=0):
    """One host's life until its journal dies, or all is done. Returns bench and instance."""
    instance = FakeInstance(counting)
    bench = world.bench(journal, instance)
    starting = asyncio.ensure_future(bench.service.start())
    await bench.settle()
    if bench.links:
        bench.link._count = session
        bench.link.arrive()
        for text in texts:
            bench.link.receive(text)
            await bench.settle()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return bench, instance


LIFE = 13
"""Commits of a life with four frames: the test below holds it to that."""


async def test_every_commit_of_a_life_is_one_to_crash_at():
    journal = DyingJournal()
    await life(World(), journal, "abcd")
    assert journal.commits == LIFE


def frames_of(instance):
    return [seen for seen in instance.seen if seen[0].split(".")[-1] in "1234"]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("dies_at", range(1, LIFE + 1))
async def test_effects_survive_a_crash_at_every_commit(dies_at, stored):
    """Effects: D1, D2, D4. Handled or waiting, in order; notified once; sent at most once."""
    world, journal = World(), DyingJournal(dies_at, stored)
    first, _ = await life(world, journal, "abcd")
    sent_before = [] if not first.links else [text for _, text in first.link.sent]
    accepted = accepted_frames(journal)
    second, after = await life(world, journal.survivor(), "", 10)
    # Every accepted frame was handled by one of the two, in order, and its state is there.
    handled = world.state.all("echo")
    assert sorted(handled) == sorted(accepted)
    assert [text for text, _ in zip("abcd", accepted, strict=False)] == accepted
    again = [name for name, _ in frames_of(after)]
    assert again == sorted(again)
    assert all(attempt > 1 for _, attempt in frames_of(after))
    # Exactly once by its id, whatever was repeated.
    assert sorted(world.workers.told.values()) == sorted(accepted)
    # At most once; what may have been sent and is not known is told.
    sent = sent_before + [text for _, text in second.link.sent]
    assert len(set(sent)) == len(sent)
    unknown = [r for r in second.service.status().commands if r.status == "unknown"]
    failed = [r for r in second.service.status().commands if r.status == "failed"]
    assert set(accepted) <= set(sent) | {text_of(r) for r in [*unknown, *failed]}


def text_of(result):
    return "abcd"[int(result.source_event_id.split(".")[1]) - 1]


def accepted_frames(journal):
    held = journal._logs.get("service:echo")
    found = [] if held is None else [decode(data, 1) for data in held.records]
    return [one.frame.text for one in found if isinstance(one, Accepted) and one.frame]


async def test_what_was_carried_out_is_written_with_the_next_record_or_at_the_end():
    """Effects: lazily. It costs no commit of its own while others come."""
    journal, commits = DyingJournal(), []
    store = journal.commit

    async def commit(appends):
        commits.append([decode(data, 1) for append in appends for data in append.records])
        await store(appends)

    journal.commit = commit
    bench = World().bench(
        journal,
        FakeInstance(counting),
        limits=Limits(retry_first_ms=0, effect_record_ms=600_000),
    )
    await bench.service.start()
    bench.link.arrive()
    for text in "abc":
        bench.link.receive(text)
        await bench.settle()
    with_frames = [one for one in commits if any(isinstance(e, Accepted) and e.frame for e in one)]
    kinds = [{type(entry) for entry in one} for one in with_frames[1:]]
    assert kinds == [{Accepted, Done}] * 2
    assert [Done] not in [[type(entry) for entry in one] for one in commits]
    await bench.service.stop()
    assert (await folded(journal, "service:echo", "echo")).unsettled == {}


async def test_a_frame_is_accepted_before_the_plugin_sees_it():
    """Acceptance."""
    journal = DyingJournal()
    world, instance = World(), FakeInstance()
    bench = world.bench(journal, instance)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    journal.dead.set()
    bench.link.receive("a")
    await bench.settle()
    assert frames_of(instance) == []
    assert bench.service.status().queue_depth == 1


async def test_a_log_that_fails_stops_the_service_and_loses_nothing():
    """Acceptance: it goes on when there is room (D6)."""
    world, first, second = World(), FakeInstance(counting), FakeInstance(counting)
    journal = FullJournal()
    bench = world.bench(journal, first, second)
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    journal.full = True
    bench.link.receive("b")
    bench.link.receive("c")
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.FAILED
    assert bench.service.status().last_error_code == "journal.io"
    assert bench.link.log[-1] == "pause"
    journal.full = False
    bench.service._restarts.due()
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert bench.link.log[-1] == "resume"
    assert [text for _, text in bench.link.sent] == ["a", "b", "c"]
    assert list(world.workers.told.values()) == ["a", "b", "c"]
    assert world.state.all("echo") == {"a": "1", "b": "2", "c": "3"}


async def test_an_answer_that_could_not_be_written_is_given_again():
    """State: a failed append discards the instance and redelivers."""
    world, first, second = World(), FakeInstance(counting), FakeInstance(counting)
    journal = FullJournal()
    bench = world.bench(journal, first, second)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    journal.full_at_handled = True
    bench.link.receive("a")
    await bench.settle()
    assert bench.link.sent == []
    assert first.calls[-1] != "close"
    journal.full_at_handled = journal.full = False
    bench.service._restarts.due()
    await bench.settle()
    assert frames_of(first) == [("session1.1", 1)]
    assert frames_of(second) == [("session1.1", 2)]
    assert [text for _, text in bench.link.sent] == ["a"]


class FullJournal(MemoryJournal):
    """Refuses every commit while it is full; or from the first answer on."""

    full = False
    full_at_handled = False

    async def commit(self, appends):
        if self.full_at_handled and any(b'"handled"' in r for a in appends for r in a.records):
            self.full = True
        if self.full:
            raise JournalError("journal.io", "the disk is full")
        await super().commit(appends)
        await asyncio.sleep(0)


async def test_dead_letters_survive_and_can_be_replayed():
    """D2."""

    def failing(event):
        if isinstance(event, TextFrame):
            return HandlerFailed("ValueError", "no", "")
        return NO_COMMANDS

    world, journal = World(), MemoryJournal()
    bench = world.bench(journal, FakeInstance(failing))
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    assert [one.event.event_id for one in bench.service.dead_letters] == ["session1.1"]
    await bench.service.stop()
    well = FakeInstance(counting)
    later = world.bench(journal, well)
    await later.service.start()
    await later.settle()
    (letter,) = later.service.dead_letters
    assert letter.to_json()["code"] == "sandbox.exception"
    later.service.replay("session1.1")
    await later.settle()
    assert frames_of(well) == [("session1.1", 1)]
    await later.service.stop()
    third = world.bench(journal, FakeInstance())
    await third.service.start()
    assert third.service.dead_letters == ()


async def test_a_discarded_dead_letter_does_not_come_back():
    """Acceptance: a dead letter leaves by a person's word only, and that is written down."""

    def failing(event):
        if isinstance(event, TextFrame):
            return HandlerFailed("ValueError", "no", "")
        return NO_COMMANDS

    world, journal = World(), MemoryJournal()
    bench = world.bench(journal, FakeInstance(failing))
    await bench.service.start()
    bench.link.arrive()
    for text in "ab":
        bench.link.receive(text)
    await bench.settle()
    assert len(bench.service.dead_letters) == 2
    with pytest.raises(ServiceError, match="no dead letter 'nope'"):
        bench.service.discard("nope")
    bench.service.discard("session1.1")
    await bench.service.stop()
    later = world.bench(journal, FakeInstance())
    await later.service.start()
    assert [one.event.event_id for one in later.service.dead_letters] == ["session1.2"]


async def test_timers_go_on_with_what_is_left_of_them():
    """Answers and timers: due times are wall time, overdue fires once."""

    def setting(event):
        if isinstance(event, TextFrame):
            return Commands([command(event, "timer_set", {"name": "t", "after_ms": 60_000})])
        return NO_COMMANDS

    world, journal = World(), MemoryJournal()
    bench = world.bench(journal, FakeInstance(setting))
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    await bench.service.stop()
    world.clock.advance(61)
    heard_of = asyncio.Event()

    def hearing(event):
        if event.kind == EventKind.TIMER:
            heard_of.set()
        return NO_COMMANDS

    late = FakeInstance(hearing)
    later = world.bench(journal, late)
    await later.service.start()
    await heard_of.wait()
    await later.service.stop()
    third = world.bench(journal, FakeInstance())
    await third.service.start()
    assert third.service._executor.pending_timers() == []


async def test_a_dead_letter_is_never_caused_by_restarts_of_the_host():
    """First tries are free."""
    world, journal = World(), MemoryJournal()
    for _ in range(5):
        dying = DyingJournal(None)
        dying._logs = copy.deepcopy(journal._logs)
        bench = world.bench(dying, FakeInstance(counting))
        await bench.service.start()
        if not dying._logs["service:echo"].records[1:]:
            bench.link.arrive()
        bench.turns.hold()
        if not accepted_frames(dying):
            bench.link.receive("a")
        await bench.settle()
        journal = dying.survivor()
    instance = FakeInstance(
        lambda e: HandlerFailed("ValueError", "no", "") if isinstance(e, TextFrame) else NO_COMMANDS
    )
    bench = world.bench(journal, instance)
    await bench.service.start()
    await bench.settle()
    # Three attempts of its own, after five hosts that were killed.
    assert len(frames_of(instance)) == 3
    assert len(bench.service.dead_letters) == 1


async def test_after_a_crash_the_close_and_then_a_gap_are_told():
    world, journal = World(), DyingJournal()
    await life(world, journal, "a")
    world.clock.advance(30)
    heard = []

    def hearing(event):
        if not isinstance(event, TextFrame):
            heard.append((event.kind, event.session))
        return NO_COMMANDS

    second = world.bench(journal.survivor(), FakeInstance(hearing))
    await second.service.start()
    second.link.adapter.opened("later", None, "", "first")
    await second.settle()
    kinds = [(kind, session) for kind, session in heard if session]
    assert kinds[-3:] == [
        (EventKind.CLOSE, "session1"),
        (EventKind.GAP, "session1"),
        (EventKind.OPEN, "later"),
    ]


async def test_an_event_whose_ingress_is_gone_is_a_dead_letter():
    world, journal = World(), DyingJournal(2, stored=True)
    await life(world, journal, "a")
    log = await ServiceLog.open("echo", journal.survivor(), world.clock, lambda _: None)
    plan = recover(log.picture, ["other"], 1, 10)
    assert plan.events == []
    assert {letter.code for _, letter in plan.gone} <= {"service.ingress_gone"}
    await log.close()


async def test_a_trap_costs_an_attempt_and_leaves_the_log_in_order():
    """State: what a trapped call has set is undone."""
    tries = []

    def trapping(event):
        if isinstance(event, TextFrame):
            tries.append(event.attempt)
            if len(tries) == 1:
                raise GuestTrapped("sandbox.trap", "boom")
            return Reply(event.text)
        return NO_COMMANDS

    world = World()
    bench = world.bench(MemoryJournal(), FakeInstance(trapping), FakeInstance(trapping))
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.link.receive("a")
    await bench.settle()
    bench.service._restarts.due()
    await bench.settle()
    assert tries == [1, 2]
    assert [text for _, text in bench.link.sent] == ["a"]


async def test_memory_services_have_no_log():
    bench = await running(FakeInstance(counting))
    bench.link.receive("a")
    await bench.settle()
    assert await bench.journal.logs() == []


class StoppedWorkers(Workers):
    async def notify(self, notification):
        raise WorkerError("worker.stopped", "the host is stopping")


async def test_a_notification_that_only_the_stop_has_ended_is_made_by_the_next_host():
    """Effects: no notification is lost between two hosts."""
    world, journal = World(), MemoryJournal()
    told, world.workers = world.workers, StoppedWorkers()
    bench = world.bench(journal, FakeInstance(counting))
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    await bench.service.stop()
    world.workers = told
    later = world.bench(journal, FakeInstance(counting))
    await later.service.start()
    await later.settle()
    assert list(told.told) == [("session1.1", "n")]


async def test_an_automatic_reply_waits_for_its_frame():
    """Acceptance: what a gateway takes for a receipt is not sent for what a crash would cost."""
    journal = DyingJournal()
    bench = World().bench(journal, FakeInstance())
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    replied = []
    bench.link.receive("a")
    bench.link.adapter.once_taken(lambda: replied.append("a"))
    assert replied == []
    await bench.settle()
    assert replied == ["a"]
    journal.dead.set()
    bench.link.receive("b")
    bench.link.adapter.once_taken(lambda: replied.append("b"))
    await bench.settle()
    assert replied == ["a"]


async def test_a_frame_that_found_no_room_gets_no_automatic_reply():
    bench = World().bench(
        MemoryJournal(), FakeInstance(), max_events=2, overflow=OnFull.DROP_NEWEST
    )
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.turns.hold()
    replied = []
    for text in "abc":
        bench.link.receive(text)
        bench.link.adapter.once_taken(lambda text=text: replied.append(text))
        await bench.settle()
    assert replied == ["a", "b"]


async def test_every_unknown_effect_is_told_to_operator_and_plugin():
    """Effects: also those beyond the room that is reserved for feedback (D2)."""

    def sending(event):
        if isinstance(event, TextFrame):
            return Commands(
                [command(event, "websocket_send", {"text": str(n)}, f"c{n}") for n in range(40)]
            )
        return NO_COMMANDS

    world, journal = World(), EffectlessJournal()
    bench = world.bench(journal, FakeInstance(sending))
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.link.receive("a")
    await bench.settle()
    heard = []

    def hearing(event):
        if event.kind == EventKind.SEND_FAILED:
            heard.append((event.payload["command_id"], event.payload["code"]))
        return NO_COMMANDS

    later = world.bench(journal.survivor(), FakeInstance(hearing))
    await later.service.start()
    await later.settle()
    assert heard == [(f"c{n}", "service.effect_unknown") for n in range(40)]
    assert later.service.status().counters.commands_unknown == 40
    assert later.links[0].sent == []


class EffectlessJournal(DyingJournal):
    """Dies before it stores how any effect has ended."""

    async def commit(self, appends):
        records = [record for append in appends for record in append.records]
        if any(record.startswith((b'{"type":"effect"', b'{"type":"done"')) for record in records):
            self.dead.set()
        await super().commit(appends)


async def test_a_full_disk_loses_nothing_and_is_gone_on_from(tmp_path):
    """Acceptance, on the real engine: SQLite refuses to grow, and then may again."""
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    world = World()
    bench = world.bench(journal, *(FakeInstance(counting) for _ in range(4)), max_events=1000)
    await bench.service.start()
    bench.link.arrive()
    await bench.diagnostics.until(lambda: bench.link.session)
    pages = await journal._do(lambda c: c.execute("PRAGMA page_count").fetchone()[0], writes=False)
    await journal._do(
        lambda c: c.execute(f"PRAGMA max_page_count = {pages + 40}").fetchone(), writes=False
    )
    texts = [f"{n}-" + "x" * 4000 for n in range(60)]
    for text in texts:
        bench.link.receive(text)
    await bench.diagnostics.until(lambda: "journal.io" in bench.codes())
    assert bench.service.lifecycle is Lifecycle.FAILED
    assert bench.service.status().last_error_code == "journal.io"
    await journal._do(
        lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone(), writes=False
    )
    bench.service._restarts.cancel()
    bench.service._restarts.due()
    await bench.diagnostics.until(lambda: bench.service.lifecycle is Lifecycle.RUNNING)
    async with asyncio.timeout(20):
        await world.workers.has(len(texts))
    assert list(world.workers.told.values()) == texts
    assert [text for _, text in bench.link.sent] == texts
    await bench.service.stop()
    await journal.close()


async def test_frames_that_were_queued_at_a_stop_are_inside_the_next_gap():
    """D3: memory ingresses too."""
    heard = []

    def hearing(event):
        if event.kind == EventKind.GAP:
            heard.append(event.payload["since_ms"])
        return NO_COMMANDS

    bench = Bench([FakeInstance(), FakeInstance(hearing)], limits=Limits(drain_ms=1, retire_ms=1))
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.turns.hold()
    arrived_ms = bench.clock.wall_ms()
    bench.link.receive("a")
    bench.link.complete_until_ms = bench.clock.wall_ms
    await asyncio.sleep(0)
    bench.clock.advance(5)
    await bench.service.stop()
    bench.turns.release()
    assert bench.service.status().counters.dropped
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    assert heard == [arrived_ms]


@pytest.mark.parametrize("durable", [False, True])
async def test_a_gap_that_waits_for_the_next_session_outlives_a_stop_and_a_crash(durable):
    """D3: a connection was down when its service stopped, or its host died."""
    heard = []

    def hearing(event):
        if event.kind == EventKind.GAP:
            heard.append(event.payload["since_ms"])
        return NO_COMMANDS

    journal = DyingJournal()
    first = Bench([FakeInstance(), FakeInstance(hearing)], durable=durable, journal=journal)
    await first.service.start()
    first.link.arrive()
    first.link.complete_until_ms = first.clock.wall_ms
    await first.settle()
    first.link.end()
    ended_ms = first.clock.wall_ms()
    first.link.missing = lambda: ("session1", ended_ms)
    await first.settle()
    first.clock.advance(60)
    if durable:
        first.service._durability._mark_alive()
        await first.settle()
        journal.dead.set()
        again = Bench(
            [FakeInstance(hearing)], durable=True, journal=journal.survivor(), clock=first.clock
        )
    else:
        await first.service.stop()
        again = first
    first.clock.advance(60)
    await again.service.start()
    again.link._count = 10
    again.link.arrive()
    await again.settle()
    assert heard == [ended_ms]
    await again.service.stop()


@pytest.mark.parametrize(
    "record",
    [
        b'{"type":"begun","service":"other","at_ms":1}',
        b'{"type":"begun","service":"echo","at_ms":1,"version":99}',
        b'{"type":"begun","serv',
    ],
    ids=["another service's", "a newer version's", "torn"],
)
async def test_a_log_that_cannot_be_understood_is_left_alone(record):
    """Bad input: a stable code, nothing is written, nothing runs."""
    journal = MemoryJournal()
    await journal.commit([Append("service:echo", 0, [record], LogBounds(10, 10_000))])
    instance = FakeInstance()
    bench = World().bench(journal, instance)
    await bench.service.start()
    assert bench.service.lifecycle is Lifecycle.FAILED
    assert bench.service.status().last_error_code == "journal.format"
    assert instance.calls == bench.links == []
    assert (await journal.status("service:echo")).head == 1
    await bench.service.stop()


async def test_a_service_is_stopped_while_its_log_fails_and_goes_on_later():
    """D1: what was accepted is there; what was not is inside the gap."""
    world, journal = World(), FullJournal()
    bench = world.bench(journal, FakeInstance(counting), FakeInstance(counting))
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("a")
    await bench.settle()
    journal.full = True
    bench.link.receive("b")
    await bench.settle()
    await bench.service.stop()
    assert bench.service.lifecycle is Lifecycle.STOPPED
    journal.full = False
    await bench.service.start()
    bench.link.adapter.opened("later", None, "", "first")
    await bench.settle()
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert list(world.workers.told.values()) == ["a"]
    (told,) = [one for one in bench.diagnostics if one.code == "notice.gap"]
    assert told.fields["until_ms"] >= told.fields["since_ms"]


async def test_what_no_record_can_hold_stops_nothing():
    """Sizes: a frame is inside a gap, an answer comes to nothing; the service goes on."""

    def answering(event):
        if isinstance(event, TextFrame):
            return Reply("y" * 3000 if event.text == "ask" else event.text)
        return NO_COMMANDS

    limits = Limits(retry_first_ms=0, journal_record_bytes=2000)
    bench = World().bench(MemoryJournal(limits), FakeInstance(answering), limits=limits)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    for text in ("x" * 3000, "ask", "well"):
        bench.link.receive(text)
        await bench.settle()
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert [text for _, text in bench.link.sent] == ["well"]
    assert "notice.gap" in bench.codes()
    assert "sandbox.answer_too_large" in bench.codes()
