"""The hub without sockets: who is handed what, when all keep up and when somebody does not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving.streams import KEYS, WORKER, greeting, text

from yoi.core.observation import Framing, Stream, WorkerView
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.protocol.observation import CloseCode, Hop
from yoi.serving.hub import Hub
from yoi.serving.watcher import Watching
from yoi.types import SystemClock


class Tape:
    """A transport over a socket that takes `room` more bytes, None for any number.

    As serving/observer.py: straight to the socket, and what it does not take waits in a transport,
    which wants no more while it holds more than `HIGH`.
    """

    HIGH = 300

    def __init__(self, channel, fd):
        self.channel = channel
        self.fd = fd
        self.watcher = None
        self.writes = []
        self.waiting = b""
        self.code = None
        self.room = None

    def write(self, data):
        assert self.code is None
        taken = 0 if self.waiting else self.take(data)
        if taken == len(data):
            if self.watcher is not None:
                self.watcher.socket = self.fd
            return
        if self.watcher is not None:
            assert not self.watcher.stalled
            self.watcher.socket = -1
        self.waiting += data[taken:]
        if len(self.waiting) > self.HIGH and self.watcher is not None:
            self.watcher.pause(0)

    def take(self, data):
        """Take what there is room for; nothing may be waiting before it."""
        assert not self.waiting
        assert self.watcher is None or not self.watcher.stalled
        taken = len(data) if self.room is None else min(self.room, len(data))
        if taken:
            self.writes.append(data if taken == len(data) else data[:taken])
        if self.room is not None:
            self.room -= taken
        return taken

    def drain(self, room):
        """Have the socket take `room` bytes more, first what waits."""
        waiting, self.waiting, self.room = self.waiting, b"", room
        if waiting:
            stalled, self.watcher.stalled = self.watcher.stalled, False
            self.waiting = waiting[self.take(waiting) :]
            self.watcher.stalled = stalled
        if self.watcher.stalled and len(self.waiting) <= self.HIGH // 4:
            self.watcher.resume(0)

    def finish(self, code, *, abort):
        self.channel.leave(self.watcher)
        self.code = code

    @property
    def frames(self):
        data, found = b"".join(self.writes), []
        while data:
            size, head = data[1], 2
            if size >= 126:
                head = 4 if size == 126 else 10
                size = int.from_bytes(data[2:head], "big")
            if len(data) < head + size:
                break  # who left in the middle of a frame
            found.append(json.loads(data[head : head + size]))
            data = data[head + size :]
        return found


class Sockets:
    """Stands for `os` where channels write."""

    def __init__(self, tapes):
        self.tapes = tapes
        self.writes = 0

    def write(self, fd, data):
        self.writes += 1
        taken = self.tapes[fd].take(data)
        if not taken:
            raise BlockingIOError
        return taken


class World:
    def __init__(self, **limits):
        self.turns = []
        self.tapes = []
        self.limits = Limits(**limits)
        self.hub = Hub(Hop.BACKEND, KEYS, SystemClock(), self.limits, soon=self.turns.append)
        self.epochs = 0
        self.stream = Stream(WORKER, self.view(), self.epoch(), self.limits)
        self.channel = self.hub.add(self.stream, ev.encode_event)

    def view(self):
        return WorkerView(greeting(), self.limits)

    def epoch(self):
        self.epochs += 1
        return self.epochs.to_bytes(8, "big")

    def feed(self, projection="", project=lambda event: event):
        return self.channel.feed(projection, Framing.WEBSOCKET, project)

    def enter(self, feed=None, cursor=None):
        tape = Tape(self.channel, len(self.tapes))
        self.tapes.append(tape)
        tape.watcher = self.channel.enter(feed or self.feed(), Watching("anybody"), tape)
        tape.watcher.open(cursor, 0, snapshot_always=False)
        return tape

    def say(self, words):
        event = text(words)
        self.stream.publish(event, ev.encode_event(event))

    def turn(self):
        turns, self.turns[:] = list(self.turns), []
        for flush in turns:
            flush()

    def sockets(self, patch):
        """Have channels write to the tapes."""
        sockets = Sockets(self.tapes)
        patch.setattr("yoi.serving.channel.os", sockets)
        return sockets


@pytest.fixture
def world_of(monkeypatch):
    """Return what makes a world whose channels write to its tapes."""

    def make(**limits):
        world = World(**limits)
        world.os = world.sockets(monkeypatch)
        return world

    return make


def said(tape):
    """Return the text of all deltas, in order."""
    events = [f["envelope"]["payload"] for f in tape.frames if f["kind"] == "event"]
    return [event["data"]["text"] for event in events if event["event"] == "text_delta"]


def test_all_who_keep_up_are_handed_the_same_bytes_in_one_write_a_turn(world_of):
    world = world_of()
    tapes = [world.enter() for _ in range(3)]
    world.say("a")
    world.say("b")
    world.turn()
    for tape in tapes:
        assert len(tape.writes) == 2
        assert tape.writes[1] is tapes[0].writes[1]
        assert said(tape) == ["a", "b"]
    counters = world.hub.counters
    assert counters.frames == 6
    assert counters.bytes_out == sum(len(data) for tape in tapes for data in tape.writes)


def test_each_projection_has_its_own_bytes(world_of):
    world = world_of()
    shown = world.feed("words", lambda e: text("...") if isinstance(e, ev.TextDelta) else e)
    hidden = world.feed("none", lambda e: None if isinstance(e, ev.TextDelta) else e)
    tapes = [world.enter(feed) for feed in (None, shown, hidden, None, shown, hidden)]
    world.say("a")
    world.turn()
    world.say("b")
    world.turn()
    assert [said(tape) for tape in tapes] == [["a", "b"], ["..."] * 2, []] * 2
    assert not any(tape.watcher.follower.behind for tape in tapes)


@pytest.mark.parametrize("where", ["on their sockets", "by their transports"])
def test_a_projection_that_fails_harms_only_who_asked_for_it(world_of, where):
    world = world_of()

    def fails(event):
        if isinstance(event, ev.TextDelta) and event.data.text == "b":
            raise TypeError("a defect")
        return event

    # The one that fails comes first, before and behind others.
    harmed = [world.enter(world.feed("fails", fails)), world.enter(world.feed("fails", fails))]
    full = [world.enter() for _ in range(2)]
    other = world.enter(world.feed("other", lambda event: event))
    if where == "by their transports":
        for tape in world.tapes:
            tape.watcher.socket = -1
    for words in "abc":
        world.say(words)
        world.turn()
    for tape in (*full, other):
        assert said(tape) == ["a", "b", "c"]
    for tape in harmed:
        assert said(tape) == ["a"]
        assert tape.code is CloseCode.RUNTIME_UNAVAILABLE
        assert tape.frames[-1]["diagnostic"]["message"] == "a defect in Yoi"
    assert world.hub.watched == 3


def test_one_who_takes_no_more_is_left_and_goes_on_from_its_own_place(world_of):
    world = world_of()
    slow, quick = world.enter(), world.enter()
    slow.drain(10)
    for words in "abc":
        world.say(words)
        world.turn()
    assert said(quick) == ["a", "b", "c"]
    assert sum(map(len, slow.writes[1:])) == 10
    assert (world.hub.watched, world.hub.stalled) == (2, 1)
    slow.drain(None)
    assert world.hub.stalled == 0
    world.say("d")
    world.turn()
    assert said(slow) == said(quick) == ["a", "b", "c", "d"]


def test_one_who_enters_between_an_event_and_its_turn_hears_it_once(world_of):
    world = world_of()
    old = world.enter()
    world.say("a")
    new = world.enter()
    world.turn()
    world.say("b")
    world.turn()
    assert said(old) == ["a", "b"]
    assert said(new) == ["b"]
    assert new.frames[0]["envelope"]["payload"]["data"]["in_flight"]["blocks"][0]["text"] == "a"


def test_what_is_more_than_one_write_comes_in_several(world_of):
    world = world_of(follower_write_bytes=1000)
    tape = world.enter()
    for words in "abc":
        world.say(words * 400)
    world.turn()
    assert [words[0] for words in said(tape)] == ["a", "b", "c"]
    assert len(tape.writes) == 4


def test_what_was_said_before_the_end_comes_before_it(world_of):
    world = world_of()
    tape = world.enter()
    world.say("a")
    world.hub.remove(WORKER)
    world.turn()
    assert said(tape) == ["a"]
    assert tape.frames[-1]["diagnostic"]["code"] == "backend.stream_closed"
    assert tape.code is CloseCode.STREAM_CLOSED
    assert world.hub.watched == 0


COMMON = ["say", "say", "say", "turn", "turn"]
OPS = st.sampled_from(
    [*COMMON, "enter", "enter_hidden", "enter_slow", "resume", "restart", "leave"]
)


@settings(max_examples=200)
@given(st.lists(st.tuples(OPS, st.integers(0, 7)), max_size=60))
def test_whatever_happens_everybody_hears_everything_once_in_order(history):
    world = World(observed_ring_events=6, follower_write_bytes=600)
    with pytest.MonkeyPatch.context() as patch:
        world.sockets(patch)
        live(world, history)


def live(world, history):
    """Do what `history` says, let everybody catch up, and check what each was sent."""
    hidden = world.feed("even", lambda e: None if _number(e) % 2 == 0 else e)
    tapes, here, number = [], [], 0
    for op, choice in history:
        if op == "say":
            number += 1
            world.say(f"{number} ")
        elif op == "turn":
            world.turn()
        elif op == "restart":
            world.stream.restart(world.view(), world.epoch(), "upstream_resync")
        elif op.startswith("enter"):
            tape = world.enter(hidden if op == "enter_hidden" else None)
            if op == "enter_slow":
                tape.drain(choice * 100)
            tapes.append(tape)
            here.append(tape)
        elif here:
            tape = here[choice % len(here)]
            if op == "leave":
                here.remove(tape)
                world.channel.leave(tape.watcher)
            else:
                tape.drain(None if choice > 3 else choice * 150)
    for tape in here:
        tape.drain(None)
    world.turn()
    assert not any(tape.waiting for tape in here)
    for tape in tapes:
        place = check(tape, skips=tape.watcher.follower.feed is hidden)
        if tape in here and tape.watcher.follower.feed is not hidden:
            assert place == (world.stream.epoch.hex(), world.stream.head)
    assert world.hub.watched == len(here)


def _number(event):
    return int(event.data.text) if isinstance(event, ev.TextDelta) else 1


def check(tape, *, skips):
    """Return the place a client that believes these frames is at; every step must be the next."""
    epoch, seq = None, None
    for frame in tape.frames:
        if frame["kind"] == "diagnostic":
            epoch = None  # a snapshot must follow
            continue
        assert frame["kind"] == "event"
        incarnation, _, place = frame["envelope"]["event_id"].partition("-")
        if place.endswith(".s"):
            assert epoch is None
            epoch, seq = incarnation, int(place.removesuffix(".s"))
        else:
            assert incarnation == epoch
            assert int(place) > seq if skips else int(place) == seq + 1
            seq = int(place)
    return epoch, seq
