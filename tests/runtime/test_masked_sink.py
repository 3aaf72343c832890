"""T3, W9: large messages are masked a slice at a time, and the order of what is told stays."""

import asyncio
import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.connections.world import World

from yoi.connections.background_work import BackgroundWork
from yoi.core.heartbeat import HeartbeatSpec
from yoi.core.redaction import MASK, NOTHING, Masker
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.runtime.masked_sink import MaskedSink
from yoi.types import Secret, SessionId

VALUE = "xoxb-1234567890-AbCdEfGhIjKl"
LARGE = "x" * (1 << 20)
SESSION = SessionId("s1")


class Told:
    """Notes what it is told, as `(name, arguments)`."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args: self.calls.append((name, *args))

    @property
    def names(self):
        return [call[0] for call in self.calls]


class Reading:
    """Counts whether reading is held."""

    def __init__(self):
        self.held = False

    def hold_reading(self):
        self.held = True

    def release_reading(self):
        self.held = False


def having(*values):
    masker = Masker([Secret("", value) for value in values])
    return lambda: masker


def made(masker, failed=pytest.fail):
    told, reading = Told(), Reading()
    sink = MaskedSink(told, masker, BackgroundWork(), asyncio.get_running_loop(), "x", failed)
    sink.attach(reading)
    return sink, told, reading


async def test_a_small_message_is_passed_on_at_once():
    sink, told, reading = made(having(VALUE))
    sink.text(SESSION, f"a {VALUE}", 30, "r1")
    sink.binary(SESSION, VALUE.encode())
    sink.binary(SESSION, b"\x00\x01")
    assert told.calls == [
        ("text", SESSION, f"a {MASK}", 30, "r1"),
        ("withheld", SESSION),
        ("binary", SESSION, b"\x00\x01"),
    ]
    assert not reading.held


async def test_without_secrets_no_size_waits():
    sink, told, _ = made(lambda: NOTHING)
    sink.text(SESSION, LARGE, len(LARGE))
    sink.binary(SESSION, LARGE.encode())
    assert told.names == ["text", "binary"]


async def test_what_comes_while_a_large_message_is_masked_waits_for_it():
    sink, told, reading = made(having(VALUE))
    sink.text(SESSION, f"{LARGE}{VALUE}", len(LARGE), "r2")
    sink.once_taken(functools.partial(told.calls.append, ("taken",)))
    sink.text(SESSION, f"small {VALUE}", 30)
    sink.binary(SESSION, LARGE.encode() + VALUE.encode())
    sink.closed(SESSION, 1006, "", False)
    sink.gap(SESSION, 1, 2, "lost")
    assert told.calls == []
    assert reading.held
    await sink.settled()
    assert told.names == ["text", "once_taken", "text", "withheld", "closed", "gap"]
    assert told.calls[0][2:] == (f"{LARGE}{MASK}", len(LARGE), "r2")
    assert told.calls[2][2] == f"small {MASK}"
    assert not reading.held


async def test_the_loop_goes_on_while_a_large_message_is_masked():
    sink, told, _ = made(having(*(f"{VALUE}-{number}" for number in range(16))))
    sink.text(SESSION, LARGE * 4, 4 * len(LARGE))
    turns = 0
    while not told.calls:
        turns += 1
        await asyncio.sleep(0)
    # Millions of characters, a hundred forms: no millisecond does that.
    assert turns > 5


async def test_a_service_that_leaves_is_told_no_message_that_waits():
    sink, told, reading = made(having(VALUE))
    sink.text(SESSION, LARGE, len(LARGE))
    sink.closed(SESSION, 1001, "", True)
    sink.leave()
    await sink.settled()
    assert told.names == ["closed"]
    assert not reading.held


async def test_a_fault_is_told_and_the_rest_is_passed_on():
    faults = []
    sink, told, reading = made(having(VALUE), faults.append)

    def broken(text):
        raise ValueError("a defect")
        yield

    real = sink._masker

    class Broken:
        def cheap(self, size):
            return False

        masking = staticmethod(broken)

    sink._masker = Broken
    sink.text(SESSION, LARGE, len(LARGE))
    sink.closed(SESSION, 1006, "", False)
    await sink.settled()
    sink._masker = real
    assert told.names == ["closed"]
    assert [fault.code for fault in faults] == ["usage.internal"]
    assert not reading.held


MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.sampled_from([1, 10, 400]), st.booleans()),
        st.tuples(st.just("binary"), st.sampled_from([1, 10, 400]), st.booleans()),
        st.just(("closed",)),
        st.just(("gap",)),
        st.just(("turn",)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MESSAGES)
def test_the_order_is_that_of_a_sink_that_masks_at_once(steps):
    def run(cheap):
        async def go():
            masker = Masker([Secret("", VALUE)])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("yoi.core.redaction._CHEAP", cheap)
                sink, told, reading = made(lambda: masker)
                for number, step in enumerate(steps):
                    match step:
                        case ("text", size, secret):
                            text = f"{number} {'x' * size}{VALUE if secret else ''}"
                            sink.text(SESSION, text, len(text))
                        case ("binary", size, secret):
                            sink.binary(SESSION, b"\0" * size + VALUE.encode() * secret)
                        case ("closed",):
                            sink.closed(SESSION, number, "", True)
                        case ("gap",):
                            sink.gap(SESSION, number, number, "lost")
                        case ("turn",):
                            await asyncio.sleep(0)
                await sink.settled()
                assert not reading.held
            return told.calls

        return asyncio.run(go())

    assert run(cheap=600) == run(cheap=10**9)


# -- with a connection -----------------------------------------------------------------------------


async def test_a_heartbeat_is_not_missed_because_reading_is_held():
    world = World(ping_ms=600_000)
    world.host.start()
    socket = await world.open()
    ack = Match(JsonPointer.parse("/op"), (11,))
    beat = HeartbeatSpec(every_ms=1_000, render=lambda values: "beat", ack=ack)
    world.host.heartbeat(beat)
    world.timers.advance(1)
    world.host.hold_reading()
    world.timers.advance(1)
    world.host.release_reading()
    await world.settle()
    assert world.host.status().state == "open"
    world.timers.advance(1)
    world.timers.advance(1)
    assert world.host.status().state != "open"
    assert socket.sent == ["beat"] * 3
    await world.shut()


async def test_nothing_is_read_while_reading_is_held_whatever_pauses_meanwhile():
    world = World()
    world.host.start()
    socket = await world.open()
    world.host.hold_reading()
    socket.peer_sends("a")
    await world.settle()
    assert "text" not in world.sink.names()
    world.host.pause()
    world.host.release_reading()
    socket.peer_sends("b")
    await world.settle()
    assert "text" not in world.sink.names()
    world.host.hold_reading()
    world.host.resume()
    await world.settle()
    assert "text" not in world.sink.names()
    world.host.release_reading()
    await world.settle()
    assert [event for event in world.sink.names() if event == "text"] == ["text", "text"]
    await world.shut()
