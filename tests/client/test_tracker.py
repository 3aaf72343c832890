"""What a watcher may believe, against a server that is honest, lossy, repetitive or lying."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.frames import base, bookmark, event, resumed, said, snapshot, told

from yoi.client.outcomes import Leave, Why
from yoi.client.tracker import Opening, Phase, Tracker
from yoi.client.values import (
    Bookmark,
    CaughtUp,
    Diagnostic,
    Disconnected,
    Ended,
    Event,
    Reconnected,
    Resumed,
    Resync,
    Snapshot,
)
from yoi.client.view import FoldedView, NoView
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol.observation import Subject, SubjectKind

BACKEND = Subject(SubjectKind.WORKER, "w", "local")
RUNTIME = Subject(SubjectKind.WORKER, "w")
FRESH = Opening(None, False)


def tracker(subject=BACKEND, opening=FRESH, view=None, **limits):
    made = Tracker(subject, opening, view or FoldedView(), Limits(**limits))
    made.connected()
    return made


def feed(watching, *frames):
    return [value for frame in frames for value in watching.receive(frame)]


def kinds(values):
    return [type(value) for value in values]


def texts(watching):
    return [entry["text"] for entry in watching.view.snapshot().data.entries]


def again(watching):
    """Lose the connection and make another; return what the tracker said of it."""
    if watching.phase is not Phase.LEAVING:
        watching.left(Leave(Why.LOST, "lost"))
    gone = watching.disconnected(5)
    asked = watching.opening()
    watching.connected()
    return gone, asked


# the ways a stream begins


def test_a_fresh_watch_is_a_snapshot_and_what_follows():
    one = tracker()
    assert one.opening() == FRESH
    payload = said("b")
    values = feed(one, base(7, "a"), event(8, payload), bookmark("c9"))
    assert kinds(values) == [Snapshot, Event, Bookmark]
    assert [value.cursor for value in values] == ["abab.7", "abab.8", "c9"]
    assert json.loads(values[1].raw) == payload
    assert (texts(one), one.cursor) == (["a", "b"], "c9")


def test_a_cursor_of_before_is_resumed_and_the_end_of_the_replay_is_told_once():
    one = tracker(opening=Opening("mine", False))
    assert one.opening() == ("mine", False)
    values = feed(one, resumed("mine"), event(3, said("x")), bookmark("c"), bookmark("c"))
    assert kinds(values) == [Resumed, Event, CaughtUp, Bookmark]


def test_a_bookmark_within_the_replay_does_not_end_it():
    one = tracker(opening=Opening("mine", False))
    values = feed(one, resumed("mine"), bookmark("b", up_to_date=False), bookmark("c"))
    assert kinds(values) == [Resumed, Bookmark, CaughtUp]


def test_the_state_as_of_a_cursor_comes_before_what_follows_it():
    one = tracker(opening=Opening("mine", True))
    assert one.opening() == ("mine", True)
    values = feed(one, base(3, "a"), resumed("mine"), event(4, said("b")), bookmark("c"))
    assert kinds(values) == [Snapshot, Resumed, Event, CaughtUp]
    assert texts(one) == ["a", "b"]
    _, asked = again(one)
    assert asked == ("c", False), "the state is here now"


def test_an_event_right_after_the_state_as_of_a_cursor_continues_it():
    one = tracker(opening=Opening("mine", True))
    assert kinds(feed(one, base(3), event(4, said("b")))) == [Snapshot, Event]


@pytest.mark.parametrize(
    "name", ["cursor_key_unknown", "cursor_foreign", "cursor_epoch_changed", "cursor_expired"]
)
def test_a_cursor_that_is_no_place_any_more_is_a_resync(name):
    one = tracker(opening=Opening("mine", False))
    values = feed(one, told(name), base(3, "a"))
    assert kinds(values) == [Resync, Snapshot]
    assert values[0].code == f"backend.{name}"


def test_a_cursor_that_the_caller_made_up_is_final():
    one = tracker(opening=Opening("mine", False))
    assert feed(one, told("cursor_malformed")) == []
    assert one.leave.error.code == "observe.cursor"


def test_a_cursor_that_the_server_itself_gave_and_refuses_is_given_up():
    one = tracker()
    feed(one, base(3, "a"))
    again(one)
    feed(one, told("cursor_malformed"))
    assert one.leave.error is None
    _, asked = again(one)
    assert asked == FRESH
    values = feed(one, base(9, "a", "b"))
    assert kinds(values) == [Reconnected, Resync, Snapshot]
    assert values[1].code == "client.cursor_malformed"


# in band


def test_who_fell_behind_is_told_how_far():
    one = tracker()
    values = feed(one, base(1, "a"), told("lagged", dropped=12), base(14, "z"))
    assert kinds(values) == [Snapshot, Resync, Snapshot]
    assert (values[1].code, values[1].dropped) == ("backend.lagged", 12)
    assert texts(one) == ["z"]


def test_a_resync_is_told_only_with_its_snapshot():
    one = tracker()
    feed(one, base(1, "a"))
    assert feed(one, told("lagged", dropped=2)) == []
    _, asked = again(one)
    assert asked.cursor == "abab.1"
    assert kinds(feed(one, resumed("abab.1"), event(2, said("b")))) == [
        Reconnected,
        Resumed,
        Event,
    ]


def test_a_second_reason_for_one_resync_is_told_beside_it():
    one = tracker()
    values = feed(one, base(1), told("lagged"), told("upstream_resync"), base(4))
    assert kinds(values) == [Snapshot, Diagnostic, Resync, Snapshot]
    assert values[2].code == "backend.lagged"


def test_a_snapshot_that_nobody_announced_is_a_resync_all_the_same():
    one = tracker()
    values = feed(one, base(1, "a"), base(5, "b"))
    assert kinds(values) == [Snapshot, Resync, Snapshot]
    assert values[1].code == "client.unannounced"
    two = tracker(opening=Opening("mine", False))
    assert kinds(feed(two, base(5, "b"))) == [Resync, Snapshot]


def test_what_is_only_said_changes_nothing():
    one = tracker()
    values = feed(one, base(1), told("upstream_disconnect"), told("upstream_restored"))
    assert kinds(values) == [Snapshot, Diagnostic, Diagnostic]
    assert one.phase is Phase.LIVE


def test_what_a_server_says_is_fit_for_a_screen():
    said_ = {"code": "backend.\x1b[2J", "scope": "x", "retryable": True, "action": "dance",
             "message": "\x1b]0;pwned\x07" + "x" * 9999}  # fmt: skip
    one = tracker()
    entry = feed(one, json.dumps({"kind": "diagnostic", "diagnostic": said_}))[0].diagnostic
    assert entry.code == "backend.\\x1b[2J"
    assert entry.message.startswith("\\x1b]0;pwned\\x07x")
    assert len(entry.message) <= 512


def test_frames_and_events_of_a_newer_server_are_no_fault():
    one = tracker()
    odd = {"event": "dance", "data": {"steps": 3}}
    values = feed(one, base(1), '{"kind":"hologram","x":1}', event(2, odd), event(3, said("b")))
    assert kinds(values) == [Snapshot, Event, Event]
    assert (values[1].event.event, json.loads(values[1].raw)) == ("dance", odd)


# ends


def test_the_end_is_told_once_and_nothing_after_it():
    one = tracker()
    values = feed(one, base(1), told("stream_closed"), event(2, said("x")))
    assert kinds(values) == [Snapshot, Ended]
    assert values[1].diagnostic.code == "backend.stream_closed"
    assert one.phase is Phase.OVER
    assert one.closed(4502, "") == []


def test_an_end_without_a_diagnostic_is_one_too():
    assert tracker().closed(4502, "") == [Ended(None)]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("worker_not_found", "observe.not_found"),
        ("session_expired", "observe.unauthorized"),
        ("observation_only", "observe.refused"),
    ],
)
def test_what_is_final_is_an_error(name, code):
    one = tracker()
    feed(one, told(name))
    assert (one.leave.error.code, one.leave.error.fields["said"]) == (code, f"backend.{name}")


def test_who_is_asked_to_come_back_later_does():
    one = tracker()
    values = feed(one, base(1), told("shutdown", retry_after_ms=700), event(2, said("late")))
    assert kinds(values) == [Snapshot, Diagnostic]
    assert (one.leave.reason, one.leave.retry_after_ms) == ("shutdown", 700)
    gone, asked = again(one)
    assert gone == Disconnected("shutdown", "the server stops", 5)
    assert asked.cursor == "abab.1"


def test_nothing_is_due_to_a_watcher_that_has_left_or_is_over():
    one = tracker()
    one.left(Leave(Why.LOST, "x"))
    assert feed(one, base(1)) == []
    one.broken(Why.GAP, "ignored")
    assert one.leave.reason == Why.LOST
    one.over()
    one.over()
    assert one.closed(4001, "") == []


# faults

MALFORMED = {
    "no json": "{",
    "no frame": "[]",
    "no envelope": '{"kind":"event"}',
    "no event": event(2, 7),
    "no event name": event(2, {"data": 1}),
    "an id without an epoch": event(2, said("x"), epoch=""),
    "an id that is no number": event("2x", said("x")),
    "an id with a plus": event("+2", said("x")),
    "an endless id": event("9" * 30, said("x")),
    "another epoch": event(2, said("x"), epoch="cd" * 8),
    "another worker": event(2, said("x"), worker_id="v"),
    "a service": event(2, said("x"), service_id="w"),
    "both": event(2, said("x"), worker_id="w", service_id="w"),
    "another runtime": event(2, said("x"), runtime="other"),
    "no runtime": event(2, said("x"), runtime=""),
    "a long cursor": event(2, said("x"), cursor="c" * 257),
    "a cursor of other letters": event(2, said("x"), cursor="ü"),
    "an empty cursor in a bookmark": '{"kind":"bookmark","cursor":""}',
    "resumed twice": resumed("abab.1"),
    "a snapshot that is none": event(2, said("x"), suffix=".s"),
    "a snapshot without its parts": event(2, {"event": "snapshot", "data": {}}, suffix=".s"),
    "an entry that is none": event(2, {"event": "snapshot", "data": {
        **snapshot()["data"], "entries": [{"x": 1}]}}, suffix=".s"),
    "a deep entry": event(2, {"event": "snapshot", "data": {
        **snapshot()["data"],
        "entries": [{"seq": 1, "type": "x", "v": json.loads("[" * 100 + "]" * 100)}]}},
        suffix=".s"),
}  # fmt: skip


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_frame_hands_out_nothing_and_asks_for_the_place_again(frame):
    one = tracker()
    feed(one, base(1, "a"))
    assert feed(one, frame, event(2, said("never"))) == []
    assert one.leave.reason == Why.MALFORMED_FRAME
    assert texts(one) == ["a"]
    gone, asked = again(one)
    assert isinstance(gone, Disconnected)
    assert asked == ("abab.1", False)
    feed(one, resumed("abab.1"), frame)
    _, asked = again(one)
    assert asked == FRESH, "the second time at one place"
    values = feed(one, base(2, "a", "b"))
    assert kinds(values) == [Reconnected, Resync, Snapshot]
    assert values[1].code == "client.malformed_frame"


@pytest.mark.parametrize(
    "frame",
    [event(1, said("x")), bookmark("c"), resumed("c")],
    ids=["event", "bookmark", "resumed"],
)
def test_what_comes_before_the_beginning_is_not_believed(frame):
    one = tracker()
    assert feed(one, frame) == []
    assert one.leave.reason == Why.MALFORMED_FRAME


@pytest.mark.parametrize("frame", [event(2, said("x")), bookmark("c")], ids=["event", "bookmark"])
def test_an_announced_snapshot_must_come(frame):
    one = tracker()
    feed(one, base(1), told("lagged"))
    assert feed(one, frame) == []
    assert one.leave.reason == Why.MALFORMED_FRAME


def test_a_fault_before_anything_came_gives_up_nothing():
    one = tracker()
    for _ in range(3):
        feed(one, "{")
        again(one)
    assert kinds(feed(one, base(1))) == [Reconnected, Snapshot]


def test_progress_forgives_earlier_faults():
    one = tracker()
    feed(one, base(1), "{")
    again(one)
    feed(one, resumed("abab.1"), event(2, said("b")), "{")
    _, asked = again(one)
    assert asked.cursor == "abab.2"


def test_only_what_is_useful_proves_a_connection():
    one = tracker()
    feed(one, told("upstream_disconnect"))
    assert not one.proven
    feed(one, base(1))
    assert one.proven
    feed(one, "{")
    assert not one.proven


def test_a_view_that_cannot_hold_an_event_refuses_it():
    class Full(NoView):
        def apply(self, event):
            raise ProtocolMalformed("protocol.malformed", "too much")

    one = tracker(view=Full())
    assert kinds(feed(one, base(1), event(2, said("x")))) == [Snapshot]
    assert one.cursor == "abab.1"


def test_a_caller_may_void_the_place():
    one = tracker()
    feed(one, base(1))
    one.start_over("it does not fit")
    gone, asked = again(one)
    assert (gone.reason, asked) == (Why.STARTED_OVER, FRESH)
    assert kinds(feed(one, base(4))) == [Reconnected, Resync, Snapshot]
    one.left(Leave(Why.LOST, ""))
    one.disconnected(0)
    one.start_over("again, between connections")
    assert one.opening() == FRESH


def test_a_missing_number_is_a_gap_at_a_runtime_and_policy_behind_a_backend():
    one = tracker(RUNTIME)
    feed(one, base(1, runtime=""))
    assert feed(one, event(3, said("x"), runtime="")) == []
    assert (one.leave.reason, one.leave.message) == (Why.GAP, "1 events are missing")
    two = tracker(BACKEND)
    assert kinds(feed(two, base(1), event(3, said("x")))) == [Snapshot, Event]


def test_a_service_has_its_own_events():
    one = tracker(Subject(SubjectKind.SERVICE, "s", "local"))
    first = {"event": "service_snapshot", "data": {"status": {"n": 1}, "diagnostics": []}}
    then = {"event": "service_status", "data": {"status": {"n": 2}}}
    feed(one, event(1, first, suffix=".s", service_id="s"), event(2, then, service_id="s"))
    assert one.view.snapshot().data.status == {"n": 2}
    worker = event(3, snapshot(), suffix=".s", service_id="s")
    feed(one, worker)
    assert one.leave.reason == Why.MALFORMED_FRAME


def deep(levels):
    return json.loads("[" * levels + "]" * levels)


@pytest.mark.parametrize(
    "payload",
    [
        {"event": "service_snapshot", "data": {"status": {"x": deep(99)}, "diagnostics": []}},
        {"event": "service_status", "data": {"status": {"x": deep(99)}}},
        {"event": "diagnostic", "data": {"x": deep(99)}},
    ],
    ids=lambda payload: payload["event"],
)
def test_a_service_event_is_not_nested_without_end(payload):
    one = tracker(Subject(SubjectKind.SERVICE, "s", "local"))
    first = {"event": "service_snapshot", "data": {"status": {}, "diagnostics": []}}
    feed(one, event(1, first, suffix=".s", service_id="s"))
    suffix = ".s" if payload["event"] == "service_snapshot" else ""
    assert feed(one, event(2, payload, suffix=suffix, service_id="s")) == []
    assert one.leave.reason == Why.MALFORMED_FRAME


# against a reference that is trivially right


class Server:
    """A stream with the truth in a list. `hop` decides whether events may be hidden or skipped."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.history = []  # (text, hidden), of all epochs
        self.began = 0  # where in the history this epoch starts
        self.epochs = 1
        self.oldest = 1
        self.sent = None  # the sequence that the client was handed, None without connection

    @property
    def epoch(self):
        return f"{self.epochs:016x}"

    @property
    def head(self):
        return len(self.history) - self.began

    def visible(self, epoch, until):
        assert epoch == self.epoch
        return [text for text, hidden in self.history[: self.began + until] if not hidden]

    def cursor(self, seq):
        return f"{self.epochs}.{seq}"

    def snapshot(self):
        self.sent = self.head
        shown = self.visible(self.epoch, self.head)
        return self.framed(self.head, snapshot(*shown), ".s")

    def event(self, seq):
        text, hidden = self.history[self.began + seq - 1]
        return None if hidden else self.framed(seq, said(text, self.began + seq))

    def framed(self, seq, payload, suffix=""):
        runtime = "" if self.runtime else "local"
        return event(seq, payload, epoch=self.epoch, cursor=self.cursor(seq), suffix=suffix,
                     runtime=runtime)  # fmt: skip

    def connect(self, asked):
        if asked.cursor is None:
            return [self.snapshot()]
        epoch, seq = map(int, asked.cursor.split("."))
        if epoch != self.epochs:
            return [told("cursor_epoch_changed"), self.snapshot()]
        if seq < self.oldest - 1:
            return [told("cursor_expired"), self.snapshot()]
        self.sent = seq
        return [resumed(asked.cursor)]

    def pull(self, count):
        frames = []
        if self.sent < self.oldest - 1:
            return [told("lagged", dropped=self.oldest - 1 - self.sent), self.snapshot()]
        while self.sent < self.head and count:
            self.sent, count = self.sent + 1, count - 1
            frames.append(self.event(self.sent))
        if self.sent == self.head:
            frames.append(bookmark(self.cursor(self.sent)))
        return [frame for frame in frames if frame is not None]


