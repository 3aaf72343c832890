"""Work on large bodies is done apart from the event loop, one body at a time (T3)."""

import asyncio
import sys
import threading

import pytest
import uvloop

from yoi.connections.background_work import _SLICE_S, BackgroundWork

LARGE = 1 << 20


async def test_a_small_body_is_done_at_once():
    assert await BackgroundWork().run(100, threading.get_ident) == threading.get_ident()


async def test_a_large_one_is_done_beside_the_loop_which_goes_on():
    go_on = threading.Event()

    def work():
        go_on.wait()
        return threading.get_ident()

    working = asyncio.create_task(BackgroundWork().run(LARGE, work))
    await asyncio.sleep(0)
    assert not working.done()
    go_on.set()
    assert await working != threading.get_ident()


async def test_one_at_a_time_and_a_fault_is_raised():
    background, running, most = BackgroundWork(), [], []

    def work():
        running.append(1)
        most.append(len(running))
        running.pop()
        raise ValueError("not a body")

    done = await asyncio.gather(
        *(background.run(LARGE, work) for _ in range(8)), return_exceptions=True
    )
    assert [type(one) for one in done] == [ValueError] * 8
    assert set(most) == {1}
    with pytest.raises(ValueError, match="not a body"):
        await background.run(1, work)


def test_between_two_slices_the_loop_really_rests(monkeypatch):
    """uvloop takes a sleep of half a millisecond for none: no other thread had its turn."""
    rests, sleep = [], asyncio.sleep

    def slept(seconds):
        rests.append(seconds)
        return sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", slept)
    monkeypatch.setattr("yoi.connections.background_work._SLICE_S", 0.0)

    def steps():
        for _ in range(5):
            yield
        return "done"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(BackgroundWork().in_slices(steps())) == "done"
    assert len(rests) >= 5
    assert all(round(seconds * 1000) >= 1 for seconds in rests)


def _clocked(monkeypatch):
    """Return a clock that only the test moves, and the list of the rests that are taken."""
    now, rests, sleep = [0.0], [], asyncio.sleep

    async def rested(seconds):
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr("yoi.connections.background_work.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("yoi.connections.background_work.asyncio.sleep", rested)
    return now, rests


async def test_many_short_works_leave_the_loop_as_much_rest_as_a_long_one(monkeypatch):
    now, rests = _clocked(monkeypatch)
    background = BackgroundWork()

    def steps(count):
        for _ in range(count):
            now[0] += _SLICE_S / 4
            yield

    await background.in_slices(steps(40))
    long, rests[:] = len(rests), []
    for _ in range(40):
        await background.in_slices(steps(1))
    assert long - 2 <= len(rests) <= long + 2
    assert long >= 9


async def test_what_a_transport_took_counts_as_work(monkeypatch):
    _, rests = _clocked(monkeypatch)
    background = BackgroundWork()

    def nothing():
        yield

    for _ in range(16):
        await background.in_slices(nothing(), moved=64 * 1024)
    assert 1 <= len(rests) <= 3, "a mebibyte takes some two slices"


async def test_a_short_work_does_not_wait_for_the_end_of_a_long_one():
    ended = []

    def steps(name, count):
        for _ in range(count):
            yield
        ended.append(name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("yoi.connections.background_work._SLICE_S", 0.0)
        patched.setattr("yoi.connections.background_work._PAUSE_S", 0.0)
        background = BackgroundWork()
        await asyncio.gather(
            background.in_slices(steps("long", 50)), background.in_slices(steps("short", 2))
        )
    assert ended == ["short", "long"]


async def test_threads_change_quickly_only_while_a_large_body_is_worked_on():
    usual = sys.getswitchinterval()
    assert await BackgroundWork().run(LARGE, sys.getswitchinterval) < usual / 5
    assert sys.getswitchinterval() == pytest.approx(usual)
    with pytest.raises(ZeroDivisionError):
        await BackgroundWork().run(LARGE, lambda: 1 // 0)
    assert sys.getswitchinterval() == pytest.approx(usual)
