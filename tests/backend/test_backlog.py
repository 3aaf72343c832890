"""A backend that ends, politely or not, and comes back: clients go on where they were, exactly."""

import dataclasses
import gc

import pytest
from tests.backend.world import WORKER, Client, World, empty, said, text, turn

from yoi.backend.backlog import Backlog, Kept
from yoi.backend.source import LossKind
from yoi.errors import JournalError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.journal.sqlite import SqliteJournal
from yoi.limits import LIMITS
from yoi.protocol.cursors import Position
from yoi.protocol.observation import Subject, SubjectKind

SMALL = dataclasses.replace(LIMITS, observed_ring_events=8)


async def filled(journal, events: int = 3, limits=LIMITS) -> tuple[World, Client]:
    """A backend with one client that has heard the events 1 to `events`, all of it on disk."""
    world = World(limits, journal=journal)
    client = await world.watched()
    for seq in range(1, events + 1):
        world.link.event(seq, said(f"m{seq}", seq))
    await turn()
    await world.backlog.flush()
    return world, client


async def back(journal, cursor: str | None, replay, limits=LIMITS) -> tuple[World, Client]:
    """A new backend on the same journal, whose runtime answers by `replay`; a client resumes."""
    world = World(limits, journal=journal)
    asking = world.asking()
    await turn()
    replay(world.link)
    return world, Client(await asking).open(cursor)


def exactly(*events):
    def replay(link) -> None:
        assert link.resume is not None
        link.resumed()
        for seq, event in events:
            link.event(seq, event)
        link.caught_up()

    return replay


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request, tmp_path):
    made = (
        MemoryJournal()
        if request.param == "memory"
        else await SqliteJournal.open(tmp_path / "observed.db")
    )
    yield made
    await made.close()


async def test_an_old_cursor_is_good_after_a_restart(journal) -> None:
    _, client = await filled(journal)
    world = World(journal=journal)
    asking = world.asking()
    await world.source.attempt()
    assert world.link.resume.at.seq == 3
    assert world.link.resume.cursor == "at-0123456789abcdef-3"
    exactly((4, said("m4", 4)))(world.link)
    again = Client(await asking).open(client.cursor)
    assert again.words == ["resumed", "user_message:m4", "bookmark"]
    fresh = await world.again()
    entries = fresh.view()["data"]["entries"]
    assert [entry["text"] for entry in entries] == ["m1", "m2", "m3", "m4"]
    await world.backlog.flush()


async def test_what_was_not_written_before_a_crash_gets_the_same_numbers_again() -> None:
    journal = MemoryJournal()
    world, client = await filled(journal)
    for seq in (4, 5):
        world.link.event(seq, said(f"m{seq}", seq))
    await turn()
    heard = client.ids[-2:]
    # Killed: 4 and 5 were sent, and not written.
    _, early = await back(
        journal,
        client.cursor,
        exactly(*((seq, said(f"m{seq}", seq)) for seq in (4, 5, 6))),
    )
    assert early.words == ["resumed", "user_message:m6", "bookmark"]
    _, late = await back(
        journal, None, exactly(*((seq, said(f"m{seq}", seq)) for seq in (4, 5, 6)))
    )
    assert late.view()["data"]["entries"][-1]["text"] == "m6"
    epoch = client.ids[0].rpartition("-")[0]
    assert heard == [f"{epoch}-4", f"{epoch}-5"]
    assert early.ids == [f"{epoch}-6"]


async def test_nobody_is_judged_before_the_runtime_has_caught_up() -> None:
    journal = MemoryJournal()
    world, client = await filled(journal)
    world.link.event(4, said("m4", 4))
    await turn()
    again = World(journal=journal)
    asking = again.asking()
    await turn()
    again.link.resumed()
    await turn()
    assert not asking.done()
    again.link.event(4, said("m4", 4))
    again.link.caught_up()
    resumed = Client(await asking).open(client.cursor)
    assert resumed.words == ["resumed", "bookmark"]


