"""The board's stream: filled from real files, whoever changes them, soon after it happened."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from yoi.decisions.port import WholeWorkspace
from yoi.limits import LIMITS
from yoi.protocol.board_events import BoardSnapshot, ThreadAdded, TicketChanged
from yoi.runtime import ticket_board
from yoi.runtime.ticket_board import TicketBoard
from yoi.testing import ManualClock
from yoi.tickets.store import Change, TicketStore

ME = Change("ada", "2026-01-01T12:00:00Z")


class Heard:
    """Hears a stream; `until` waits for something in it."""

    def __init__(self, stream):
        self.events, self.restarts = [], []
        self._changed = asyncio.Event()
        stream.listen(self)

    def published(self, seq, held):
        self.events.append(held.event)
        self._changed.set()

    def restarted(self, reason):
        self.restarts.append(reason)
        self._changed.set()

    async def until(self, holds):
        async with asyncio.timeout(60):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


def board(tmp_path, **limits):
    bounds = replace(LIMITS, **limits)
    store = TicketStore(tmp_path, ManualClock(), bounds)
    made = TicketBoard(store, tmp_path, WholeWorkspace(), bounds, asyncio.to_thread)
    return store, made, Heard(made.stream)


@pytest.mark.parametrize("native", [True, False])
async def test_a_change_by_anybody_is_published_soon(tmp_path, monkeypatch, native):
    """Where the system tells of changes nothing waits for a look; elsewhere a look finds them."""
    if not native:
        monkeypatch.setattr(ticket_board, "awatch", refuses)
    look_ms = 3_600_000 if native else 20
    store, made, heard = board(tmp_path, ticket_look_ms=look_ms)
    item = store.new("A", "x", ME)
    async with made.watching():
        assert made.rows() == [
            {
                "id": "tickets", "items": 1, "queued": 0, "inprogress": 0, "undecided": 0,
                "damaged": 0,
            }
        ]  # fmt: skip
        await commented(store, item, heard)
        other = await asyncio.to_thread(store.new, "B", "x", ME)
        await heard.until(lambda: other.id in [of(one) for one in heard.events])
        await commented(store, other, heard)


async def commented(store, item, heard):
    """Comment until one is heard: the system is asked about a folder from some moment on."""
    told = [ThreadAdded, item.id]
    before = [[type(one), of(one)] for one in heard.events].count(told)
    while [[type(one), of(one)] for one in heard.events].count(told) == before:
        await asyncio.to_thread(store.comment, item.id, "by another process", ME)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await heard.until(lambda: told in [[type(one), of(one)] for one in heard.events])


def of(event):
    return event.data.id if isinstance(event, TicketChanged) else event.data.ticket


async def refuses(*_, **__):
    raise OSError("no more watches")
    yield


async def test_very_many_changes_are_a_new_beginning(tmp_path):
    store, made, heard = board(tmp_path, board_burst=4)
    for number in range(3):
        store.new(f"A{number}", "x", ME)
    epoch = made.stream.epoch
    await made.look()
    assert (heard.events, heard.restarts) == ([], ["upstream_resync"])
    assert made.stream.epoch != epoch
    snapshot = made.stream.snapshot()
    assert isinstance(snapshot, BoardSnapshot)
    assert (len(snapshot.data.items), len(snapshot.data.entries)) == (3, 3)
    await made.look()
    assert heard.events == []


async def test_what_cannot_be_looked_at_is_looked_at_again(tmp_path):
    store, made, heard = board(tmp_path)
    store.root.parent.mkdir()
    store.root.write_text("a file")
    await made.look()
    assert made.rows() == []
    store.root.unlink()
    store.new("A", "x", ME)
    await made.look()
    assert [type(one) for one in heard.events] == [TicketChanged, ThreadAdded]
