"""When a restart is planned, and that at most one is."""

import asyncio
from typing import Any

from yoi.limits import Limits
from yoi.runtime.restart_timer import RestartTimer


class Timer:
    def __init__(self, due: Any) -> None:
        self.due = due
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualLoop:
    """Keeps what it is asked to call later; tasks run on the real loop."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.timers: list[Timer] = []

    def call_later(self, delay: float, due: Any) -> Timer:
        self.delays.append(delay)
        self.timers.append(Timer(due))
        return self.timers[-1]

    def create_task(self, work: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)


class World:
    def __init__(self, fault: Exception | None = None, **limits: int) -> None:
        self.loop = ManualLoop()
        self.fault = fault
        self.restarted = asyncio.Event()
        self.failed: asyncio.Queue[Any] = asyncio.Queue()
        self.timer = RestartTimer(
            self.loop,  # type: ignore[arg-type]
            self.restart,
            self.failed.put_nowait,
            Limits(**limits),
        )

    async def restart(self) -> None:
        self.restarted.set()
        if self.fault is not None:
            raise self.fault


async def test_the_restart_is_carried_out_when_it_is_due():
    world = World()
    world.timer.after(1.5)
    assert world.loop.delays == [1.5]
    assert not world.restarted.is_set()
    world.loop.timers[0].due()
    await world.restarted.wait()


async def test_a_cancelled_restart_does_not_come():
    world = World()
    world.timer.after(1)
    world.timer.cancel()
    world.timer.cancel()
    assert world.loop.timers[0].cancelled


async def test_each_fault_of_the_log_doubles_the_wait_up_to_the_bound():
    world = World(service_log_retry_ms=1000, service_log_retry_max_ms=5000)
    for _ in range(4):
        world.timer.after_log_fault()
    world.timer.log_opened()
    world.timer.after_log_fault()
    assert world.loop.delays == [1, 2, 4, 5, 1]


async def test_what_a_restart_raises_goes_to_the_service():
    world = World(fault=ZeroDivisionError("x"))
    world.timer.due()
    assert (await world.failed.get()).code == "usage.internal"