async def test_a_state_from_disk_is_not_shown_while_the_runtime_is_away() -> None:
    journal = MemoryJournal()
    await filled(journal)
    world = World(journal=journal)
    asking = world.asking()
    await turn()
    world.link.lose()
    assert (await asking).name == "runtime_unavailable"


async def test_a_runtime_that_cannot_resume_exactly_begins_a_new_epoch() -> None:
    journal = MemoryJournal()
    _, client = await filled(journal)
    world, again = await back(
        journal, client.cursor, lambda link: link.snapshot(9, empty(), "fedcba9876543210")
    )
    assert again.words == ["!cursor_epoch_changed", "snapshot"]
    world.link.event(10, said("n", 1), "fedcba9876543210")
    await turn()
    await world.backlog.flush()
    # And from then on it is the new one that is kept.
    _, third = await back(journal, again.cursor, exactly())
    assert third.words == ["resumed", "bookmark"]
    _, old = await back(journal, client.cursor, exactly())
    assert old.words == ["!cursor_epoch_changed", "snapshot"]


async def test_as_much_as_a_ring_holds_can_be_replayed_and_the_log_stays_bounded() -> None:
    journal = MemoryJournal()
    world, client = await filled(journal, 0, SMALL)
    cursors = {}
    for seq in range(1, 101):
        world.link.event(seq, said(f"m{seq}", seq))
        await turn()
        cursors[seq] = client.cursor
        await world.backlog.flush()
    (name,) = await journal.logs()
    status = await journal.status(name)
    assert status.records <= 2 * SMALL.observed_ring_events + 6
    _, again = await back(journal, cursors[92], exactly(), SMALL)
    assert again.words == ["resumed", *(f"user_message:m{n}" for n in range(93, 101)), "bookmark"]
    _, expired = await back(journal, cursors[91], exactly(), SMALL)
    assert expired.words[0] == "!cursor_expired"
    _, fresh = await back(journal, None, exactly(), SMALL)
    assert fresh.view() == client.view()


async def test_events_wait_to_be_written_together() -> None:
    journal = MemoryJournal()
    world, _ = await filled(journal, 500)
    (name,) = await journal.logs()
    assert (await journal.status(name)).records == 2
    assert world.backlog is not None


class Broken(MemoryJournal):
    """A disk that fails while told to."""

    fails = False

    async def commit(self, appends) -> None:
        if self.fails:
            raise JournalError("journal.io", "no space left on device")
        await super().commit(appends)


async def test_a_disk_that_fails_delays_nobody_and_what_is_on_it_stays_true() -> None:
    journal = Broken()
    world, client = await filled(journal)
    journal.fails = True
    for seq in (4, 5):
        world.link.event(seq, said(f"m{seq}", seq))
        await world.backlog.flush()
    await turn()
    assert client.words[-1] == "user_message:m5"
    journal.fails = False
    world.link.event(6, said("m6", 6))
    await world.backlog.flush()
    await turn()
    # 4 and 5 are not on disk, so 6 is not either: the runtime replays all three.
    again, resumed = await back(
        journal, client.cursor, exactly(*((seq, said(f"m{seq}", seq)) for seq in (4, 5, 6)))
    )
    assert resumed.words == ["resumed", "bookmark"]
    assert again.link.resume.at.seq == 3


async def test_after_a_failure_the_next_snapshot_makes_a_new_beginning() -> None:
    journal = Broken()
    world, client = await filled(journal, 3, SMALL)
    journal.fails = True
    world.link.event(4, said("m4", 4))
    await world.backlog.flush()
    journal.fails = False
    for seq in range(5, 20):
        world.link.event(seq, said(f"m{seq}", seq))
    await turn()
    await world.backlog.flush()
    again, resumed = await back(journal, client.cursor, exactly(), SMALL)
    assert again.link.resume.at.seq == 19
    assert resumed.words == ["resumed", "bookmark"]


