"""A feed full of holes, and a plugin that is slow: what is told is true, and bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.connections.conftest import settings_for

from yoi.core.deferred import DeferredCalls
from yoi.core.ingress_queue import IngressPolicy, IngressQueue
from yoi.core.repeats import Repeats
from yoi.core.session_effects import OpenReason
from yoi.limits import Limits
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import Deliver, OnFull
from yoi.permissions.sequence import SequenceSettings
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.runtime.connection_adapter import ConnectionAdapter
from yoi.runtime.intake import MemoryIntake
from yoi.runtime.ledger import Ledger
from yoi.testing import ManualClock
from yoi.types import SessionId

LIMITS = Limits(queue_lifecycle_events=4, diagnostics=8)
ROOM = 8
SESSION = SessionId("s1")


class Feed:
    """One connection's adapter and its queue; the plugin takes what it is told to take."""

    def __init__(self, policy: OnFull) -> None:
        self.clock = ManualClock()
        self.queue = IngressQueue([IngressPolicy("events", policy, ROOM, 100_000)], LIMITS)
        self.missing: set[int] = set()
        self.unnamed = 0
        self.handled: list[int] = []
        made = settings_for(
            "wss://feed.example.com/ws",
            on_full=policy,
            deliver=frozenset({Deliver.TEXT, Deliver.GAP}),
            sequence=SequenceSettings(JsonPointer.parse("/n")),
        )
        self.adapter = ConnectionAdapter(
            made,
            self.queue,
            MemoryIntake(self.queue, Repeats({}), self.clock),
            Ledger("p", self.clock, lambda _: None, LIMITS),
            self.clock,
            lambda: None,
            DeferredCalls(),
        )
        self.adapter.opened(SESSION, None, "", OpenReason.FIRST)

    def send(self, number: int) -> None:
        self.clock.advance(0.001)
        text = f'{{"n": {number}}}'
        self.adapter.text(SESSION, text, len(text))
        self.queue.resumable()

    def take(self, most: int) -> None:
        for event in self.queue.take(most, 1 << 20):
            if isinstance(event, TextFrame):
                self.handled.append(int(event.text[6:-1]))
            elif event.kind == EventKind.GAP:
                for one in event.payload.get("missing", ()):
                    self.missing |= set(range(one["first"], one["last"] + 1))
                self.unnamed += event.payload.get("missing_more", 0)
        self.queue.settle(len(self.queue._in_flight))


@settings(deadline=None)
@given(
    st.sampled_from([OnFull.DROP_OLDEST, OnFull.DROP_NEWEST]),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), max_size=80),
)
def test_numbers_are_handled_told_as_missing_or_dropped_and_the_queue_is_bounded(policy, steps):
    feed = Feed(policy)
    sent, number = set(), 0
    for forward, taken in steps:
        number += forward
        sent.add(number)
        feed.send(number)
        assert feed.queue.depth <= 2 * ROOM + LIMITS.queue_lifecycle_events
        feed.take(taken)
    while feed.queue.depth:
        feed.take(64)
    handled = set(feed.handled)
    assert handled <= sent
    assert not feed.missing & sent, "nothing that came is called missing"
    assert len(feed.handled) == len(handled)
    if not feed.unnamed and sent:
        assert feed.missing == set(range(min(sent), number)) - sent
    assert feed.adapter.drops == len(sent) - len(handled)


@pytest.mark.parametrize("policy", [OnFull.DROP_OLDEST, OnFull.DROP_NEWEST, OnFull.PAUSE])
def test_a_flood_of_holes_that_nothing_takes_is_bounded(policy):
    feed = Feed(policy)
    room = 2 * ROOM + LIMITS.queue_lifecycle_events
    for number in range(1, 2001, 2):
        if policy is not OnFull.PAUSE or number < 2 * ROOM:
            feed.send(number)
    assert feed.queue.depth <= 2 * room
    assert feed.adapter.sequence.gaps >= ROOM - 1
