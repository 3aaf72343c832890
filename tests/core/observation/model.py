"""The observation core against a reference that cannot be wrong: a list of all that ever happened.

Shared by test_model.py and fuzzing/. The machine does to a stream what runtimes, clients and
attackers do, in any order; each client reads the bytes it is given as a client would, and knows
from the reference what they must say.
"""

import json
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)
from tests.core.observation.wires import read_frames

from yoi.core.observation import Feed, Follower, FollowerState, Framing, Stream
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol.cursors import CursorCodec, CursorFault, CursorKeys, Position
from yoi.protocol.observation import (
    OBSERVATION_CODES,
    BookmarkFrame,
    CloseCode,
    DiagnosticFrame,
    EventFrame,
    Hop,
    ResumedFrame,
    Subject,
    SubjectKind,
)

LIMITS = Limits(
    observed_mark_events=3,
    observed_ring_events=5,
    observed_ring_bytes=160,
    bookmark_ms=1000,
    follower_stall_ms=3000,
)
KEYS = CursorKeys(b"new.", {b"new.": b"n" * 32, b"old.": b"o" * 32})
OLD_KEYS = CursorKeys(b"old.", {b"old.": b"o" * 32})
LOST_KEYS = CursorKeys(b"lost", {b"lost": b"l" * 32})
SUBJECT = Subject(SubjectKind.WORKER, "w", "r")


class Said(msgspec.Struct, frozen=True):
    """An event: a number, and words that not everybody may read."""

    n: int
    words: str


class All(msgspec.Struct, frozen=True):
    """A snapshot: everything said so far."""

    all: list[Said]


class AllView:
    """A view that keeps everything, but refuses poison."""

    def __init__(self, said: list[Said]) -> None:
        self.said = list(said)

    def apply(self, event: Said) -> None:
        if event.words == "poison":
            raise ProtocolMalformed("protocol.malformed", "poison")
        self.said.append(event)

    def snapshot(self) -> All:
        return All(list(self.said))

    def copy(self) -> "AllView":
        return AllView(self.said)


def shown_to_all(event):
    return event


def redacted(event):
    if isinstance(event, All):
        return All([redacted(each) for each in event.all])
    return Said(event.n, "") if event.words else event


def hiding(event):
    """Hides every event whose number is a multiple of three."""
    if isinstance(event, All):
        return All([each for each in event.all if each.n % 3])
    return event if event.n % 3 else None


PROJECTIONS = {"all": shown_to_all, "redacted": redacted, "hiding": hiding}
FEEDS = [(name, framing) for name in PROJECTIONS for framing in Framing]


@dataclass
class Incarnation:
    """What the reference knows of one epoch: everything."""

    epoch: bytes
    start: list[Said]
    events: list[Said] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    dropped: int = 0

    @property
    def head(self) -> int:
        return len(self.events)

    def add(self, event: Said, size: int) -> None:
        self.events.append(event)
        self.sizes.append(size)
        while (held := self.sizes[self.dropped :]) and (
            len(held) > LIMITS.observed_ring_events
            or (sum(held) > LIMITS.observed_ring_bytes and len(held) > 1)
        ):
            self.dropped += 1

    def fold(self, seq: int) -> list[Said]:
        return self.start + self.events[:seq]


@dataclass(frozen=True)
class Known:
    """A cursor somebody has seen."""

    text: str
    projection: str
    place: Position


