"""One reload at a time: who asks meanwhile gets one more, together, with what was newest."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.errors import EnablementError, ServiceError
from yoi.host.reloading import ReloadQueue


class Settings:
    """The operator's file, and a runtime that takes as long to apply it as the test says."""

    def __init__(self) -> None:
        self.written = 0
        self.applied: list[int] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gates: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def apply(self) -> int:
        read = self.written
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            error = await self.gates.get()
        finally:
            self.at_once -= 1
        if error is not None:
            raise error
        self.applied.append(read)
        return read

    def finish(self, error: Exception | None = None) -> None:
        self.gates.put_nowait(error)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_asked_for_while_one_runs_causes_exactly_one_more():
    """`yoi plugin enable` and the watcher of the files, and whoever else."""
    there = Settings()
    queue = ReloadQueue(there.apply)
    there.written = 1
    first = asyncio.create_task(queue.reload())
    await settled()
    there.written = 2
    others = [asyncio.create_task(queue.reload()) for _ in range(5)]
    await settled()
    there.finish()
    assert await first == 1
    await settled()
    there.finish()
    assert await asyncio.gather(*others) == [2] * 5
    assert (there.applied, there.most_at_once) == ([1, 2], 1)
    await queue.close()


async def test_a_reload_that_fails_does_not_fail_the_next():
    there = Settings()
    queue = ReloadQueue(there.apply)
    first = asyncio.create_task(queue.reload())
    await settled()
    second = asyncio.create_task(queue.reload())
    there.finish(EnablementError("enablement.toml", "no TOML", at=""))
    there.finish()
    with pytest.raises(EnablementError):
        await first
    assert await second == 0
    await queue.close()


async def test_whoever_gives_up_waiting_takes_it_from_nobody_else():
    there = Settings()
    queue = ReloadQueue(there.apply)
    first, second = (asyncio.create_task(queue.reload()) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    there.finish()
    there.finish()
    assert await second == 0
    await queue.close()


async def test_closing_cancels_what_runs_and_what_waits():
    there = Settings()
    queue = ReloadQueue(there.apply)
    waiting = [asyncio.create_task(queue.reload()) for _ in range(3)]
    await settled()
    await queue.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)
    assert there.at_once == 0
    with pytest.raises(ServiceError) as refused:
        await queue.reload()
    assert refused.value.code == "service.stopping"


@settings(max_examples=60)
@given(steps=st.lists(st.sampled_from(["write", "ask", "finish", "fail", "turn"]), max_size=30))
def test_everybody_gets_what_was_written_before_they_asked(steps):
    async def play() -> None:
        there = Settings()
        queue = ReloadQueue(there.apply)
        asked: list[tuple[int, asyncio.Task[int]]] = []
        for step in steps:
            if step == "write":
                there.written += 1
            elif step == "ask":
                asked.append((there.written, asyncio.create_task(queue.reload())))
                await asyncio.sleep(0)
            elif step == "turn":
                await settled()
            elif there.at_once:
                there.finish(KeyError("x") if step == "fail" else None)
                await settled()
        for _ in asked:
            there.finish()
        for written, task in asked:
            with contextlib.suppress(KeyError):
                assert await task >= written
        assert there.most_at_once <= 1
        assert there.applied == sorted(there.applied)
        await queue.close()

    asyncio.run(play())