async def test_a_disk_that_does_not_keep_up_holds_no_memory() -> None:
    limits = dataclasses.replace(LIMITS, backlog_pending_bytes=2000)
    journal = MemoryJournal()
    world, client = await filled(journal, 3, limits)
    for seq in range(4, 100):
        world.link.event(seq, said(f"m{seq}", seq))
    await turn()
    await world.backlog.flush()
    assert client.words[-1] == "user_message:m99"
    again, _ = await back(journal, None, lambda link: link.snapshot(99, empty()), limits)
    assert again.link.resume.at.seq == 3


async def test_two_backends_on_one_journal_do_not_mix() -> None:
    journal = MemoryJournal()
    one, client = await filled(journal)
    other, second = await back(journal, client.cursor, exactly((4, said("m4", 4))))
    await other.backlog.flush()
    one.link.event(4, said("m4", 4))
    await turn()
    await one.backlog.flush()
    assert client.words[-1] == "user_message:m4"
    third, _ = await back(journal, second.cursor, exactly())
    assert third.link.resume.at.seq == 4


async def test_what_ended_is_forgotten() -> None:
    journal = MemoryJournal()
    world, _ = await filled(journal)
    world.link.lose(LossKind.ENDED)
    await world.backlog.flush()
    again = World(journal=journal)
    asking = again.asking()
    await turn()
    assert again.link.resume is None
    asking.cancel()


async def test_a_damaged_log_is_left_and_begun_anew() -> None:
    journal = MemoryJournal()
    _, client = await filled(journal)
    (name,) = await journal.logs()
    head = (await journal.status(name)).head
    await journal.commit([Append(name, head, [b"garbage"], LogBounds(100, 10_000))])
    world, again = await back(journal, client.cursor, lambda link: link.snapshot(3, empty()))
    assert world.link.resume is None
    assert again.words == ["resumed", "bookmark"]  # the runtime's positions are what they were
    world.link.event(4, text("a"))
    await turn()
    await world.backlog.flush()
    _, third = await back(journal, again.cursor, exactly())
    assert third.words[0] == "resumed"


async def test_a_parked_stream_that_was_let_go_comes_back_from_disk() -> None:
    journal = MemoryJournal()
    limits = dataclasses.replace(LIMITS, upstreams_parked=0)
    world, client = await filled(journal, 3, limits)
    cursor = client.cursor
    client.leave()
    world.link.event(4, said("m4", 4))
    world.timers.advance(30)
    assert world.hub.channel(WORKER) is None
    # At once, while the last event still waits to be written.
    asking = world.asking()
    await turn()
    assert world.link.resume.at.seq == 4
    exactly((5, said("m5", 5)))(world.link)
    again = Client(await asking).open(cursor)
    assert again.words == ["resumed", "user_message:m4", "user_message:m5", "bookmark"]
    await world.backlog.flush()
    third, _ = await back(journal, again.cursor, exactly(), limits)
    assert third.link.resume.at.seq == 5


async def test_it_writes_by_itself_and_finishes_when_closed(journal) -> None:
    limits = dataclasses.replace(LIMITS, backlog_flush_ms=1)
    backlog = Backlog(journal, limits)
    await backlog.start()
    log = backlog.log(WORKER)
    assert await log.load() is None
    log.begin(Position(b"epoch--1", 7), b'{"a":1}', "c7")
    log.append(8, "c8", b"{}", lambda: b"")
    await backlog.close()
    kept = await Backlog(journal).log(WORKER).load()
    assert kept is not None
    assert kept == Kept(Position(b"epoch--1", 7), b'{"a":1}', [b"{}"], "c8")
    assert kept.end == Position(b"epoch--1", 8)


async def test_names_that_are_nobody_s_are_not_remembered() -> None:
    world = World(journal=MemoryJournal())
    for number in range(20):
        asking = world.asking(Subject(SubjectKind.WORKER, f"nobody{number}", "r"))
        await turn()
        world.link.lose(LossKind.NOT_FOUND)
        assert (await asking).name == "worker_not_found"
        await world.backlog.flush()
    del asking
    world.source.links.clear()  # it remembers all it was ever asked
    gc.collect()
    assert len(world.backlog._logs) == 0