class Client:
    """One connection: reads what a follower hands over, and checks it against the reference."""

    def __init__(self, machine: "ObservationMachine", projection: str, framing: Framing) -> None:
        self.machine = machine
        self.projection, self.framing = projection, framing
        self.project = PROJECTIONS[projection]
        self.feed = machine.feeds[projection, framing]
        self.follower = Follower(self.feed, machine.now, LIMITS)
        self.epoch = b""
        self.place = -1
        self.state: list[Said] | None = None
        self.ids: set[str] = set()
        self.cursors: list[Known] = []
        self.expected: list[str] = []
        """What must come next, before anything else: `snapshot`, `resumed`, or a diagnostic."""
        self.replaying = False
        self.paused = False

    # What it does

    def open(self, cursor: str | None, answer: str, known: Known | None, always: bool) -> None:
        now = self.machine.now
        if answer == "resumed":
            assert known is not None
            # It kept its state, or it is given that state once more.
            self.epoch, self.place = known.place
            self.state = None if always else self._fold(self.place)
            self.expected = ["snapshot", "resumed"] if always else ["resumed"]
            self.replaying = True
        elif answer == "snapshot":
            self.expected = ["snapshot"]
        elif answer == "cursor_malformed":
            self.expected = [answer]
        else:
            self.expected = [answer, "snapshot"]
        self.read(self.follower.open(cursor, now, snapshot_always=always))
        assert self.expected == []
        if answer == "cursor_malformed":
            assert self.follower.closed_with is CloseCode.CURSOR_MALFORMED
        else:
            assert self.follower.closed_with is None

    def pull(self, most_bytes: int) -> bool:
        before, incarnation = self.place, self.machine.incarnation
        if self.follower.state in (FollowerState.LIVE, FollowerState.REPLAYING):
            if self.epoch != incarnation.epoch:
                self.expected = [self.machine.reason, "snapshot"]
            elif self.sent < incarnation.dropped:
                self.expected = ["lagged", "snapshot"]
        behind = self.follower.behind
        lost = incarnation.dropped - self.sent
        lagged = self.expected[:1] == ["lagged"]
        data = self.follower.pull(self.machine.now, most_bytes)
        frames = self.read(data)
        assert self.expected == []
        if lagged:
            assert frames[0].diagnostic.dropped == lost
        assert behind or not data
        if not data:
            assert not self.follower.behind
        if len(frames) > 1 and not self.replaying and self.place != before:
            visible = [frame for frame in frames if isinstance(frame, EventFrame)]
            assert len(data) <= most_bytes or len(visible) == 1 or len(frames) != len(visible)
        return bool(data)

    def drain(self, most_bytes: int) -> None:
        """Take all there is, in no more steps than there are frames."""
        for _ in range(LIMITS.observed_ring_events + 4):
            if not self.pull(most_bytes):
                return
        raise AssertionError("it has no end")

    @property
    def sent(self) -> int:
        return self.follower._sent

    # What it reads

    def read(self, data: bytes) -> list:
        frames = read_frames(self.framing, data)
        for frame, cursor in frames:
            match frame:
                case EventFrame(envelope):
                    assert envelope.cursor == cursor
                    self._event(envelope)
                case ResumedFrame(text):
                    assert text == cursor
                    assert self.expected[:1] == ["resumed"]
                    self.expected.pop(0)
                    assert self._place(text) == Position(self.epoch, self.place)
                case BookmarkFrame(text, up_to_date):
                    assert text == cursor
                    self._bookmark(text, up_to_date)
                case DiagnosticFrame(entry):
                    assert cursor == ""
                    assert entry.code == f"backend.{self.expected[0]}"
                    assert entry.action == OBSERVATION_CODES[entry.name].action
                    self.expected.pop(0)
                case _:
                    raise AssertionError(frame)
        return [frame for frame, _ in frames]

    def _event(self, envelope) -> None:
        place = self._place(envelope.cursor)
        assert (envelope.runtime_id, envelope.worker_id) == ("r", "w")
        ident = f"{place.epoch.hex()}-{place.seq}"
        assert place.epoch == self.machine.incarnation.epoch
        payload = json.loads(bytes(envelope.payload))
        if envelope.event_id == ident + ".s":
            assert self.expected[:1] == ["snapshot"], "a snapshot that nobody asked for"
            self.expected.pop(0)
            if self.expected == ["resumed"]:
                assert place == Position(self.epoch, self.place)
            else:
                assert place.seq == self.machine.incarnation.head
                self.replaying = False
                self.ids.clear()
            self.epoch, self.place = place
            self.state = msgspec.convert(payload, All).all
            assert self.state == self._fold(place.seq)
            return
        assert self.expected == [], f"an event where {self.expected} is due"
        assert envelope.event_id == ident
        assert ident not in self.ids
        self.ids.add(ident)
        assert place.epoch == self.epoch
        assert place.seq > self.place, "out of order, or twice"
        self._nothing_missed(place.seq - 1)
        event = msgspec.convert(payload, Said)
        assert event == self.project(self.machine.incarnation.events[place.seq - 1])
        self.state.append(event)
        self.place = place.seq

    def _bookmark(self, text: str, up_to_date: bool) -> None:
        place = self._place(text)
        assert self.expected == []
        assert up_to_date
        assert place == Position(self.epoch, self.machine.incarnation.head)
        self._nothing_missed(place.seq)
        self.place = place.seq
        self.replaying = False

    def _nothing_missed(self, up_to: int) -> None:
        """Everything between the place of the client and `up_to` is hidden from it."""
        between = self.machine.incarnation.events[self.place : up_to]
        assert all(self.project(event) is None for event in between), "a gap that nobody told"

    def _place(self, text: str) -> Position:
        place = self.machine.codecs[self.projection].decode(text)
        assert isinstance(place, Position)
        self.cursors.append(Known(text, self.projection, place))
        return place

    def _fold(self, seq: int) -> list[Said]:
        return self.project(All(self.machine.incarnation.fold(seq))).all


