"""What the control socket of a host answers: for the operator, on the same machine and account."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from yoi.control.server import Method
from yoi.defects import defect
from yoi.errors import ServiceError, YoiError
from yoi.host.applying import PlanApplier
from yoi.host.reloading import ReloadQueue
from yoi.host.runtime_parts import RuntimeParts
from yoi.limits import Limits
from yoi.runtime.service_manager import Applied
from yoi.types import Clock, rfc3339

T = TypeVar("T")


class HostMethods:
    """The `host.*` and `service.*` methods.

    A client waits a bounded time; what takes longer goes on, and `tell` hears how it failed.
    """

    def __init__(
        self,
        workspace: Path,
        runtime: RuntimeParts,
        applier: PlanApplier,
        reloads: ReloadQueue[Applied],
        tell: Callable[[YoiError], None],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._workspace = workspace
        self._runtime = runtime
        self._services = runtime.services
        self._applier = applier
        self._reloads = reloads
        self._tell = tell
        self._limits = limits
        self._started_at = rfc3339(clock.wall())
        self._late: set[asyncio.Task[Any]] = set()

    @property
    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "host.status": self._host_status,
            "host.reload": self._host_reload,
            "service.list": self._list,
            "service.status": self._status,
            "service.restart": self._restart,
            "service.reconnect": self._reconnect,
            "service.stop": self._stop,
            "service.dead_letters": self._dead_letters,
            "service.replay": self._replay,
            "service.discard": self._discard,
            "service.call": self._call,
        }

    async def close(self) -> None:
        """Cancel what goes on although its client waits no longer."""
        late = tuple(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _host_status(self, params: dict[str, Any]) -> Any:
        return {
            "pid": os.getpid(),
            "workspace": str(self._workspace),
            "started_at": self._started_at,
            "services": len(self._services),
            "starting": not self._runtime.settled(),
            "pending": list(self._applier.pending),
            "network": self._network(),
            "alerts": msgspec.to_builtins(
                [
                    one
                    for one in self._runtime.alerting.book.open
                    if one.scope == "host" or one.scope.startswith("mcp:")
                ]
            ),
        }

    def _network(self) -> dict[str, Any]:
        settings = self._runtime.network.settings
        return {
            "proxy": None if settings.proxy is None else settings.proxy.where,
            "proxy_resolves": settings.proxy_resolves,
            "note": settings.names_in_words(),
            "user_agent": self._runtime.network.user_agent,
        }

    async def _host_reload(self, params: dict[str, Any]) -> Any:
        self._applier.decided(params.get("entries", ()))
        applied = await self._unless_long(self._reloads.reload())
        if applied is None:
            applied = Applied(started=[], stopped=[], restarted=[], regranted=[])
            return {**msgspec.to_builtins(applied), "pending": True}
        return {**msgspec.to_builtins(applied), "pending": False}

    async def _list(self, params: dict[str, Any]) -> Any:
        return msgspec.to_builtins(list(self._services.statuses().values()))

    async def _status(self, params: dict[str, Any]) -> Any:
        service = self._services[params["name"]]
        with contextlib.suppress(TimeoutError):
            # A plugin that is busy for longer is shown with the status it gave last.
            async with asyncio.timeout(self._limits.status_ms / 1000):
                await service.ask_status()
        return msgspec.to_builtins(self._services.status(service.name))

    async def _restart(self, params: dict[str, Any]) -> Any:
        service = self._services[params["name"]]
        await self._unless_long(service.restart())
        return msgspec.to_builtins(self._services.status(service.name))

    async def _reconnect(self, params: dict[str, Any]) -> Any:
        service = self._services[params["name"]]
        names = service.reconnect(params.get("connection"))
        return {"connections": names}

    async def _stop(self, params: dict[str, Any]) -> Any:
        service = self._services[params["name"]]
        await self._unless_long(service.stop(reason="stopped by a person"))
        return msgspec.to_builtins(self._services.status(service.name))

    async def _dead_letters(self, params: dict[str, Any]) -> Any:
        return [letter.to_json() for letter in self._services[params["name"]].dead_letters]

    async def _replay(self, params: dict[str, Any]) -> Any:
        self._services[params["name"]].replay(params["event_id"])
        return {"replayed": params["event_id"]}

    async def _discard(self, params: dict[str, Any]) -> Any:
        self._services[params["name"]].discard(params["event_id"])
        return {"discarded": params["event_id"]}

    async def _call(self, params: dict[str, Any]) -> Any:
        service = self._services[params["name"]]
        wait_ms = self._limits.control_wait_ms
        try:
            async with asyncio.timeout(wait_ms / 1000):
                return await service.call_tool(params["tool"], params.get("input", {}))
        except TimeoutError:
            raise ServiceError(
                "service.no_answer", f"no answer in {wait_ms} ms; a worker waits for longer"
            ) from None

    async def _unless_long(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what `work` returns, or None where it goes on for longer than a client waits."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=self._limits.control_wait_ms / 1000)
        if done:
            return task.result()
        # The loop knows its tasks only weakly.
        self._late.add(task)
        task.add_done_callback(self._ended_late)
        return None

    def _ended_late(self, task: "asyncio.Task[Any]") -> None:
        self._late.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._tell(defect(error, "a late task", str(error)))
