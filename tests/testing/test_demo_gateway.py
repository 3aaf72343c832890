"""The demo's gateway as the process it is, spoken to by a plain `websockets` client."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from yoi.testing.demo_account import Account
from yoi.testing.demo_gateway import SUPERSEDED, TEXTS, frame_text, parse_arguments, reply_number

PATIENCE = 20.0  # a bound on a hang, never something a passing test waits for


class Process:
    """One gateway process and what it reported."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.port = 0

    async def event(self, name: str) -> dict[str, Any]:
        assert self.child.stdout is not None
        while line := await asyncio.wait_for(self.child.stdout.readline(), PATIENCE):
            value = json.loads(line)
            if value["event"] == name:
                return dict(value)
        raise AssertionError(f"the gateway ended without {name!r}")

    async def finish(self) -> tuple[int, dict[str, Any]]:
        done = await self.event("done")
        return await asyncio.wait_for(self.child.wait(), PATIENCE), done

    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


@asynccontextmanager
async def gateway(state: Path, *arguments: str) -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "yoi.testing.demo_gateway", "--state", str(state), *arguments,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    process = Process(child)
    try:
        process.port = (await process.event("listening"))["port"]
        yield process
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def take(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(await asyncio.wait_for(client.recv(), PATIENCE)))


async def reply(client: ClientConnection, number: object) -> None:
    await client.send(json.dumps({"type": "reply", "to": number}))


async def test_every_frame_is_numbered_sent_once_and_accounted_for(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a", "--frames", "30", "--try-other", "7") as process:
        seen = []
        async with connect(process.url()) as client:
            for _ in range(30):
                frame = await take(client)
                seen.append(frame)
                await reply(client, frame["id"])
            status, done = await process.finish()
    assert [frame["id"] for frame in seen] == list(range(1, 31))
    assert [frame["id"] for frame in seen if frame["type"] == "try_other"] == [7]
    assert {frame["text"] for frame in seen} == set(TEXTS)
    assert status == 0
    assert done["complete"]
    assert (done["sent"], done["answered"], done["unanswered"]) == (30, 30, [])
    assert 0 < done["p50_ms"] <= done["p99_ms"]


async def test_held_frames_go_on_after_the_kill_and_not_before(tmp_path: Path) -> None:
    """The demo kills its gateway midway, however late it looks."""
    more = ("--frames", "6", "--hold-at", "4")
    async with gateway(tmp_path / "a", *more) as process, connect(process.url()) as client:
        for _ in range(4):
            await reply(client, (await take(client))["id"])
        while (told := await process.event("progress"))["answered"] < 4:
            pass
        assert told["sent"] == 4
    async with gateway(tmp_path / "a", *more) as process, connect(process.url()) as client:
        assert [(await take(client))["id"], (await take(client))["id"]] == [5, 6]
        for number in (5, 6):
            await reply(client, number)
        status, done = await process.finish()
    assert (status, done["answered"]) == (0, 6)


async def test_at_most_w_frames_wait_and_odd_answers_are_counted(tmp_path: Path) -> None:
    state = tmp_path / "a"
    async with (
        gateway(state, "--frames", "5", "--outstanding", "2") as process,
        connect(process.url()) as client,
    ):
        assert [(await take(client))["id"], (await take(client))["id"]] == [1, 2]
        for odd in ("99", 99, None, 1, 1):
            await reply(client, odd)
        await client.send(b"binary")
        await client.send("not json")
        for number in (2, 3, 4, 5):
            await reply(client, number)
            if number < 5:
                assert (await take(client))["id"] == number + 1
        status, done = await process.finish()
    assert status == 0
    assert (done["answered"], done["duplicates"], done["unknown"]) == (5, 1, 1)
    assert (done["malformed"], done["reordered"]) == (4, 0)
    account, widest = Account(), 0
    for line in state.read_text().splitlines():
        account.apply(json.loads(line))
        widest = max(widest, account.outstanding)
    assert widest == 2


async def test_after_a_sigkill_the_numbers_go_on_and_the_lost_are_listed(tmp_path: Path) -> None:
    state = tmp_path / "a"
    async with gateway(state, "--frames", "10", "--outstanding", "3") as process:
        port = process.port
        async with connect(process.url()) as client:
            for number in (1, 2):
                assert (await take(client))["id"] == number
                await reply(client, number)
            for number in (3, 4, 5):
                assert (await take(client))["id"] == number
            process.child.kill()
            with pytest.raises(ConnectionClosed):
                await take(client)
    async with gateway(state, "--frames", "10", "--port", str(port)) as process:
        assert process.port == port
        async with connect(process.url()) as client:
            await reply(client, 4)
            for number in range(6, 11):
                assert (await take(client))["id"] == number
                await reply(client, number)
            status, done = await process.finish()
    assert status == 0
    assert (done["sent"], done["answered"], done["late"], done["lost"]) == (10, 8, 1, 2)
    assert [row["id"] for row in done["unanswered"]] == [3, 5]
    assert all(row["sent_ms"] > 0 for row in done["unanswered"])
    assert (done["restarts"], done["sessions"]) == (1, 2)


async def test_a_client_that_leaves_loses_only_what_it_had(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a", "--frames", "4", "--outstanding", "2") as process:
        async with connect(process.url()) as client:
            await take(client)
            await take(client)
        async with connect(process.url()) as client:
            for number in (3, 4):
                assert (await take(client))["id"] == number
                await reply(client, number)
            status, done = await process.finish()
    assert status == 0
    assert [row["id"] for row in done["unanswered"]] == [1, 2]
    assert all(row["broke_ms"] >= row["sent_ms"] for row in done["unanswered"])


async def test_the_newest_client_is_the_one_served(tmp_path: Path) -> None:
    async with (
        gateway(tmp_path / "a", "--frames", "2", "--outstanding", "1") as process,
        connect(process.url()) as first,
    ):
        assert (await take(first))["id"] == 1
        async with connect(process.url()) as second:
            with pytest.raises(ConnectionClosed) as closed:
                await take(first)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == SUPERSEDED
            assert (await take(second))["id"] == 2
            await reply(second, 2)
            status, done = await process.finish()
    assert (status, done["answered"], done["lost"]) == (0, 1, 1)


async def test_it_ends_by_itself_when_nobody_comes(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a", "--max-seconds", "0.1") as process:
        status, done = await process.finish()
    assert (status, done["complete"], done["sent"]) == (3, False, 0)


async def test_sigterm_ends_it_with_its_account(tmp_path: Path) -> None:
    async with gateway(tmp_path / "a") as process:
        process.child.send_signal(signal.SIGTERM)
        status, done = await process.finish()
    assert (status, done["complete"]) == (3, False)


def test_the_same_number_gives_the_same_hostile_text() -> None:
    texts = "".join(json.loads(frame_text(n, None))["text"] for n in range(len(TEXTS)))
    assert frame_text(5, 5) == frame_text(5, 5) != frame_text(5, None)
    for hostile in ("\x1b[2J", "\u202e", "{{secret}}", "\x00", "<script>", "[bold"):
        assert hostile in texts


@pytest.mark.parametrize("message", ["[1]", "7", "{}", '{"to": 1}', "[" * 100_000, b"{}", "\ud800"])
def test_what_is_not_an_answer_names_no_frame(message: str | bytes) -> None:
    assert reply_number(message) is None


@pytest.mark.parametrize(
    "arguments",
    [["--frames", "0"], ["--rate", "-1"], ["--port", "65536"], ["--max-seconds", "nan"]],
)
def test_a_value_out_of_bounds_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--state", "x", *arguments])
    assert ended.value.code == 2