class Reference:
    """Believes nothing: every value is compared with the truth as it comes."""

    def __init__(self, server):
        self.server = server
        self.place = None
        self.resync = False

    def check(self, value):
        if self.resync:
            assert isinstance(value, Snapshot)
        match value:
            case Resync():
                self.resync = True
            case Snapshot(shown, _, event_id):
                assert self.resync or self.place is None, "a snapshot out of nowhere"
                self.resync = False
                self.place = self.at(event_id)
                assert [e["text"] for e in shown.data.entries] == self.server.visible(*self.place)
            case Event(said_, _, event_id):
                epoch, seq = self.at(event_id)
                assert epoch == self.place[0], "an event of an epoch that was not announced"
                between = self.server.history[self.server.began + self.place[1] :][
                    : seq - self.place[1]
                ]
                assert len(between) == seq - self.place[1] > 0, "repeated or out of order"
                assert all(hidden for _, hidden in between[:-1]), "a silent gap"
                assert said_.data.segments[0].text == between[-1][0]
                self.place = (epoch, seq)

    @staticmethod
    def at(event_id):
        epoch, _, seq = event_id.partition("-")
        return epoch, int(seq.removesuffix(".s"))


LIES = st.sampled_from(
    ["{", "", "[]", "null", '{"kind":"event"}', '{"kind":"resumed","cursor":"1.0"}',
     '{"kind":"later"}', event(10**9, 3), event(1, said("forged"), epoch="ee" * 8),
     event(1, said("forged"), worker_id="other")]
)  # fmt: skip
ACTIONS = st.one_of(
    st.just(("publish", False)),
    st.just(("publish", True)),
    st.tuples(st.just("pull"), st.integers(1, 4)),
    st.tuples(st.just("repeat"), st.integers(0, 5)),
    st.just(("skip", 0)),
    st.tuples(st.just("lie"), LIES),
    st.just(("drop", 0)),
    st.just(("refused", 0)),
    st.just(("restart", 0)),
    st.just(("evict", 0)),
)


