"""The way back from worker threads: in order, nothing lost, one failure harms no other."""

import asyncio
import threading

import pytest

from yoi.runtime.thread_bridge import Mailbox, on_worker


class Threads:
    """A thread per turn: the harshest schedule."""

    def submit(self, key, turn):
        threading.Thread(target=turn).start()


async def test_posts_from_many_threads_all_arrive_each_in_its_own_order():
    mailbox = Mailbox(asyncio.get_running_loop())
    got, done = [], asyncio.Event()

    def arrive(item):
        got.append(item)
        if len(got) == 800:
            done.set()

    def post(name):
        for n in range(100):
            mailbox.post(arrive, (name, n))

    threads = [threading.Thread(target=post, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(10):
        await done.wait()
    for thread in threads:
        thread.join()
    for name in range(8):
        assert [n for who, n in got if who == name] == list(range(100))


async def test_a_call_that_raises_does_not_lose_the_ones_behind_it():
    loop = asyncio.get_running_loop()
    reported = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    mailbox = Mailbox(loop)
    done = asyncio.Event()

    def broken():
        raise ValueError("no")

    mailbox.post(broken)
    mailbox.post(done.set)
    async with asyncio.timeout(5):
        await done.wait()
    assert [type(exc) for exc in reported] == [ValueError]


async def test_results_and_errors_come_back():
    mailbox = Mailbox(asyncio.get_running_loop())
    assert await on_worker(Threads(), mailbox, "k", lambda: 7) == 7

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await on_worker(Threads(), mailbox, "k", fail)

    def stop():
        raise StopIteration

    with pytest.raises(RuntimeError):
        await on_worker(Threads(), mailbox, "k", stop)


async def test_a_cancelled_caller_does_not_break_the_mailbox():
    mailbox = Mailbox(asyncio.get_running_loop())
    release = threading.Event()
    task = asyncio.create_task(on_worker(Threads(), mailbox, "k", release.wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert await on_worker(Threads(), mailbox, "k", lambda: "alive") == "alive"


def test_posting_after_the_loop_closed_is_harmless():
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    mailbox.post(print, "never")
