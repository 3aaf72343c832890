"""Processes pinned to one core, and what the kernel says they used."""

import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

PAGE = os.sysconf("SC_PAGE_SIZE")
CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE, TESTED_CORE = CORES[0], CORES[-1]


class BenchmarkError(Exception):
    """A run that gave no figure; the message says why."""


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pinned:
    """A child in its own process group, on one core, killed with everything it started."""

    def __init__(
        self,
        command: Sequence[str | Path],
        core: int,
        *,
        log: IO[bytes],
    ) -> None:
        """Start `command`; standard error goes to `log`, standard output can be read by line.

        Its temporary files go to a folder that `stop` removes.
        """
        self._scratch = tempfile.TemporaryDirectory(prefix="yoi-bench-")
        self._child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "TMPDIR": self._scratch.name},
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        self._unread = b""

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    def line(self, timeout: float) -> str:
        """Return the next line of standard output; BenchmarkError when none comes in time."""
        assert self._child.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(timeout):
                    raise BenchmarkError(f"nothing on standard output for {timeout:g} s")
                chunk = os.read(self._child.stdout.fileno(), 65536)
                if not chunk:
                    raise BenchmarkError("it ended early")
                self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()

    def expect(self, word: str, timeout: float) -> None:
        """Read one line, which must be `word`."""
        line = self.line(timeout)
        if line != word:
            raise BenchmarkError(f"expected {word!r}, got {line!r}")

    def nudge(self) -> None:
        """Let an instrument that waits for a byte go on."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(b"x")
            self._child.stdin.flush()

    def json(self, timeout: float) -> dict[str, Any]:
        """Read one line of JSON; BenchmarkError when it reports an error."""
        value = json.loads(self.line(timeout))
        if "error" in value:
            raise BenchmarkError(value["error"])
        return value

    def stop(self, patience: float = 2.0) -> None:
        """Ask with SIGTERM, then kill the whole group."""
        if self._child.poll() is None:
            self._child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(patience)
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            with suppress(BrokenPipeError):
                pipe.close()
        self._scratch.cleanup()

    def __enter__(self) -> "Pinned":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def family(pid: int) -> list[int]:
    """Return `pid` and every process below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


def cpu_ns(pid: int) -> int:
    """Return nanoseconds on a CPU so far, over every live thread of `pid` and its children."""
    total = 0
    for member in family(pid):
        for stat in Path(f"/proc/{member}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(stat.read_text().split()[0])
    return total


def rss_bytes(pid: int) -> int:
    """Return resident memory of `pid` and its children; shared pages count in each."""
    total = 0
    for member in family(pid):
        with suppress(OSError):
            total += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * PAGE
    return total
