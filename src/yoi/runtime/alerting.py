"""Looks every few seconds at what needs a person, and says so once: log, console, webhook."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from yoi.core.alerts import (
    AlertBook,
    Condition,
    conditions,
    disk,
    machine_unusable,
    untrusted,
)
from yoi.limits import Limits
from yoi.protocol.diagnostics import Diagnostic, diagnostic
from yoi.protocol.status import Alert
from yoi.runtime.service import Service
from yoi.types import Clock, rfc3339_ms

if TYPE_CHECKING:
    from yoi.errors import YoiError

Post = Callable[[dict[str, Any]], Awaitable[None]]
_log = structlog.get_logger("yoi.alerts")


class Alerting:
    """See the module docstring. `diagnosed` shows a diagnostic; `post` sends alerts elsewhere.

    `others` says what stands beside what services and the host's files say.
    """

    def __init__(
        self,
        services: Callable[[], Iterable[Service]],
        folder: Path,
        diagnosed: Callable[[str, Diagnostic], None],
        clock: Clock,
        limits: Limits,
        post: Post | None = None,
        others: Callable[[], Iterable[Condition]] = tuple,
    ) -> None:
        self.book = AlertBook()
        self.distrusted: YoiError | None = None
        """Why yoi.toml, or what was decided of it, could not be read at the last try."""
        self.machine_fault: YoiError | None = None
        """Why host.toml, which was usable before, is not."""
        self._services = services
        self._folder = folder
        self._diagnosed = diagnosed
        self._clock = clock
        self._limits = limits
        self._post = post
        self._others = others
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(limits.alerts_waiting)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Look from now on."""
        self._tasks = [asyncio.create_task(self._look_on())]
        if self._post is not None:
            self._tasks.append(asyncio.create_task(self._post_on(self._post)))

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self) -> None:
        """Compare what stands now with what stood before, and tell the difference."""
        now_ms = self._clock.wall_ms()
        free = await asyncio.to_thread(_free_bytes, self._folder)
        found: list[Condition] = [] if free is None else disk(free, self._limits)
        found += untrusted(self.distrusted)
        found += machine_unusable(self.machine_fault)
        found += self._others()
        for service in self._services():
            found += conditions(service.status(), service.spec.expected_ms, now_ms, self._limits)
        opened, closed = self.book.update(found, rfc3339_ms(now_ms))
        for alert in opened:
            self._tell(alert, "alert.opened", alert.message)
        for alert in closed:
            self._tell(alert, "alert.closed", f"over: {alert.message}")

    def _tell(self, alert: Alert, code: str, message: str) -> None:
        at = rfc3339_ms(self._clock.wall_ms())
        opened = code == "alert.opened"
        entry = diagnostic(
            at,
            code,
            alert.scope,
            message,
            severity="error" if opened else "info",
            hint=alert.hint if opened else None,
            alert=alert.kind,
            since=alert.since,
        )
        self._diagnosed(alert.scope, entry)
        if self._post is None:
            return
        about = {"state": "opened" if opened else "closed", "alert": str(alert.kind)}
        about |= {"scope": alert.scope, "message": alert.message, "since": alert.since, "at": at}
        try:
            self._waiting.put_nowait(about)
        except asyncio.QueueFull:
            _log.error("an alert was not posted: too many wait", **about)

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as exc:
                # The next look may find what this one could not.
                _log.error("alerts could not be looked at", error=type(exc).__name__)
            await asyncio.sleep(self._limits.alert_sample_ms / 1000)

    async def _post_on(self, post: Post) -> None:
        while True:
            about = await self._waiting.get()
            try:
                await post(about)
            except Exception as exc:
                _log.error("an alert was not posted", error=str(exc), scope=about["scope"])


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
