"""The hub without sockets: who is handed what, when all keep up and when somebody does not."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving.streams import KEYS, WORKER, greeting, text

from yoi.core.observation import Stream, Wire, WorkerView
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.protocol.observation import CloseCode, Hop
from yoi.serving.hub import Hub, Watching
from yoi.types import SystemClock


class Tape:
    """An outlet that takes `room` more writes, then asks to wait."""

    def __init__(self):
        self.watcher = None
        self.writes = []
        self.code = None
        self.room = None

    def write(self, data):
        assert self.code is None
        assert self.watcher is None or not self.watcher.stalled
        self.writes.append(data)
        if self.room is not None:
            self.room -= 1
            if self.room <= 0 and self.watcher is not None:
                self.watcher.pause(0)

    def finish(self, code, *, abort):
        self.code = code

    @property
    def frames(self):
        data, found = b"".join(self.writes), []
        while data:
            size, head = data[1], 2
            if size >= 126:
                head = 4 if size == 126 else 10
                size = int.from_bytes(data[2:head], "big")
            found.append(json.loads(data[head : head + size]))
            data = data[head + size :]
        return found


class World:
    def __init__(self, **limits):
        self.turns = []
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
        return self.channel.feed(projection, Wire.WEBSOCKET, project)

    def enter(self, feed=None, cursor=None):
        tape = Tape()
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


def said(tape):
    """Return the text of all deltas, in order."""
    events = [f["envelope"]["payload"] for f in tape.frames if f["kind"] == "event"]
    return [event["data"]["text"] for event in events if event["event"] == "text_delta"]


def test_all_who_keep_up_are_handed_the_same_bytes_in_one_write_a_turn():
    world = World()
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


def test_each_projection_has_its_own_bytes():
    world = World()
    shown = world.feed("words", lambda e: text("...") if isinstance(e, ev.TextDelta) else e)
    hidden = world.feed("none", lambda e: None if isinstance(e, ev.TextDelta) else e)
    tapes = [world.enter(feed) for feed in (None, shown, hidden, None, shown, hidden)]
    world.say("a")
    world.turn()
    world.say("b")
    world.turn()
    assert [said(tape) for tape in tapes] == [["a", "b"], ["..."] * 2, []] * 2
    assert not any(tape.watcher.follower.behind for tape in tapes)


def test_one_who_takes_no_more_is_left_and_goes_on_from_its_own_place():
    world = World()
    slow, quick = world.enter(), world.enter()
    slow.watcher.pause(0)
    for words in "abc":
        world.say(words)
        world.turn()
    assert (said(slow), said(quick)) == ([], ["a", "b", "c"])
    assert (world.hub.watched, world.hub.stalled) == (2, 1)
    slow.watcher.resume(0)
    assert world.hub.stalled == 0
    world.say("d")
    world.turn()
    assert said(slow) == said(quick) == ["a", "b", "c", "d"]


def test_one_who_enters_between_an_event_and_its_turn_hears_it_once():
    world = World()
    old = world.enter()
    world.say("a")
    new = world.enter()
    world.turn()
    world.say("b")
    world.turn()
    assert said(old) == ["a", "b"]
    assert said(new) == ["b"]
    assert new.frames[0]["envelope"]["payload"]["data"]["in_flight"]["blocks"][0]["text"] == "a"


def test_what_is_more_than_one_write_comes_in_several():
    world = World(follower_write_bytes=1000)
    tape = world.enter()
    for words in "abc":
        world.say(words * 400)
    world.turn()
    assert [words[0] for words in said(tape)] == ["a", "b", "c"]
    assert len(tape.writes) == 4


def test_what_was_said_before_the_end_comes_before_it():
    world = World()
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


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(OPS, st.integers(0, 7)), max_size=60))
def test_whatever_happens_everybody_hears_everything_once_in_order(history):
    world = World(observed_ring_events=6, follower_write_bytes=600)
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
            tape.room = 1 + choice if op == "enter_slow" else None
            tapes.append(tape)
            here.append(tape)
        elif here:
            tape = here[choice % len(here)]
            if op == "leave":
                here.remove(tape)
                tape.watcher.gone()
            elif tape.watcher.stalled:
                tape.room = None if choice > 3 else 1 + choice
                tape.watcher.resume(0)
    for tape in here:
        tape.room = None
        if tape.watcher.stalled:
            tape.watcher.resume(0)
    world.turn()
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