class Ears:
    """Listens in process."""

    def __init__(self, machine: "ObservationMachine") -> None:
        self.machine = machine
        self.heard: list = []

    def published(self, seq, held) -> None:
        assert held.event == self.machine.stream.held(seq).event
        self.heard.append((self.machine.stream.epoch, seq, held.event))

    def restarted(self, reason) -> None:
        self.heard.append(reason)

    def ended(self, reason) -> None:
        self.heard.append(reason)


class ObservationMachine(RuleBasedStateMachine):
    """Any history of one stream, its feeds and its clients."""

    clients = Bundle("clients")
    cursors = Bundle("cursors")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.number = 0
        self.epochs = 1
        self.reason = ""
        self.incarnation = Incarnation(self._epoch(), [])
        self.stream = Stream(SUBJECT, AllView([]), self.incarnation.epoch, LIMITS)
        self.projected: Counter = Counter()
        self.codecs = {name: CursorCodec(KEYS, Hop.BACKEND, SUBJECT, name) for name in PROJECTIONS}
        self.feeds = {
            (name, framing): Feed(
                self.stream,
                self.stream.subject,
                Hop.BACKEND,
                self.codecs[name],
                framing,
                self._counting(name, framing),
                msgspec.json.encode,
            )
            for name, framing in FEEDS
        }
        self.ears = Ears(self)
        self.wanted: list = []
        self.stream.listen(self.ears)
        self.open_clients: list[Client] = []

    def _epoch(self) -> bytes:
        self.epochs += 1
        return self.epochs.to_bytes(8, "big")

    def _counting(self, name: str, framing: Framing):
        project = PROJECTIONS[name]

        def counted(event):
            if isinstance(event, Said):
                self.projected[name, framing, self.stream.epoch, event.n] += 1
            return project(event)

        return counted

    # What the stream does

    @precondition(lambda self: self.stream.end_reason is None)
    @rule(words=st.sampled_from(["", "a", "b" * 20, "c" * 90, "d\n" * 3, "e" * 300]))
    def publish(self, words):
        self.number += 1
        event = Said(self.number, words)
        # Some upstreams write their JSON over several lines.
        raw = msgspec.json.format(msgspec.json.encode(event), indent=2 * (self.number % 2))
        self.incarnation.add(event, len(raw))
        assert self.stream.publish(event, raw) == self.incarnation.head
        self.wanted.append((self.incarnation.epoch, self.incarnation.head, event))

    @precondition(lambda self: self.stream.end_reason is None)
    @rule(count=st.integers(2, 12))
    def publish_many(self, count):
        for _ in range(count):
            self.publish("")

    @rule()
    def publish_poison(self):
        before = (self.stream.head, self.stream.version, self.stream.ring_bytes)
        try:
            self.stream.publish(Said(0, "poison"), b"{}")
        except ProtocolMalformed:
            pass
        else:
            raise AssertionError("poison was taken")
        assert (self.stream.head, self.stream.version, self.stream.ring_bytes) == before

    @precondition(lambda self: self.stream.end_reason is None)
    @rule(
        keep=st.integers(0, 3), reason=st.sampled_from(["upstream_resync", "cursor_epoch_changed"])
    )
    def restart(self, keep, reason):
        start = self.incarnation.fold(self.incarnation.head)[-keep:] if keep else []
        self.incarnation = Incarnation(self._epoch(), start)
        self.reason = reason
        self.stream.restart(AllView(start), self.incarnation.epoch, reason)
        self.wanted.append(reason)

    @precondition(lambda self: self.incarnation.head > 10)
    @rule()
    def end(self):
        if self.stream.end_reason is None:
            self.wanted.append("stream_closed")
        self.stream.end("stream_closed")

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def wait(self, seconds):
        self.now += seconds

    # What clients do

    def _opened(self, feed, cursor, answer, known=None, always=False) -> Client:
        client = Client(self, *feed)
        client.open(cursor, answer, known, always)
        if client.follower.closed_with is None:
            self.open_clients.append(client)
        return client

    def _answer(self, projection: str, known: Known) -> str:
        """Say, from the contract's table alone, what `known` is answered."""
        if known.projection != projection:
            return "cursor_foreign"
        if known.place.epoch != self.incarnation.epoch:
            return "cursor_epoch_changed"
        if known.place.seq > self.incarnation.head:
            return "cursor_future"
        if known.place.seq < self.incarnation.dropped:
            return "cursor_expired"
        return "resumed"

    @rule(target=clients, feed=st.sampled_from(FEEDS))
    def open_fresh(self, feed):
        return self._opened(feed, None, "snapshot")

    @rule(target=clients, feed=st.sampled_from(FEEDS), known=cursors, always=st.booleans())
    def open_with_a_known_cursor(self, feed, known, always):
        answer = self._answer(feed[0], known)
        return self._opened(feed, known.text, answer, known, always)

    @rule(target=clients, client=clients, always=st.booleans())
    def open_where_another_is(self, client, always):
        if not client.cursors:
            return multiple()
        known = client.cursors[-1]
        feed = (client.projection, client.framing)
        return self._opened(feed, known.text, self._answer(feed[0], known), known, always)

    @rule(
        target=clients,
        feed=st.sampled_from(FEEDS),
        keys=st.sampled_from([KEYS, OLD_KEYS, LOST_KEYS]),
        ahead=st.integers(-8, 3),
        always=st.booleans(),
    )
    def open_anywhere(self, feed, keys, ahead, always):
        """Any place of this epoch, signed with the current key, an older one, or a lost one."""
        place = Position(self.incarnation.epoch, max(0, self.incarnation.head + ahead))
        text = CursorCodec(keys, Hop.BACKEND, SUBJECT, feed[0]).encode(*place)
        known = Known(text, feed[0], place)
        answer = "cursor_key_unknown" if keys is LOST_KEYS else self._answer(feed[0], known)
        return self._opened(feed, text, answer, known, always)

    @rule(
        target=clients,
        feed=st.sampled_from(FEEDS),
        bound=st.sampled_from(
            [
                (Hop.RUNTIME, SUBJECT),
                (Hop.BACKEND, Subject(SubjectKind.SERVICE, "w", "r")),
                (Hop.BACKEND, Subject(SubjectKind.WORKER, "other", "r")),
                (Hop.BACKEND, Subject(SubjectKind.WORKER, "w", "other")),
            ]
        ),
    )
    def open_with_a_foreign_cursor(self, feed, bound):
        text = CursorCodec(KEYS, *bound, feed[0]).encode(self.incarnation.epoch, 0)
        return self._opened(feed, text, "cursor_foreign")

    @rule(feed=st.sampled_from(FEEDS), known=cursors, how=st.integers(0, 4), at=st.integers(0))
    def open_with_a_forged_cursor(self, feed, known, how, at):
        text = known.text
        at %= len(text) - 12  # the MAC at the end included, the version and key id not
        forged = [
            "",
            text[:-1],
            text + "A",
            "nonsense!",
            text[:12] + text[12:][:at] + ("A" if text[12 + at] != "A" else "B") + text[13 + at :],
        ][how]
        client = self._opened(feed, forged, "cursor_malformed")
        assert client.follower.pull(self.now, 1000) == b""
        assert not client.follower.behind

    @rule(target=cursors, client=clients)
    def remember(self, client):
        known, client.cursors = client.cursors, client.cursors[-1:]
        return multiple(*known[:4])

    @rule(client=clients, most_bytes=st.sampled_from([1, 300, 700, 10_000]))
    def pull(self, client, most_bytes):
        if not client.paused:
            client.pull(most_bytes)

    @rule(client=clients)
    def drain(self, client):
        if not client.paused:
            client.drain(500)

    @rule(client=clients, back=st.integers(0, 3))
    def hand_over_what_is_shared(self, client, back):
        """Write the feed's own bytes to whoever is exactly where they begin, as a hub does."""
        after, now = self.stream.head - back, self.now
        if client.paused or not back or after < self.stream.oldest - 1:
            return
        data, last = client.feed.span(after + 1, 10_000)
        wanted = (
            client.follower.state is FollowerState.LIVE
            and client.epoch == self.stream.epoch
            and client.sent == after
        )
        if not data:
            return
        took = client.follower.take(self.stream.generation, after, last, now)
        assert took == wanted
        if took:
            client.read(data)

    @rule(client=clients)
    def pause(self, client):
        client.follower.paused(self.now)
        if not client.paused:
            client.paused, client.since = True, self.now

    @rule(client=clients)
    def go_on(self, client):
        client.follower.drained()
        client.paused = False

    @rule(client=clients)
    def look_at_the_clock(self, client):
        follower = client.follower
        overdue = client.paused and self.now - client.since >= 3.0
        assert follower.overdue(self.now) == overdue
        data = follower.idle(self.now)
        assert not (data and (client.paused or follower.behind))
        if data:
            (frame,) = client.read(data)
            assert isinstance(frame, BookmarkFrame)
            assert follower.idle(self.now) == b""

    @rule(client=consumes(clients))
    def leave(self, client):
        client.follower.gone()
        assert client.pull(1000) is False
        self._forget(client)

    @rule(client=consumes(clients), name=st.sampled_from(["shutdown", "session_expired"]))
    def close(self, client, name):
        was_closed = client.follower.state is FollowerState.CLOSED
        client.expected = [name]
        frames = client.read(client.follower.close(name))
        assert len(frames) == (0 if was_closed else 1)
        if not was_closed:
            assert client.follower.closed_with == OBSERVATION_CODES[name].close
        client.expected = []
        assert client.follower.close(name) == b""
        self._forget(client)

    def _forget(self, client: Client) -> None:
        if client in self.open_clients:
            self.open_clients.remove(client)

    # What always holds

    @invariant()
    def the_ring_is_bounded_and_is_what_the_reference_says(self):
        reference = self.incarnation
        assert self.stream.head == reference.head
        assert self.stream.oldest == reference.dropped + 1
        held = reference.head - reference.dropped
        assert held <= LIMITS.observed_ring_events
        assert self.stream.ring_bytes == sum(reference.sizes[reference.dropped :])
        assert self.stream.ring_bytes <= LIMITS.observed_ring_bytes or held == 1
        assert self.stream.snapshot().all == reference.fold(reference.head)

    @invariant()
    def feeds_hold_no_more_than_the_ring(self):
        for feed in self.feeds.values():
            assert all(self.stream.oldest <= seq <= self.stream.head for seq in feed._frames)
            assert len(feed._spans) <= 4

    @invariant()
    def each_frame_is_made_once(self):
        assert all(count == 1 for count in self.projected.values())

    @invariant()
    def nobody_is_promised_more_than_there_is(self):
        for client in self.open_clients:
            assert 0 <= client.follower.waiting <= self.incarnation.head

    def teardown(self):
        """Everybody catches up, and then sees the same: what there is, as far as they may."""
        assert self.ears.heard == self.wanted
        for seq in range(self.stream.oldest - 1, self.stream.head + 1):
            assert self.stream.snapshot_at(seq).all == self.incarnation.fold(seq)
        for client in self.open_clients:
            client.drain(700)
            assert client.state == client.project(self.stream.snapshot()).all
            assert client.follower.waiting == 0
            if self.stream.end_reason is not None:
                client.expected = [self.stream.end_reason]
                client.read(client.follower.close(self.stream.end_reason))
                assert client.follower.closed_with is CloseCode.STREAM_CLOSED


__all__ = ["CursorFault", "ObservationMachine"]
