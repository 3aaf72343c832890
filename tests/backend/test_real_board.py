"""Real item files behind both hops, in one process and in two, for several tokens."""

import asyncio
import contextlib

import pytest
from tests.backend.served import CLOCK, Caller, backend, token
from tests.backend.test_real_worker import served_source
from tests.backend.world import KEYS

from yoi.client import CaughtUp, Event, Resumed, Server, Snapshot, Target, observe, runtimes
from yoi.decisions.port import WholeWorkspace
from yoi.errors import ObserveError
from yoi.limits import LIMITS
from yoi.protocol.board_events import ThreadAdded, TicketChanged, encode_board_event
from yoi.runtime.observing import Observing
from yoi.runtime.ticket_board import TicketBoard
from yoi.serving.principals import Redaction
from yoi.tickets.store import Change, TicketStore
from yoi.types import Secret

ME = Change("ada", "2026-01-01T12:00:00Z")
SECRET = "SECRET"


@contextlib.asynccontextmanager
async def items_of(folder, where):
    """Yield a store, its board, and the runtime that shows it as a backend's source."""
    store = TicketStore(folder, CLOCK, LIMITS)
    board = TicketBoard(store, folder, WholeWorkspace(), LIMITS, asyncio.to_thread)
    observing = Observing(KEYS, dict, CLOCK)
    observing.show_board(board.stream, board.rows)
    async with served_source(observing, where) as source:
        yield store, board, source


def to(served, key):
    return Target.board(served.url, token=key, runtime_id="r")


@pytest.mark.parametrize("where", ["local", "remote"])
async def test_a_change_of_a_file_is_seen_and_a_lost_watcher_misses_none(tmp_path, where):
    """I3, O3, O7: the fold of a watcher is the board's own; scopes and redaction hold."""
    sees = token(tmp_path, "sees", "r/board/tickets")
    hidden = token(tmp_path, "hidden", redact=frozenset({Redaction.TICKETS}))
    other = token(tmp_path, "other", "r/worker/*")
    ws = tmp_path / "ws"
    async with (
        items_of(ws, where) as (store, board, source),
        backend(tmp_path, source) as served,
    ):
        item = await asyncio.to_thread(store.new, SECRET, SECRET, ME)
        await board.look()
        async with observe(to(served, sees)) as watch:
            first = await anext(watch)
            assert isinstance(first, Snapshot)
            assert [one.title for one in first.event.data.items] == [SECRET]
            await asyncio.to_thread(store.comment, item.id, SECRET, ME)
            await board.look()
            seen = [await anext(watch), await anext(watch)]
            assert [type(one.event) for one in seen] == [ThreadAdded, TicketChanged]
            cursor = watch.cursor
        for number in range(3):
            await asyncio.to_thread(store.comment, item.id, f"away {number}", ME)
            await board.look()
        async with observe(to(served, sees), cursor=cursor, snapshot="always") as watch:
            values = []
            async for value in watch:
                values.append(value)
                if isinstance(value, CaughtUp):
                    break
            assert [type(one) for one in values[:2]] == [Snapshot, Resumed]
            missed = [one.event for one in values if isinstance(one, Event)]
            said = [one.data.number for one in missed if isinstance(one, ThreadAdded)]
            assert said == [3, 4, 5]
            own = board.stream.snapshot()
            assert encode_board_event(watch.view.snapshot()) == encode_board_event(own)
        async with observe(to(served, hidden)) as watch:
            told = await anext(watch)
            assert SECRET not in told.raw.decode()
            assert [(one.id, one.state) for one in told.event.data.items] == [(item.id, "planning")]
        with pytest.raises(ObserveError, match="no such board") as caught:
            async with observe(to(served, other)) as watch:
                await anext(watch)
        assert caught.value.code == "observe.not_found"
        # A list over a socket is asked for every few seconds; in one process it is always new.
        for key, boards in ((sees, 1), (other, 0)):
            listed = await runtimes(Server(served.url, Secret("t", key)))
            shown = sum(len(one.boards) for one in listed)
            assert shown == boards or (where == "remote" and not shown)
        path = "/api/runtimes/r/boards/tickets/events/sse"
        async with Caller(served, sees).open("GET", path) as answering:
            assert b'"board_id":"tickets"' in await answering.until(b"board_snapshot")
