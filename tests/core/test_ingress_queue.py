"""S5: the queue is bounded by count and bytes, keeps order, and never loses what it accepted."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from yoi.core.ingress_account import EVENT_OVERHEAD_BYTES, IngressPolicy, Offered
from yoi.core.ingress_queue import IngressQueue
from yoi.limits import Limits
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import EventKind, IngressEvent, TextFrame
from yoi.types import SessionId


def frame(seq: int, size: int = 10, ingress: str = "events", attempt: int = 1) -> TextFrame:
    return TextFrame(ingress, "gateway", SessionId("s"), seq, "x" * size, 0, size, attempt)


def lifecycle(kind: EventKind = EventKind.CLOSE, ingress: str = "events") -> IngressEvent:
    return IngressEvent(
        kind=kind,
        source="websocket:gateway",
        ingress_name=ingress,
        payload=gap(0, 0) if kind is EventKind.GAP else {},
        created_at="2026-01-01T00:00:00.000Z",
        correlation_id="c",
    )


def gap(since_ms: int, until_ms: int, count: int | None = None) -> dict:
    return {
        "since": str(since_ms),
        "since_ms": since_ms,
        "until": str(until_ms),
        "until_ms": until_ms,
        "why": "lost",
        "count": count,
    }


def queue(overflow: OnFull = OnFull.PAUSE, events: int = 4, size: int = 1 << 20):
    return IngressQueue([IngressPolicy("events", overflow, events, size)])


def test_events_leave_in_the_order_they_came():
    q = queue(events=100)
    for seq in range(5):
        assert q.offer(frame(seq)) is Offered.ACCEPTED
    assert [e.seq for e in q.take(3, 1000)] == [0, 1, 2]
    q.settle(3)
    assert [e.seq for e in q.take(3, 1000)] == [3, 4]


def test_an_unsettled_rest_goes_back_to_the_front():
    q = queue(events=100)
    for seq in range(4):
        q.offer(frame(seq))
    q.take(4, 1000)
    q.settle(1)
    q.give_back()
    assert [e.seq for e in q.take(4, 1000)] == [1, 2, 3]


def test_taking_twice_is_a_defect():
    q = queue()
    q.offer(frame(1))
    q.take(1, 100)
    with pytest.raises(RuntimeError):
        q.take(1, 100)


def test_a_retried_event_travels_alone():
    q = queue(events=100)
    for event in (frame(1), frame(2, attempt=2), frame(3)):
        q.offer(event)
    batches = []
    while taken := q.take(64, 1 << 20):
        batches.append([e.seq for e in taken])
        q.settle(len(taken))
    assert batches == [[1], [2], [3]]


def test_a_batch_never_mixes_ingresses():
    q = IngressQueue([IngressPolicy("a"), IngressPolicy("b")])
    for seq, ingress in enumerate("aab"):
        q.offer(frame(seq, ingress=ingress))
    assert [e.seq for e in q.take(64, 1 << 20)] == [0, 1]


def test_a_batch_is_bounded_by_bytes_but_one_event_always_passes():
    q = queue(events=100)
    for seq in range(3):
        q.offer(frame(seq, size=400))
    assert len(q.take(64, 1000)) == 2
    q.settle(2)
    assert len(q.take(64, 10)) == 1


def test_pause_asks_to_stop_reading_and_accepts_what_was_already_read():
    q = queue(OnFull.PAUSE, events=4)
    answers = [q.offer(frame(seq)) for seq in range(10)]
    assert answers == [Offered.ACCEPTED] * 2 + [Offered.PAUSE] * 8
    assert q.depth == 10


def test_pause_gives_up_when_the_overdraft_is_used():
    limits = Limits(queue_overdraft_bytes=2000)
    q = IngressQueue([IngressPolicy("events", OnFull.PAUSE, 4, 1000)], limits)
    answers = [q.offer(frame(seq, size=300)) for seq in range(20)]
    assert answers[-1] is Offered.DISCONNECT
    assert q.bytes <= 3000 + 300 + EVENT_OVERHEAD_BYTES
    assert q.account("events").dropped > 0


def large(seq: int, connection: str = "gateway") -> TextFrame:
    made = frame(seq, size=5000)
    made.connection = connection
    return made


@pytest.mark.parametrize("policy", list(OnFull))
def test_no_frame_is_refused_for_its_own_size(policy):
    """C5: the target bounds a message; what an idle plugin may have does not hang on the queue."""
    q = queue(policy, size=1000)
    q.offer(lifecycle(EventKind.OPEN))
    first = Offered.PAUSE if policy is OnFull.PAUSE else Offered.ACCEPTED
    assert q.offer(large(1)) is first
    q.take(64, 1 << 20)
    assert q.offer(large(2)) is first  # the first is in hand
    assert [e.seq for e in q._waiting] == [2]


def test_paused_connections_may_each_have_one_large_frame_under_way():
    limits = Limits(queue_overdraft_bytes=0)
    q = IngressQueue([IngressPolicy("events", OnFull.PAUSE, 100, 1000)], limits)
    assert q.offer(large(1)) is Offered.PAUSE
    assert q.offer(large(2, "other")) is Offered.PAUSE
    assert q.offer(large(3, "other")) is Offered.DISCONNECT


def test_drop_oldest_gives_way_to_a_large_frame():
    q = queue(OnFull.DROP_OLDEST, events=100, size=1000)
    assert q.offer(frame(1)) is Offered.ACCEPTED
    assert q.offer(large(2)) is Offered.ACCEPTED
    assert q.offer(large(3)) is Offered.DROPPED_OLDEST
    assert [e.seq for e in q.take(64, 1 << 20)] == [3]


def test_reading_resumes_once_there_is_room():
    q = queue(OnFull.PAUSE, events=8)
    for seq in range(8):
        q.offer(frame(seq))
    assert q.resumable() == []
    q.take(64, 1 << 20)
    q.settle(8)
    assert q.resumable() == ["events"]
    assert q.resumable() == []


@pytest.mark.parametrize(
    ("policy", "expected", "kept"),
    [
        (OnFull.DROP_NEWEST, Offered.REFUSED, [0, 1, 2, 3]),
        (OnFull.DROP_OLDEST, Offered.DROPPED_OLDEST, [1, 2, 3, 4]),
        (OnFull.DISCONNECT, Offered.DISCONNECT, [0, 1, 2, 3]),
    ],
)
def test_overflow_policies(policy, expected, kept):
    q = queue(policy, events=4)
    for seq in range(4):
        assert q.offer(frame(seq)) is Offered.ACCEPTED
    assert q.offer(frame(4)) is expected
    assert q.account("events").dropped == 1
    assert [e.seq for e in q.take(64, 1 << 20)] == kept


def test_drop_oldest_spares_lifecycle_events():
    q = queue(OnFull.DROP_OLDEST, events=2)
    q.offer(lifecycle(EventKind.OPEN))
    q.offer(frame(1))
    q.offer(frame(2))
    assert [e.kind for e in q.take(64, 1 << 20)] == [EventKind.OPEN, EventKind.TEXT]


def test_lifecycle_events_have_room_of_their_own():
    q = queue(OnFull.DROP_NEWEST, events=2)
    for seq in range(5):
        q.offer(frame(seq))
    assert q.offer(lifecycle()) is Offered.ACCEPTED


def test_beyond_the_reserved_room_lifecycle_events_coalesce_and_none_is_refused():
    q = IngressQueue([IngressPolicy("events")], Limits(queue_lifecycle_events=2))
    answers = [q.offer(lifecycle()) for _ in range(4)]
    assert answers == [Offered.ACCEPTED] * 2 + [Offered.COALESCED] * 2
    assert q.take(10, 1000)[-1].payload == {"repeated": 2}


def test_one_lane_cannot_use_the_room_of_another():
    q = IngressQueue(
        [
            IngressPolicy("noisy", OnFull.DROP_NEWEST, 2),
            IngressPolicy("quiet", OnFull.DROP_NEWEST, 2),
        ]
    )
    for seq in range(10):
        q.offer(frame(seq, ingress="noisy"))
    assert q.offer(frame(11, ingress="quiet")) is Offered.ACCEPTED


class QueueMachine(RuleBasedStateMachine):
    """Whatever happens, accepted events come out once, in order, within the bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(queue_overdraft_bytes=5_000, queue_lifecycle_events=3)
        self.policy = IngressPolicy("events", OnFull.PAUSE, 6, 6 * (EVENT_OVERHEAD_BYTES + 50))
        self.q = IngressQueue([self.policy], self.limits)
        self.awaited = frame(0)
        self.seq = 0
        self.expected: list[int] = []
        self.out: list[int] = []

    @rule(size=st.integers(0, 600), policy=st.sampled_from(OnFull))
    def offer(self, size: int, policy: OnFull) -> None:
        self.seq += 1
        waiting_before = self.q.waiting
        offered = self.q.offer(frame(self.seq, size), policy)
        if offered in (Offered.ACCEPTED, Offered.PAUSE):
            self.expected.append(self.seq)
        elif offered is Offered.DROPPED_OLDEST:
            gone = waiting_before + 1 - self.q.waiting
            first_waiting = len(self.expected) - waiting_before
            del self.expected[first_waiting : first_waiting + gone]
            self.expected.append(self.seq)

    @precondition(lambda self: not self.q.busy)
    @rule(most=st.integers(1, 5))
    def take(self, most: int) -> None:
        self.q.take(most, 2_000)

    @precondition(lambda self: self.q.busy)
    @rule(keep=st.integers(0, 5))
    def finish(self, keep: int) -> None:
        flying = self.q.depth - self.q.waiting
        done = min(keep, flying)
        self.out.extend(self.expected[:done])
        del self.expected[:done]
        self.q.settle(done)
        self.q.give_back()

    @precondition(lambda self: not self.q.busy)
    @rule(hold=st.booleans())
    def hold(self, hold: bool) -> None:
        (self.q.hold if hold else self.q.release)(self.awaited)

    @rule()
    def resume(self) -> None:
        self.q.resumable()

    @invariant()
    def accounted(self) -> None:
        assert self.q.depth == len(self.expected)
        assert self.out == sorted(self.out)
        assert 0 <= self.q.bytes <= self.policy.max_bytes + self.limits.queue_overdraft_bytes
        if not self.expected:
            assert self.q.bytes == 0

    def teardown(self) -> None:
        if self.q.busy:
            self.q.give_back()
        self.q.release(self.awaited)
        rest = []
        while taken := self.q.take(64, 1 << 20):
            rest += [e.seq for e in taken]
            self.q.settle(len(taken))
        assert rest == self.expected


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40)


