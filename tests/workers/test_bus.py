"""O10 at its source: nobody who listens can slow, break or miss out on another."""

import asyncio

from tests.workers.worlds import World, answers

from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.workers.bus import Bus, Subscription
from yoi.workers.scripted import Say


def text(piece: str) -> ev.TextDelta:
    return ev.TextDelta(ev.TextData(text=piece))


def test_a_listener_that_raises_is_dropped_and_the_others_hear_on():
    bus, heard = Bus(), []

    def broken(event):
        raise RuntimeError

    bus.listen(broken)
    bus.listen(heard.append)
    bus.publish(text("a"))
    bus.publish(text("b"))
    assert heard == [text("a"), text("b")]


def test_a_listener_that_leaves_while_it_is_called_misses_no_one_else_anything():
    bus, heard = Bus(), []

    def leaving(event):
        bus.drop(leaving)

    bus.listen(leaving)
    bus.listen(heard.append)
    bus.publish(text("a"))
    assert heard == [text("a")]


async def test_a_subscription_reads_in_order_and_ends_when_closed():
    bus = Bus()
    subscription = Subscription(bus)
    bus.publish(text("a"))

    async def read():
        return [event async for event in subscription]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    bus.publish(text("b"))
    subscription.close()
    bus.publish(text("c"))
    assert await reading == [text("a"), text("b")]
    assert not subscription.lagged


async def test_a_reader_too_slow_is_cut_off_and_told():
    bus = Bus()
    subscription = Subscription(bus, Limits(bus_backlog=2))
    for piece in "abc":
        bus.publish(text(piece))
    assert [event async for event in subscription] == [text("a"), text("b")]
    assert subscription.lagged


async def test_snapshot_and_events_leave_no_gap_and_no_duplicate():
    """O2: folding the events after any snapshot gives the final history, item for item."""
    script = answers([Say("one two three")])
    async with World(script) as world:
        snapshots: list[tuple[ev.SnapshotData, list[ev.Event]]] = []

        def probe(event):
            if len(snapshots) < 30:
                after: list[ev.Event] = []
                snapshots.append((world.worker.watch(after.append).data, after))

        world.worker.bus.listen(probe)
        await world.run("go")
        await world.until_status("idle")
        texts = [e.data.text for e in world.heard if isinstance(e, ev.TextDelta)]
        assert texts == ["one ", "two ", "three"]
        for snapshot, after in snapshots:
            done = any(entry["type"] == "assistant" for entry in snapshot.entries)
            blocks = [] if snapshot.in_flight is None else snapshot.in_flight.blocks
            told = "".join(b.text for b in blocks)
            told += "".join(
                e.data.text
                for e in after
                if isinstance(e, ev.TextDelta) and not any(b.finished for b in blocks)
            )
            assert told == ("" if done else "one two three")


async def test_a_snapshot_is_bounded_and_counts_what_it_leaves_out():
    limits = Limits(snapshot_entries=3, snapshot_bytes=250)
    async with World(limits=limits) as world:
        await world.run("go")
        data = world.worker.snapshot().data
        assert 1 <= len(data.entries) <= 3
        assert data.entries[-1]["type"] == "run_end"
        assert 0 < data.left_out < data.entries[0]["seq"]
        assert data.greeting.model == "scripted"
