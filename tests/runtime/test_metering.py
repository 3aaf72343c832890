"""A coroutine's steps are timed, its waiting is not, and nothing else about it changes."""

import asyncio

import pytest

from yoi.runtime.metering import metered


class Ticks:
    """A clock that moves by one when looked at, and a budget."""

    def __init__(self):
        self.now = 0.0
        self.spent = []
        self.waits = []

    def clock(self):
        self.now += 1.0
        return self.now

    def spend(self, seconds, now):
        assert now == self.now
        self.spent.append(seconds)

    def wait(self, now):
        assert now == self.now
        return self.waits.pop(0) if self.waits else 0.0


async def test_each_step_is_timed_and_waiting_is_not():
    ticks, gate = Ticks(), asyncio.Event()

    async def work():
        await gate.wait()
        await asyncio.sleep(0)
        return "done"

    task = asyncio.ensure_future(metered(work(), ticks.clock, ticks))
    await asyncio.sleep(0)
    ticks.now += 1000.0
    gate.set()
    assert await task == "done"
    assert ticks.spent == [1.0, 1.0, 1.0]


async def test_a_step_begins_only_when_the_budget_has_something_left(monkeypatch):
    ticks, slept, sleep = Ticks(), [], asyncio.sleep

    async def work():
        await sleep(0)
        return list(slept)

    async def sleeping(seconds):
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr("yoi.runtime.metering.asyncio.sleep", sleeping)
    ticks.waits = [0.3, 0.2, 0.0]
    assert await metered(work(), ticks.clock, ticks) == [0.3, 0.2]
    assert ticks.spent == [1.0, 1.0], "waiting costs nothing"


async def test_what_waits_for_its_budget_can_be_cancelled():
    ticks = Ticks()
    ended = asyncio.Event()

    async def work():
        try:
            await asyncio.sleep(0)
        finally:
            ended.set()

    ticks.waits = [3600.0]
    task = asyncio.ensure_future(metered(work(), ticks.clock, ticks))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not ticks.waits
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_what_is_given_up_is_closed():
    closed = []

    async def work():
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    ticks, made = Ticks(), work()
    begun = metered(made, ticks.clock, ticks)
    begun.send(None)
    begun.close()
    assert closed == [True]


async def test_what_it_raises_is_raised():
    ticks = Ticks()

    async def work():
        raise LookupError("x")

    with pytest.raises(LookupError):
        await metered(work(), ticks.clock, ticks)
    assert ticks.spent == [1.0]


async def test_a_cancellation_reaches_it():
    ticks, seen = Ticks(), []

    async def work():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.ensure_future(metered(work(), ticks.clock, ticks))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
    assert ticks.spent == [1.0, 1.0]
