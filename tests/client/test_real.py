"""The client against the real front, hub and streams: cut, outrun and restarted at random."""

import asyncio
import random

import pytest
from tests.serving.streams import served

from yoi.client import (
    CaughtUp,
    Disconnected,
    Ended,
    Event,
    Observation,
    Opening,
    Resync,
    Server,
    Snapshot,
    Target,
    observe,
)
from yoi.core.observation import WorkerView
from yoi.errors import ObserveError
from yoi.limits import Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.testing import ManualClock
from yoi.types import Secret

FRESH = Opening(None, False)


def target(real, name="triage"):
    url = real.url.replace("ws://", "http://").split("/api/")[0]
    return Target(Server(url, Secret("t", "tok")), Subject(SubjectKind.WORKER, name, "local"))


def watching(real, opening=FRESH, limits=None, name="triage"):
    async def at_once(_):
        pass

    return Observation(
        target(real, name),
        opening,
        sleep=at_once,
        rng=lambda: 0.0,
        clock=ManualClock(),
        limits=limits or Limits(),
    )


def said(value):
    return value.event.data.text


async def test_a_snapshot_live_events_and_the_end():
    async with served() as real, observe(target(real)) as watch:
        real.say("a")
        assert isinstance(await anext(watch), Snapshot)
        real.say("b")
        assert said(await anext(watch)) == "b"
        real.stream.end("stream_closed")
        assert isinstance(await anext(watch), Ended)
        assert watch.view.snapshot() == real.stream.snapshot()


async def test_a_cursor_is_good_for_another_watcher_and_another_day():
    async with served() as real:
        async with watching(real) as one:
            await anext(one)
            real.say("a")
            await anext(one)
            place = one.cursor
        real.say("b")
        async with watching(real, Opening(place, True)) as two:
            values = [await anext(two) for _ in range(4)]
    assert isinstance(values[0], Snapshot)
    assert values[0].event.data.in_flight.blocks[0].text == "a"
    assert said(values[2]) == "b"
    assert isinstance(values[3], CaughtUp)


async def test_nobody_there_and_a_forged_cursor():
    async with served() as real:
        async with watching(real, name="nobody") as one:
            with pytest.raises(ObserveError) as caught:
                await anext(one)
        assert caught.value.code == "observe.not_found"
        async with watching(real, Opening("AAAA", False)) as one:
            with pytest.raises(ObserveError) as caught:
                await anext(one)
        assert caught.value.code == "observe.cursor"


async def test_a_reader_that_is_outrun_is_told_by_how_much():
    async with served(Limits(observed_ring_events=4)) as real, watching(real) as one:
        await anext(one)
        for number in range(50):
            real.say(f"{number} ")
        values = [await anext(one)]
        while not isinstance(values[-1], Snapshot):
            values.append(await anext(one))
        *events, resync, _ = values
        assert all(isinstance(value, Event) for value in events)
        assert (resync.code, resync.dropped) == ("backend.lagged", 46 - len(events))
        assert one.view.snapshot() == real.stream.snapshot()


class Reader:
    """Reads words that are numbers, so that the text shows every gap and repetition by itself."""

    def __init__(self, watch):
        self.watch = watch
        self.text = None
        self.resync = False
        self.kinds = set()
        self.wanted = None
        self.arrived = asyncio.Event()

    async def read(self):
        async for value in self.watch:
            self.kinds.add(type(value))
            self.take(value)
            if self.text is not None:
                words = self.text.split()
                assert words == [str(number) for number in range(1, len(words) + 1)]
                if len(words) == self.wanted:
                    self.arrived.set()

    def take(self, value):
        assert not self.resync or isinstance(value, Snapshot)
        match value:
            case Resync():
                self.resync = True
            case Snapshot(event):
                assert self.resync or self.text is None, "a snapshot out of nowhere"
                flight = event.data.in_flight
                self.text = "" if flight is None else flight.blocks[0].text
                self.resync = False
            case Event():
                self.text += said(value)


class Trouble:
    """What happens to a stream and to the connections of who watches it."""

    def __init__(self, seed, real, watch):
        self.dice = random.Random(seed)
        self.real, self.watch = real, watch
        self.count, self.epochs = 0, 1

    def say(self):
        self.count += 1
        self.real.say(f"{self.count} ")

    def restart(self):
        self.epochs += 1
        view = WorkerView.of(self.real.stream.snapshot())
        self.real.stream.restart(view, self.epochs.to_bytes(8, "big"), "upstream_resync")

    def cut(self):
        if self.watch.connected and self.dice.random() < 0.5:
            self.watch._socket.transport.abort()
        for observer in self.real.server.sockets.observers:
            observer.abort()

    def something(self):
        self.dice.choices([self.say, self.restart, self.cut], [40, 1, 3])[0]()


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_or_repeated_without_a_word(seed):
    limits = Limits(observed_ring_events=8)
    async with served(limits) as real, watching(real) as watch:
        trouble, reader = Trouble(seed, real, watch), Reader(watch)
        reading = asyncio.create_task(reader.read())
        for _ in range(500):
            trouble.something()
            for _ in range(trouble.dice.randrange(12)):
                await asyncio.sleep(0)  # a turn of the loop for everybody
        reader.wanted = trouble.count + 1
        trouble.say()
        arriving = asyncio.create_task(reader.arrived.wait())
        await asyncio.wait([arriving, reading], return_when=asyncio.FIRST_COMPLETED, timeout=20)
        for task in (arriving, reading):
            task.cancel()
        arrived, read = await asyncio.gather(arriving, reading, return_exceptions=True)
        assert isinstance(read, asyncio.CancelledError), read
        assert arrived is True
        assert watch.view.snapshot() == real.stream.snapshot()
    assert {Snapshot, Event, Disconnected, Resync, CaughtUp} <= reader.kinds