def test_feedback_leaves_half_of_the_reserved_room_to_the_connection():
    """W3: a plugin whose every command is refused still hears of closes and gaps."""
    q = IngressQueue([IngressPolicy("events")], Limits(queue_lifecycle_events=4))
    assert [q.offer(lifecycle(EventKind.DENIED)) for _ in range(3)] == [
        Offered.ACCEPTED,
        Offered.ACCEPTED,
        Offered.REFUSED,
    ]
    assert not q.reserved_room(EventKind.SEND_FAILED)
    assert q.offer(lifecycle(EventKind.CLOSE)) is Offered.ACCEPTED
    assert q.offer(lifecycle(EventKind.GAP)) is Offered.ACCEPTED
    assert q.offer(lifecycle(EventKind.OPEN)) is Offered.ACCEPTED
    assert q.offer(lifecycle(EventKind.GAP)) is Offered.COALESCED


def test_a_large_frame_says_how_many_small_ones_it_cost():
    """W3: the gap's count is what was really lost."""
    q = queue(OnFull.DROP_OLDEST, events=8, size=8 * (EVENT_OVERHEAD_BYTES + 10))
    for seq in range(8):
        q.offer(frame(seq))
    assert q.offer(frame(8, size=3 * (EVENT_OVERHEAD_BYTES + 10))) is Offered.DROPPED_OLDEST
    assert len(q.evicted) == 4
    assert [e.seq for e in q.take(64, 1 << 20)] == [4, 5, 6, 7, 8]


