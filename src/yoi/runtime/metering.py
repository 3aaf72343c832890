"""Has a coroutine keep to a share of the event loop's time, its waiting not counted."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Budget(Protocol):
    """What the steps are paid from; `yoi.core.loop_budget` has the real one. Times are seconds."""

    def spend(self, seconds: float, now: float) -> None:
        """Take note of a step of `seconds` that ended `now`."""
        ...

    def wait(self, now: float) -> float:
        """Return how long to leave the loop to others before the next step; often 0."""
        ...


@coroutine
def metered(
    work: Coroutine[Any, Any, T], clock: Callable[[], float], budget: Budget
) -> Generator[Any, Any, T]:
    """Await `work`, whose steps are paid from `budget` and begin once there is something left."""
    step: Callable[[Any], Any] = work.send
    given: Any = None
    try:
        while True:
            begun = clock()
            try:
                waits_for = step(given)
            except StopIteration as done:
                result: T = done.value
                return result
            finally:
                now = clock()
                budget.spend(now - begun, now)
            try:
                step, given = work.send, (yield waits_for)
                while wait := budget.wait(clock()):
                    yield from asyncio.sleep(wait).__await__()
            except GeneratorExit:
                raise
            except BaseException as exc:
                step, given = work.throw, exc
    finally:
        work.close()
