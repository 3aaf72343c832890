"""A person says stop: at once where nothing is worth waiting for; no hang-up goes unheard."""

import asyncio
import os
import resource
import signal

import pytest

from yoi.errors import UsageError
from yoi.serving import process
from yoi.serving.process import StopRequests, finished, stop_on_signals
from yoi.testing import ManualClock


async def test_a_stop_gives_up_a_start_that_takes_long():
    """W8: a first start compiles for seconds; a stop does not wait for it."""
    stop, ended = asyncio.Event(), asyncio.Event()

    async def start():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    asyncio.get_running_loop().call_soon(stop.set)
    assert not await finished(start(), stop)
    assert ended.is_set()


async def test_a_start_that_ends_is_told_and_its_failure_raised():
    async def start():
        return 1

    async def fail():
        raise UsageError("usage.aborted", "no")

    assert await finished(start(), asyncio.Event())
    with pytest.raises(UsageError):
        await finished(fail(), asyncio.Event())


@pytest.fixture
def hangup():
    """Put back what a hang-up does."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_each_signal_that_asks_to_end_sets_the_event(hangup, number):
    stop = stop_on_signals()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await stop.wait()
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(one)


async def test_a_hangup_that_nohup_ignores_stays_ignored(hangup):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(one)


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ((1024, 4096), 2048, (2048, 4096)),
        ((1024, 4096), 9999, (4096, 4096)),
        ((1024, resource.RLIM_INFINITY), 9999, (9999, resource.RLIM_INFINITY)),
        ((4096, 4096), 2048, (4096, 4096)),
        ((resource.RLIM_INFINITY,) * 2, 2048, (resource.RLIM_INFINITY,) * 2),
    ],
)
def test_as_many_files_as_wanted_or_allowed(monkeypatch, before, wanted, after) -> None:
    now = before

    def set_to(kind, value):
        nonlocal now
        assert kind is resource.RLIMIT_NOFILE
        now = value

    monkeypatch.setattr(resource, "getrlimit", lambda kind: now)
    monkeypatch.setattr(resource, "setrlimit", set_to)
    process.allow_open_files(wanted)
    assert now == after


def test_signals_within_a_second_are_one_request_and_a_later_one_ends_at_once():
    """H4: a terminal and a wrapper both deliver the same interrupt."""
    clock, stop, left = ManualClock(), asyncio.Event(), []
    requests = StopRequests(stop, clock.monotonic, lambda: left.append(clock.monotonic()))
    requests.asked()
    assert stop.is_set()
    clock.advance(0.003)
    requests.asked()
    clock.advance(0.9)
    requests.asked()
    assert left == []
    clock.advance(0.2)
    requests.asked()
    assert len(left) == 1
