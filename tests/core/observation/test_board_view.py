"""A board's view: items and the ends of threads, within bounds, all or nothing."""

from typing import get_args

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.observation.strategies import struct

from yoi.core.observation import BoardView
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol import board_events as be

SMALL = Limits(
    board_items=2,
    board_entries=4,
    board_thread_entries=2,
    snapshot_bytes=200,
    observed_aside_bytes=150,
)
_NAMES = st.sampled_from(["a", "b", "c"])
EVENTS = st.one_of(
    *(struct(kind) for kind in get_args(be.BoardEvent)),
    st.builds(
        lambda name, number, text: be.ThreadAdded(
            be.BoardEntry(ticket=name, number=number, kind="comment", text=text)
        ),
        _NAMES,
        st.integers(1, 6),
        st.text(max_size=60),
    ),
    st.builds(lambda name: be.ThreadRewritten(be.TicketName(id=name)), _NAMES),
    st.builds(lambda name: be.TicketGone(be.TicketName(id=name)), _NAMES),
)


def tried(view, event):
    before = be.encode_board_event(view.snapshot())
    try:
        view.apply(event)
    except ProtocolMalformed:
        assert be.encode_board_event(view.snapshot()) == before


@settings(max_examples=40)
@given(st.lists(EVENTS, max_size=15), st.lists(EVENTS, max_size=8))
def test_a_fold_goes_on_from_its_snapshot_and_from_a_copy(before, after):
    view = BoardView(SMALL)
    for event in before:
        tried(view, event)
    shown = be.decode_board_event(be.encode_board_event(view.snapshot()))
    kept = view.copy()
    again, twin = BoardView.of(shown, SMALL), view.copy()
    for event in after:
        for each in (view, again, twin):
            tried(each, event)
        assert again.snapshot() == twin.snapshot() == view.snapshot()
    assert kept.snapshot() == shown
    data = view.snapshot().data
    sizes = [len(msgspec.json.encode(one)) for one in data.entries]
    assert len(sizes) <= SMALL.board_entries
    assert sum(sizes) <= SMALL.snapshot_bytes
    assert len(data.items) <= SMALL.board_items
    assert sum(len(msgspec.json.encode(one)) for one in data.items) <= SMALL.observed_aside_bytes
    per_ticket = [one.ticket for one in data.entries]
    assert all(per_ticket.count(one) <= SMALL.board_thread_entries for one in per_ticket)
