"""Tasks are brought to their end, also where one cancellation is lost."""

import asyncio

from yoi import tasks
from yoi.tasks import ended


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(monkeypatch):
    monkeypatch.setattr(tasks, "_AGAIN_S", 0.01)
    lost = asyncio.Event()

    async def loses_one():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As asyncio.wait_for of Python 3.11 does where its answer has just come.
            lost.set()
        await asyncio.Event().wait()

    async def fails():
        raise ValueError

    losing, failing = asyncio.ensure_future(loses_one()), asyncio.ensure_future(fails())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await ended(losing, failing)
    assert lost.is_set()
    assert losing.cancelled()
    assert failing.done()
