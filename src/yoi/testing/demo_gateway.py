"""A small chat gateway to talk to: a process of its own, on a WebSocket library that is not Yoi's.

    python -m yoi.testing.demo_gateway --state FILE [--port P] [--frames N] [--rate R]
        [--outstanding W] [--try-other ID] [--hold-at N] [--max-seconds S]

Each client is sent numbered frames, at most W unanswered at a time, and answers each:

    gateway  {"type": "message", "id": 7, "channel": "general", "user": "...", "text": "..."}
    client   {"type": "reply", "to": 7, ...}

Frame `ID` of `--try-other` has the type "try_other" and is answered like any other; the example
plugin also attempts a send that was not granted when it sees it. A frame is sent once: one that was
unanswered when its connection broke stays in the account as lost, with the time it was sent.

With `--hold-at` a gateway sends N frames and waits to be killed: one that is started again goes on.

Standard output carries one JSON object a line: {"event": "listening", "port"}, then {"event":
"progress", ...} when something has changed, at most five times a second, then {"event": "done",
"complete", ...}, each with the account (`demo_account.Account.report`). A gateway that was killed
goes on with the same numbers when started again with the same FILE. Exit status: 0 when every frame
was sent and none is outstanding, 3 when `--max-seconds` ran out first or SIGTERM came, 2 for bad
arguments.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from yoi.testing.demo_account import Journal

MAX_FRAMES = 100_000
MAX_OUTSTANDING = 1024
MAX_SECONDS = 3600.0
MAX_REPLY_BYTES = 64 * 1024
PROGRESS_SECONDS = 0.2
CATCH_UP_SECONDS = 0.1
CLOSE_SECONDS = 1.0
SUPERSEDED = 4001

# What strangers type. Each is data: not one may change a screen, a rule or a secret.
TEXTS = (
    "good morning",
    "could someone look at the build?",
    "\x1b[2J\x1b[31mred\x1b]0;new title\x07\x1b[1A and a cleared screen",
    "price is 5 \u20ac, na\u00efve caf\u00e9, \u65e5\u672c\u8a9e, \U0001f600",
    "\u202egnp.exe\u202c \u2066isolated\u2069 \u200bzero\u200dwidth",
    "{{secret}} ${BOT_TOKEN} %(token)s {token} $(id) `id`",
    '"}],"type":"reply","to":1,{"',
    "<script>alert(1)</script> [bold red]markup[/] **md**",
    "line one\nline two\r\nline three\ttab \x00 nul \x7f",
    "../../etc/passwd file:///etc/passwd http://169.254.169.254/",
    "a" * 2000,
    "\u0301" * 20 + " combining, \ufeff mark, \ue000 private use",
)
USERS = ("ada", "grace", "\x1b[7mmallory\x1b[0m", "\u202eeve")


def frame_text(number: int, try_other: int | None) -> str:
    """Return frame `number` as sent: the same number always gives the same text."""
    return json.dumps(
        {
            "type": "try_other" if number == try_other else "message",
            "id": number,
            "channel": "general",
            "user": USERS[number % len(USERS)],
            "text": TEXTS[number % len(TEXTS)],
        }
    )


def reply_number(message: str | bytes) -> object:
    """Return which frame `message` answers, or None when it is not an answer at all."""
    if not isinstance(message, str):
        return None
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("type") != "reply":
        return None
    return value.get("to")


class DemoGateway:
    """The gateway's behaviour; `main` gives it a process, a clock and an output."""

    def __init__(
        self,
        journal: Journal,
        *,
        frames: int,
        rate: float,
        outstanding: int,
        try_other: int | None,
        hold_at: int | None = None,
    ) -> None:
        """Take the journal to write, frames in all, frames a second (0: unpaced), the window W.

        At `hold_at` frames it sends no more, until a process that is started again goes on.
        """
        self.journal = journal
        self.account = journal.account
        self.finished = asyncio.Event()
        self._frames = frames
        first = self.account.last_id == 0
        self._until = min(hold_at, frames) if hold_at is not None and first else frames
        self._gap_s = 1 / rate if rate else 0.0
        self._outstanding = outstanding
        self._try_other = try_other
        self._sent_ns: dict[int, int] = {}
        self._current: ServerConnection | None = None
        self._look_finished()

    @property
    def complete(self) -> bool:
        """Return whether every frame was sent and each is answered or lost with its connection."""
        return self.account.last_id == self._frames and self.account.outstanding == 0

    async def serve_client(self, client: ServerConnection) -> None:
        """Exchange frames with `client` until it leaves. The newest client is the one served."""
        previous, self._current = self._current, client
        if previous is not None:
            self._broke()
            await previous.close(SUPERSEDED, "another client connected")
        if self._current is not client:
            return
        self.journal.record("opened", wall_ms())
        window = asyncio.Semaphore(self._outstanding)
        feed = asyncio.create_task(self._feed(client, window))
        try:
            async for message in client:
                if self._answer(message) == "answered":
                    window.release()
                    self._look_finished()
        except ConnectionClosed:
            pass
        finally:
            feed.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await feed
            if self._current is client:
                self._current = None
                self._broke()

    async def _feed(self, client: ServerConnection, window: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while self.account.last_id < self._until:
            await window.acquire()
            if self._gap_s:
                # A schedule, not a pause per frame: a slow moment is caught up, within bounds.
                next_at = max(next_at + self._gap_s, loop.time() - CATCH_UP_SECONDS)
                await asyncio.sleep(next_at - loop.time())
            if self._current is not client or self.account.last_id == self._until:
                return
            number = self.account.last_id + 1
            self._sent_ns[number] = time.monotonic_ns()
            self.journal.record("sent", number, wall_ms())
            await client.send(frame_text(number, self._try_other))

    def _answer(self, message: str | bytes) -> str:
        arrived_ns = time.monotonic_ns()
        number = reply_number(message)
        verdict = self.account.judge(number)
        if verdict in ("answered", "late"):
            assert isinstance(number, int)
            sent_ns = self._sent_ns.pop(number, None)
            latency_us = None if sent_ns is None else (arrived_ns - sent_ns) // 1000
            self.journal.record(verdict, number, latency_us)
        else:
            self.journal.record(verdict)
        return verdict

    def _broke(self) -> None:
        self.journal.record("broke", wall_ms())
        self._look_finished()

    def _look_finished(self) -> None:
        if self.complete:
            self.finished.set()


def wall_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


async def run(arguments: argparse.Namespace, emit: Callable[[dict[str, Any]], None]) -> int:
    """Serve until every frame is dealt with; return the exit status."""
    journal = Journal(arguments.state, wall_ms())
    try:
        gateway = DemoGateway(
            journal,
            frames=arguments.frames,
            rate=arguments.rate,
            outstanding=arguments.outstanding,
            try_other=arguments.try_other,
            hold_at=arguments.hold_at,
        )
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        async with serve(
            gateway.serve_client,
            "127.0.0.1",
            arguments.port,
            max_size=MAX_REPLY_BYTES,
            close_timeout=CLOSE_SECONDS,
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            emit({"event": "listening", "port": port})
            waits = [asyncio.create_task(event.wait()) for event in (gateway.finished, stop)]
            deadline = loop.time() + arguments.max_seconds
            done: set[asyncio.Task[Any]] = set()
            told: dict[str, Any] | None = None
            while not done and (left := deadline - loop.time()) > 0:
                report = journal.account.report()
                if report != told:
                    emit({"event": "progress", **report})
                told = report
                done, _ = await asyncio.wait(
                    waits, timeout=min(left, PROGRESS_SECONDS), return_when=asyncio.FIRST_COMPLETED
                )
            for wait in waits:
                wait.cancel()
            complete = gateway.complete
            emit({"event": "done", "complete": complete, **journal.account.report()})
        return 0 if complete else 3
    finally:
        journal.close()


def _number(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], Any]:
    def parse(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return parse


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Return the command line's values; exits with status 2 when one is out of bounds."""
    parser = argparse.ArgumentParser(
        prog="python -m yoi.testing.demo_gateway", description="A small chat gateway to talk to."
    )
    parser.add_argument("--state", type=Path, required=True, help="journal; restart continues it")
    parser.add_argument("--port", type=_number(int, 0, 65535), default=0, help="0: any free port")
    parser.add_argument("--frames", type=_number(int, 1, MAX_FRAMES), default=1000)
    parser.add_argument("--rate", type=_number(float, 0, 1e6), default=0.0, help="0: unpaced")
    parser.add_argument("--outstanding", type=_number(int, 1, MAX_OUTSTANDING), default=16)
    parser.add_argument("--try-other", type=_number(int, 1, MAX_FRAMES), default=None)
    parser.add_argument("--hold-at", type=_number(int, 1, MAX_FRAMES), default=None)
    parser.add_argument("--max-seconds", type=_number(float, 0.1, MAX_SECONDS), default=120.0)
    return parser.parse_args(argv)


def main() -> int:
    """Run the gateway; standard output is its report."""

    def emit(value: dict[str, Any]) -> None:
        print(json.dumps(value), flush=True)

    return asyncio.run(run(parse_arguments(sys.argv[1:]), emit))


if __name__ == "__main__":
    raise SystemExit(main())
