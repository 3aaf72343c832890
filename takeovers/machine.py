"""One machine of the deployment: a folder, an account, a process, and its ways to all others."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.control.wire import HOST, socket_path

if TYPE_CHECKING:
    from takeovers.network import Cut, Proxy


class Machine:
    """Its process is started again whenever it ends."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.folder = folder / name
        self.workspace = self.folder / "w"
        self.cuts: list[Cut] = []
        """Before each server."""
        self.proxy: Proxy
        """Before all gateways."""
        self.pids: list[int] = []
        """Of its processes, the newest last."""
        self.ends: Counter[int] = Counter()
        """How its processes ended, by exit status."""
        self.stopping = False
        self._child: asyncio.subprocess.Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return that of its account."""
        return {
            **os.environ,
            "YOI_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    async def run(self) -> None:
        """Keep a process running until it is stopping."""
        with (self.folder / "host.log").open("ab") as log:
            while not self.stopping:
                self._child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "yoi.cli", "serve", "--port", "0"),
                    *("--trust-workspace", "--verbose", "--json"),
                    cwd=self.workspace,
                    env=self.environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                self.pids.append(self._child.pid)
                self.ends[await self._child.wait()] += 1
                await asyncio.sleep(0.2)

    def is_up(self) -> bool:
        """Return whether its process answers at its control socket."""
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
            sock.connect(str(socket_path(self.workspace, HOST)))
            return True
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is there."""
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    async def command(self, *words: str) -> None:
        """Give a command of Yoi in its folder; whether it is answered is the machine's matter."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "yoi.cli", *words),
            cwd=self.workspace,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await child.wait()

    def keep(self, secret: str, value: str) -> None:
        """Put a secret into the store of its workspace."""
        subprocess.run(
            [sys.executable, "-m", "yoi.cli", "secret", "set", secret, "--stdin"],
            cwd=self.workspace,
            env=self.environment,
            input=value.encode(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