def frames_of(action, argument, server):
    match action:
        case "publish":
            hidden = argument and not server.runtime
            server.history.append((f"t{len(server.history)}", hidden))
        case "pull" if server.sent is not None:
            return server.pull(argument)
        case "repeat" if server.sent is not None:
            first = max(server.oldest, server.sent - argument, 1)
            repeated = [server.event(seq) for seq in range(first, server.sent + 1)]
            return [frame for frame in repeated if frame is not None]
        case "skip" if server.sent is not None and server.runtime and server.sent < server.head:
            server.sent += 1
        case "lie" if server.sent is not None:
            return [argument]
        case "restart":
            server.epochs, server.began, server.oldest = server.epochs + 1, len(server.history), 1
            if server.sent is not None:
                return [told("upstream_resync"), server.snapshot()]
        case "evict":
            server.oldest = server.head + 1
    return []


@settings(max_examples=400)
@given(st.booleans(), st.booleans(), st.lists(ACTIONS, max_size=60))
def test_every_history_is_watched_without_gap_or_repetition(runtime, connect_first, actions):
    server = Server(runtime)
    watching = Tracker(RUNTIME if runtime else BACKEND, FRESH, FoldedView())
    reference = Reference(server)

    def hear(frames):
        for frame in frames:
            for value in watching.receive(frame):
                reference.check(value)

    def settle():
        """Part where the watcher wants to; then be connected."""
        if watching.phase is Phase.LEAVING:
            assert watching.leave.error is None
            watching.disconnected(0)
            server.sent = None
        if watching.phase is Phase.AWAY:
            asked = watching.opening()
            watching.connected()
            hear(server.connect(asked))

    if connect_first:
        settle()
    for action, argument in actions:
        if action == "drop" and server.sent is not None:
            watching.left(Leave(Why.LOST, "lost"))
        if action == "refused" and server.sent is None:
            watching.left(Leave(Why.UNREACHABLE, "nobody there"))
            watching.disconnected(0)
        hear(frames_of(action, argument, server))
        if action in ("pull", "drop"):
            settle()
    # Only the next event shows that the last one was skipped.
    server.history.append(("last", False))
    for rounds in itertools.count():
        settle()
        hear(server.pull(1000))
        if watching.phase is Phase.LIVE and watching.cursor == server.cursor(server.head):
            break
        assert rounds < 6, "it does not come to rest"
    assert texts(watching) == server.visible(server.epoch, server.head)


@settings(max_examples=300)
@given(st.lists(st.one_of(st.binary(max_size=64), LIES.map(str.encode), st.text().map(str.encode))))
def test_no_frame_whatever_raises(frames):
    one = tracker()
    feed(one, base(1, "a"))
    for frame in frames:
        one.receive(frame)
        if one.phase is Phase.LEAVING:
            again(one)
            feed(one, base(1, "a") if one.opening().cursor is None else resumed(one.cursor))
