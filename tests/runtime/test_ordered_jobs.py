"""Notifications to one worker keep their order and hold up nobody else's."""

import asyncio
from functools import partial

import pytest

from yoi.runtime.ordered_jobs import OrderedJobs


class Recorder:
    """A job that waits for its gate and writes down when it began and ended."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def __call__(self, name: str) -> str:
        self.log.append(f"+{name}")
        await self.gates.setdefault(name, asyncio.Event()).wait()
        self.log.append(f"-{name}")
        return name

    def let(self, *names: str) -> None:
        for name in names:
            self.gates.setdefault(name, asyncio.Event()).set()


def started() -> tuple[OrderedJobs[str], Recorder]:
    return OrderedJobs(asyncio.get_running_loop()), Recorder()


async def test_one_key_is_in_order_and_another_does_not_wait():
    jobs, work = started()
    slow = [jobs.put("slow", partial(work, name)) for name in ("a", "b")]
    quick = jobs.put("quick", partial(work, "c"))
    work.let("b", "c")
    assert await quick == "c"
    assert "+b" not in work.log, "b waits for a, though nothing else holds it"
    work.let("a")
    assert await asyncio.gather(*slow) == ["a", "b"]
    assert [entry for entry in work.log if "c" not in entry] == ["+a", "-a", "+b", "-b"]


async def test_a_key_that_has_run_dry_starts_again():
    jobs, work = started()
    work.let("a", "b")
    assert await jobs.put("k", partial(work, "a")) == "a"
    await asyncio.sleep(0)
    assert await jobs.put("k", partial(work, "b")) == "b"


async def test_a_job_that_raises_ends_alone():
    jobs, work = started()

    async def broken() -> str:
        raise ValueError("no")

    work.let("a")
    first, second = jobs.put("k", broken), jobs.put("k", partial(work, "a"))
    with pytest.raises(ValueError, match="no"):
        await first
    assert await second == "a"


async def test_cancel_ends_what_runs_and_what_waits():
    jobs, work = started()
    outcomes = [jobs.put("k", partial(work, name)) for name in ("a", "b")]
    await asyncio.sleep(0)
    jobs.cancel()
    await asyncio.wait(outcomes)
    assert all(outcome.cancelled() for outcome in outcomes)
    assert work.log == ["+a"]
    work.let("c")
    assert await jobs.put("k", partial(work, "c")) == "c", "it can be used again"
