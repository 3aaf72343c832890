"""How much of the event loop's time a coroutine takes, its waiting not counted."""

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def metered(
    work: Coroutine[Any, Any, T], clock: Callable[[], float], spend: Callable[[float, float], None]
) -> Generator[Any, Any, T]:
    """Await `work`, and call `spend(seconds, now)` after each of its steps."""
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
                spend(now - begun, now)
            try:
                step, given = work.send, (yield waits_for)
            except GeneratorExit:
                raise
            except BaseException as exc:
                step, given = work.throw, exc
    finally:
        work.close()
