"""Child processes that can be killed, frozen and started again, and that never outlive us."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1
_LINE_BYTES = 1 << 24


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One process of a world. Its standard error is appended to `log`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, talks: bool) -> None:
        self.name = name
        self.starts = 0
        self._command = command
        self._log = log
        self._talks = talks
        """Whether it takes orders on standard input, and says `ready`."""
        self._process: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()
        self._starting = asyncio.Lock()

    @property
    def running(self) -> bool:
        """Whether it runs, frozen or not."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> bool:
        """Start it where it does not run; return whether it did not."""
        async with self._starting:
            if self.running:
                return False
            await self._reap()
            pipe = asyncio.subprocess.PIPE
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=pipe if self._talks else asyncio.subprocess.DEVNULL,
                    stdout=pipe if self._talks else log,
                    stderr=log,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                    limit=_LINE_BYTES,
                )
            self.starts += 1
            if self._talks:
                await self._line()
            return True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, where it runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def end(self, number: signal.Signals, patience: float = 12.0) -> None:
        """Send it a signal that ends it, and wait; then kill it."""
        if self._process is None:
            return
        self.send(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._process.wait()
                return
        self.send(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> None:
        """Kill it with everything it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._reap()

    def tell(self, order: dict[str, Any]) -> None:
        """Send an order; one that is not running hears nothing."""
        if self.running and self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def ask(self, order: dict[str, Any]) -> Any:
        """Send an order and return its answer. Raises EOFError where there is none."""
        async with self._asking:
            self.tell(order)
            return json.loads(await self._line())

    async def _line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        if not line:
            raise EOFError(f"{self.name} ended; see {self._log}")
        return line

    async def _reap(self) -> None:
        if self._process is not None:
            await self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()


def module(name: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this folder."""
    return [sys.executable, "-m", f"chaos.{name}", *arguments]


def yoi(*arguments: str) -> list[str]:
    """Return a command of the command line under test."""
    return [sys.executable, "-m", "yoi.cli", *arguments]
