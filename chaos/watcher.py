"""What all kinds of clients have in common: a transcript, a place, and the ways to disturb one."""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from pathlib import Path

from chaos.transcript import Saved, Step, Transcript, saved

_AGAIN_SECONDS = (0.03, 0.35)
_WITNESS_SECONDS = 0.01
"""A witness is back before a backend is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One client. `url` is the server's `http://HOST:PORT`; a witness has no `backend`."""

    client: str
    how: str
    """library, socket or events."""
    url: str
    token: str
    runtime: str
    kind: str
    name: str
    backend: str = ""
    shown: str = "full"
    late_ms: int = 0
    slow_ms: int = 0
    again: bool = False
    """Whether it asks for the state as of its cursor when it comes back."""

    @property
    def path(self) -> str:
        """Return where its stream is, without the last part, which is the transport's."""
        root = f"/api/runtimes/{self.runtime}" if self.backend else "/v1"
        return f"{root}/{self.kind}s/{self.name}/events"


class Watcher:
    """A client. Subclasses `connect`: one connection or watch, until it is lost."""

    def __init__(self, spec: Spec, folder: Path, *, resume: bool) -> None:
        path = folder / f"{spec.client}.jsonl"
        self.spec = spec
        self.cursor, self.place = saved(path) if resume else Saved()
        self.over = False
        self.transcript = Transcript(path)
        self._late_ms = 0 if resume else spec.late_ms
        self._slow_ms = spec.slow_ms
        self._awake = asyncio.Event()
        self._awake.set()
        self._away_ms: int | None = None
        self._connection: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Watch until told that nothing follows, or cancelled."""
        await asyncio.sleep(self._late_ms / 1000)
        while not self.over:
            self._connection = asyncio.ensure_future(self.connect())
            try:
                await asyncio.wait({self._connection})
            finally:
                self._connection.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._connection
            away_ms, self._away_ms = self._away_ms, None
            if away_ms is not None:
                await asyncio.sleep(away_ms / 1000)
            elif self.spec.backend:
                await asyncio.sleep(random.uniform(*_AGAIN_SECONDS))
            else:
                await asyncio.sleep(_WITNESS_SECONDS)

    async def connect(self) -> None:
        """Watch from `cursor` on until the connection is lost."""
        raise NotImplementedError

    def opened(self) -> None:
        """Write down that a connection is asked for, and how."""
        self.transcript.write("open", self.cursor, self.asks_again)

    @property
    def asks_again(self) -> bool:
        """Whether the state as of the cursor is asked for."""
        return self.spec.again and self.cursor is not None

    def note(self, step: Step) -> None:
        """Keep the place that a step brought."""
        if step.cursor is not None:
            self.cursor = step.cursor
        if step.place is not None:
            self.place = step.place

    def finish(self, why: str) -> None:
        """Write down that nothing will follow."""
        self.transcript.write("over", why)
        self.over = True

    async def breathe(self) -> None:
        """Wait as long as this client does between two frames."""
        await self._awake.wait()
        if self._slow_ms:
            await asyncio.sleep(self._slow_ms / 1000)

    def drop(self, away_ms: int) -> None:
        """Lose the connection without a word, and be away for a while."""
        if self._connection is not None:
            self._away_ms = away_ms
            self._connection.cancel()

    def nap(self, ms: int) -> None:
        """Read nothing for a while."""
        self._awake.clear()
        asyncio.get_running_loop().call_later(ms / 1000, self._awake.set)

    def hurry(self) -> None:
        """Read as fast as frames come, from now on."""
        self._slow_ms = 0
        self._awake.set()
