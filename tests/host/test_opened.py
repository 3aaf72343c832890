"""Whatever fails while a host opens or closes, the rest is closed, and the first error is told."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from yoi.errors import JournalError
from yoi.host.opened import Opened


@asynccontextmanager
async def part(log, name, error=None):
    log.append(f"open {name}")
    yield name
    log.append(f"close {name}")
    if error is not None:
        raise error


async def test_parts_close_last_first():
    log, opened = [], Opened()
    assert await opened.enter("a", part(log, "a")) == "a"
    await opened.enter("b", part(log, "b"))
    await opened.close()
    assert log == ["open a", "open b", "close b", "close a"]


async def test_one_that_fails_keeps_no_other_open_and_the_first_error_has_the_others_as_notes():
    log, opened = [], Opened()
    await opened.enter("the journal", part(log, "a", JournalError("journal.io", "disk full")))
    await opened.enter("the sandbox", part(log, "b"))
    await opened.enter("the listener", part(log, "c", ValueError("words that may be secret")))
    with pytest.raises(ValueError, match="words") as raised:
        await opened.close()
    assert log[3:] == ["close c", "close b", "close a"]
    first, second = raised.value.__notes__
    assert first == "while closing the listener"
    assert second.splitlines() == [
        "and then: disk full [journal.io]",
        "while closing the journal",
    ]


async def test_errors_are_notes_of_what_was_raised_already():
    log, opened = [], Opened()
    await opened.enter("a", part(log, "a", KeyError("secret")))
    cause = ValueError("no port")
    await opened.close(cause)
    assert log == ["open a", "close a"]
    (note,) = cause.__notes__
    assert note.startswith("and then: KeyError in tests.host.test_opened")
    assert "secret" not in note


async def test_a_cancelled_close_still_closes_everything():
    log, opened, hold = [], Opened(), asyncio.Event()

    @asynccontextmanager
    async def slow():
        yield
        await hold.wait()

    await opened.enter("a", part(log, "a"))
    await opened.enter("slow", slow())
    closing = asyncio.create_task(opened.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert log == ["open a", "close a"]


async def test_closing_twice_closes_once():
    log, opened = [], Opened()
    await opened.enter("a", part(log, "a"))
    await opened.close()
    await opened.close()
    assert log == ["open a", "close a"]
