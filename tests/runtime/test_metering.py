"""A coroutine's steps are timed, its waiting is not, and nothing else about it changes."""

import asyncio

import pytest

from yoi.runtime.metering import metered


class Ticks:
    """A clock that moves by one when looked at, and a purse."""

    def __init__(self):
        self.now = 0.0
        self.spent = []

    def clock(self):
        self.now += 1.0
        return self.now

    def spend(self, seconds, now):
        assert now == self.now
        self.spent.append(seconds)


async def test_each_step_is_timed_and_waiting_is_not():
    ticks, gate = Ticks(), asyncio.Event()

    async def work():
        await gate.wait()
        await asyncio.sleep(0)
        return "done"

    task = asyncio.ensure_future(metered(work(), ticks.clock, ticks.spend))
    await asyncio.sleep(0)
    ticks.now += 1000.0
    gate.set()
    assert await task == "done"
    assert ticks.spent == [1.0, 1.0, 1.0]


async def test_what_it_raises_is_raised():
    ticks = Ticks()

    async def work():
        raise LookupError("x")

    with pytest.raises(LookupError):
        await metered(work(), ticks.clock, ticks.spend)
    assert ticks.spent == [1.0]


async def test_a_cancellation_reaches_it():
    ticks, seen = Ticks(), []

    async def work():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.ensure_future(metered(work(), ticks.clock, ticks.spend))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
    assert ticks.spent == [1.0, 1.0]
