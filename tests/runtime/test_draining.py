"""Waiting for an empty queue before a stop."""

import asyncio
from types import SimpleNamespace
from typing import Any

from yoi.limits import Limits
from yoi.runtime.draining import Draining


def drain(queue: Any, woken: list[str], **limits: int) -> Draining:
    return Draining(queue, lambda: woken.append("woken"), Limits(**limits))


async def test_an_empty_queue_needs_no_wait():
    woken: list[str] = []
    assert await drain(SimpleNamespace(depth=0), woken).wait(lambda: True)
    assert woken == []


async def test_it_waits_until_the_queue_is_empty():
    queue, woken = SimpleNamespace(depth=2), []
    draining = drain(queue, woken)
    waiting = asyncio.create_task(draining.wait(lambda: True))
    await asyncio.sleep(0)
    assert woken == ["woken"]
    draining.look_again()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    queue.depth = 0
    draining.look_again()
    assert await waiting


async def test_a_service_that_no_longer_runs_ends_the_wait():
    running = [True]
    draining = drain(SimpleNamespace(depth=2), [])
    waiting = asyncio.create_task(draining.wait(lambda: running[0]))
    await asyncio.sleep(0)
    running[0] = False
    draining.look_again()
    assert await waiting


async def test_a_queue_that_does_not_empty_is_given_up():
    assert not await drain(SimpleNamespace(depth=2), [], drain_ms=1).wait(lambda: True)
