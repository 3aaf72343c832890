"""D3: gap, open and close events coalesce, and never vanish."""

from hypothesis import example, given
from hypothesis import strategies as st

from yoi.core.coalescing import covering
from yoi.core.ingress_account import IngressPolicy, Offered
from yoi.core.ingress_queue import IngressQueue
from yoi.limits import LIMITS, Limits
from yoi.protocol.ingress import EventKind, IngressEvent, TextFrame
from yoi.types import SessionId

WHOLE = frozenset({EventKind.OPEN, EventKind.CLOSE, EventKind.GAP, EventKind.ERROR})


class Gateway:
    """One connection as its adapter reports it, into a queue with hardly any reserved room."""

    def __init__(self, deliver: frozenset[EventKind], room: int) -> None:
        self.queue = IngressQueue([IngressPolicy("events")], Limits(queue_lifecycle_events=room))
        self.deliver = deliver
        self.now = 0
        self.sessions = 0
        self.seq = 0
        self.gaps: list[tuple[int, int, int | None]] = []
        self.silent: set[str] = set()

    def event(self, kind: EventKind, **payload: object) -> None:
        self.now += 1
        if kind in self.deliver:
            session = f"s{self.sessions}"
            event = IngressEvent(
                kind=kind,
                source="websocket:g",
                ingress_name="events",
                payload={"connection": "g", "session": session, **payload},
                created_at="t",
                correlation_id=f"e{self.now}",
            )
            assert self.queue.offer(event) in (Offered.ACCEPTED, Offered.COALESCED)

    def session(self, frames: int, count: int | None) -> None:
        """One session with some frames, then a gap of which `count` frames are known."""
        self.sessions += 1
        self.event(EventKind.OPEN)
        for _ in range(frames):
            self.seq += 1
            frame = TextFrame("events", "g", SessionId(f"s{self.sessions}"), self.seq, "", 0, 0)
            self.queue.offer(frame)
        if not frames:
            self.silent.add(f"s{self.sessions}")
        self.event(EventKind.CLOSE)
        since = self.now
        self.now += 5
        self.gaps.append((since, self.now, count))
        self.event(
            EventKind.GAP,
            since=str(since), since_ms=since, until=str(self.now), until_ms=self.now,
            why="lost", count=count,
        )  # fmt: skip

    def waiting(self) -> list[IngressEvent | TextFrame]:
        taken: list[IngressEvent | TextFrame] = []
        while batch := self.queue.take(64, 1 << 20):
            taken += batch
            self.queue.settle(len(batch))
        assert self.queue.bytes == 0
        assert self.queue.depth == 0
        return taken


@example([(0, None, 0)] * 3, 4, frozenset({EventKind.OPEN, EventKind.CLOSE}))
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 9)), st.integers(0, 2)),
        max_size=30,
    ),
    st.integers(0, 4),
    st.frozensets(st.sampled_from(sorted(WHOLE)), min_size=1),
)
def test_whatever_ends_and_however_often_the_plugin_hears_of_it(sessions, room, deliver):
    gateway = Gateway(frozenset(EventKind(k) for k in deliver), room)
    for frames, count, errors in sessions:
        gateway.session(frames, count)
        for _ in range(errors):
            gateway.event(EventKind.ERROR, code="connection.refused", message="")
    heard = gateway.waiting()
    frames = [e for e in heard if isinstance(e, TextFrame)]
    assert [f.seq for f in frames] == list(range(1, gateway.seq + 1))
    events = [e for e in heard if not isinstance(e, TextFrame)]
    assert len(events) <= room + 6 * (len(frames) + 1), "bounded by the frames that wait"
    if EventKind.GAP in gateway.deliver:
        told = [e.payload for e in events if e.kind == EventKind.GAP]
        for since, until, _ in gateway.gaps:
            assert any(g["since_ms"] <= since and until <= g["until_ms"] for g in told)
        if all(count is not None for *_, count in gateway.gaps):
            assert sum(g["count"] for g in told) == sum(c or 0 for *_, c in gateway.gaps)
    if {EventKind.OPEN, EventKind.CLOSE} <= gateway.deliver:
        opens = [e.session for e in events if e.kind == EventKind.OPEN]
        closes = [e.session for e in events if e.kind == EventKind.CLOSE]
        spoken = [f"s{n}" for n in range(1, gateway.sessions + 1) if f"s{n}" not in gateway.silent]
        assert set(spoken) <= set(opens), "a session with frames is opened"
        assert set(spoken) <= set(closes), "and closed"
        assert opens == closes, "in order, each that is opened is closed"


@given(st.integers(2, 300))
def test_a_flood_of_sessions_is_told_as_one_gap(many):
    gateway = Gateway(WHOLE, 3)
    for _ in range(many):
        gateway.session(0, 2)
    heard = gateway.waiting()
    (gap,) = [e.payload for e in heard if e.kind == EventKind.GAP]
    assert gap["count"] == 2 * many
    opened = sum(e.kind == EventKind.OPEN for e in heard)
    assert gap["sessions"] == many - opened
    assert len(heard) <= 6


def test_gaps_that_become_one_name_the_missing_numbers_of_both_up_to_a_bound():
    def gap(*ranges, more=0):
        named = [{"per": None, "first": n, "last": n} for n in ranges]
        return {
            "since": "a", "until": "b", "since_ms": 1, "until_ms": 2, "why": "sequence", "count": 1,
            **({"missing": named} if named else {}), **({"missing_more": more} if more else {}),
        }  # fmt: skip

    both = covering(gap(1), gap(2, 3))
    assert [one["first"] for one in both["missing"]] == [1, 2, 3]
    assert "missing_more" not in both
    most = LIMITS.gap_ranges
    full = covering(gap(*range(most), more=2), gap(*range(5)))
    assert len(full["missing"]) == most
    assert full["missing_more"] == 7
    assert "missing" not in covering(gap(), gap())
