"""Clients made by others, run as processes of an environment of their own (`make peers`)."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import pytest

PYTHON = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
WAIT_SECONDS = 20.0


def interpreter() -> str:
    """Return the Python of that environment; skips the test without it, in CI it fails."""
    if not PYTHON.exists():
        missing = "the clients made by others are not installed: run `make peers`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return str(PYTHON)


class Peer:
    """A process that takes JSON lines and answers each with one; other lines are what it heard."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())
        self.heard: list[Any] = []
        self._news = asyncio.Event()

    @classmethod
    async def start(cls, script: Path, *arguments: str) -> Self:
        """Run `script`, or skip the test where the environment is missing; in CI that fails it."""
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            interpreter(), str(script), *arguments, stdin=pipe, stdout=pipe
        )
        return cls(child)

    async def ask(self, what: str, **values: Any) -> Any:
        """Return the answer to one line."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"do": what, "values": values}).encode() + b"\n")
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._answers.get()

    async def until(self, true: Callable[[list[Any]], object]) -> None:
        """Wait until `true(heard)` is; it is asked again after everything that it says."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not true(self.heard):
                self._news.clear()
                await self._news.wait()

    async def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        await self._reading
        await self._child.wait()

    async def _read(self) -> None:
        assert self._child.stdout is not None
        async for line in self._child.stdout:
            said = json.loads(line)
            if "heard" in said:
                self.heard.append(said["heard"])
                self._news.set()
            else:
                self._answers.put_nowait(said)
        self._answers.put_nowait({"error": "the process ended"})


@contextlib.asynccontextmanager
async def running(script: Path, *arguments: str) -> AsyncIterator[Peer]:
    """Run `script` for as long as the block lasts."""
    peer = await Peer.start(script, *arguments)
    try:
        yield peer
    finally:
        await peer.stop()