def test_drop_oldest_never_costs_another_connection_its_frames():
    """The loss is reported where it happened: as a gap of the connection that overflowed."""
    q = queue(OnFull.DROP_OLDEST, events=4)
    other = frame(1)
    other.connection = "other"
    q.offer(other)
    for seq in range(5):
        q.offer(frame(seq))
    taken = q.take(64, 1 << 20)
    assert other in taken
    assert [e.seq for e in taken if e is not other] == [2, 3, 4]


def test_a_held_ingress_waits_in_order_while_others_go_on():
    """P3: between two attempts the later events of the ingress wait, and nobody else's."""
    q = IngressQueue([IngressPolicy("a"), IngressPolicy("b")])
    for seq in (1, 2):
        q.offer(frame(seq, ingress="a"))
        q.offer(frame(seq, ingress="b"))
    awaited = frame(0, ingress="a")
    q.hold(awaited)
    q.release(frame(0, ingress="a"))
    q.offer(frame(3, ingress="a"))
    assert [(e.ingress, e.seq) for e in q.take(10, 1000)] == [("b", 1), ("b", 2)]
    q.settle(2)
    assert q.take(10, 1000) == []
    assert q.depth == q.waiting == 3
    q.offer(frame(3, ingress="b"))
    q.release(awaited)
    q.release(awaited)
    assert [(e.ingress, e.seq) for e in q.take(10, 1000)] == [("a", 1), ("a", 2), ("a", 3)]
    q.settle(3)
    assert [(e.ingress, e.seq) for e in q.take(10, 1000)] == [("b", 3)]
    q.settle(1)
    q.hold(awaited)
    q.offer(frame(4, ingress="a"))
    assert [e.seq for e in q.clear()] == [4]
    q.offer(frame(5, ingress="a"))
    assert [e.seq for e in q.take(10, 1000)] == [5], "cleared is not held"
