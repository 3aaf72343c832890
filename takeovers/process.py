"""A process of Yoi in a folder and an account of its own, which is started again when it ends."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

from yoi.control.wire import socket_path

REPO = Path(__file__).parents[1]


class YoiProcess:
    """Runs `words` of Yoi. `part` names its control socket."""

    def __init__(self, folder: Path, name: str, part: str, *words: str) -> None:
        self.name = name
        self.folder = folder / name
        self.workspace = self.folder / "w"
        self.pids: list[int] = []
        """Of its processes, the newest last."""
        self.ends: Counter[int] = Counter()
        """How its processes ended, by exit status."""
        self.stopping = False
        self.program: tuple[str, ...] = ("yoi.cli",)
        """The module that is run, with what is said to it before the words."""
        self._part, self._words = part, words
        self._child: asyncio.subprocess.Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return that of its account."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]),
            "YOI_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    async def run(self) -> None:
        """Keep a process running until it is stopping."""
        with (self.folder / "host.log").open("ab") as log:
            while not self.stopping:
                self._child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", *self.program, *self._words),
                    *("--trust-workspace", "--json"),
                    cwd=self.workspace,
                    env=self.environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                self.pids.append(self._child.pid)
                self.ends[await self._child.wait()] += 1
                await asyncio.sleep(0.2)

    def stop(self) -> None:
        """End it for good."""
        self.stopping = True
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)

    def is_up(self) -> bool:
        """Return whether its process answers at its control socket."""
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
            sock.connect(str(socket_path(self.workspace, self._part)))
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is there."""
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    async def command(self, *words: str) -> None:
        """Give a command of Yoi in its folder; whether it is answered is the process's matter."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "yoi.cli", *words),
            cwd=self.workspace,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await child.wait()

    def said(self, *words: str, stdin: str = "") -> str:
        """Return what a command of Yoi prints in its folder."""
        return subprocess.run(
            [sys.executable, "-m", "yoi.cli", *words],
            cwd=self.workspace,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
