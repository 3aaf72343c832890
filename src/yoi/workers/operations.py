"""What people do with workers from outside the host: methods for its control socket.

Each takes decoded JSON parameters and returns what msgspec can encode. Following a worker is a
snapshot and then polls, each of which waits for news a bounded time: the socket answers one line
per request.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from yoi.errors import WorkerError
from yoi.limits import LIMITS, Limits
from yoi.protocol.events import Shutdown
from yoi.types import Clock
from yoi.workers.approvals import Decision
from yoi.workers.bus import Subscription
from yoi.workers.context import AssistantParts, Message, ToolOutputs, UserText
from yoi.workers.items import public_entry
from yoi.workers.worker import WorkerStatus
from yoi.workers.worker_set import WorkerSet

Method = Callable[[dict[str, Any]], Awaitable[Any]]
OPERATOR = "operator"
"""The name that history records for what comes over the socket, which admits one account only."""


@dataclass(slots=True)
class _Watch:
    subscription: Subscription
    asked_at: float


class WorkerOperations:
    """The `worker.*` methods of one host's control socket."""

    def __init__(self, worker_set: WorkerSet, clock: Clock, limits: Limits = LIMITS) -> None:
        self._worker_set = worker_set
        self._clock = clock
        self._limits = limits
        self._watches: dict[str, _Watch] = {}

    @property
    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "worker.list": self._list,
            "worker.status": self._status,
            "worker.send": self._send,
            "worker.pause": self._pause,
            "worker.resume": self._resume,
            "worker.cancel": self._cancel,
            "worker.approve": self._approve,
            "worker.revoke": self._revoke,
            "worker.compact": self._compact,
            "worker.uncompact": self._uncompact,
            "worker.restore": self._restore,
            "worker.as_sent": self._as_sent,
            "worker.history": self._history,
            "worker.watch": self._watch,
            "worker.poll": self._poll,
            "worker.unwatch": self._unwatch,
        }

    async def _list(self, _: dict[str, Any]) -> list[WorkerStatus]:
        return self._worker_set.statuses()

    async def _status(self, params: dict[str, Any]) -> WorkerStatus:
        return self._worker_set.status(_text(params, "name"))

    async def _send(self, params: dict[str, Any]) -> dict[str, int]:
        seq = await self._worker_set.worker(_text(params, "name")).send(_text(params, "text"))
        return {"seq": seq}

    async def _pause(self, params: dict[str, Any]) -> None:
        await self._worker_set.worker(_text(params, "name")).pause(OPERATOR)

    async def _resume(self, params: dict[str, Any]) -> None:
        await self._worker_set.worker(_text(params, "name")).resume(OPERATOR)

    async def _cancel(self, params: dict[str, Any]) -> None:
        await self._worker_set.worker(_text(params, "name")).cancel()

    async def _approve(self, params: dict[str, Any]) -> None:
        worker = self._worker_set.worker(_text(params, "name"))
        decision = {key: value for key, value in params.items() if key != "name"}
        await worker.approve(Decision.parse(decision), OPERATOR)

    async def _revoke(self, params: dict[str, Any]) -> None:
        worker = self._worker_set.worker(_text(params, "name"))
        await worker.revoke(_place(params, "item"), OPERATOR)

    async def _compact(self, params: dict[str, Any]) -> None:
        words = _text(params, "words") if "words" in params else ""
        await self._worker_set.worker(_text(params, "name")).compact(words)

    async def _uncompact(self, params: dict[str, Any]) -> dict[str, int]:
        place = await self._worker_set.worker(_text(params, "name")).uncompact(OPERATOR)
        return {"seq": place}

    async def _restore(self, params: dict[str, Any]) -> None:
        worker = self._worker_set.worker(_text(params, "name"))
        await worker.restore(_place(params, "item"), OPERATOR)

    async def _as_sent(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return a page of the view: the messages from number `after` on."""
        request = self._worker_set.worker(_text(params, "name")).as_sent()
        after = _place(params, "after")
        page: list[dict[str, Any]] = []
        room = self._limits.control_response_bytes // 4
        for message in request.messages[after : after + self._limits.history_page]:
            entry = _shown(message)
            room -= len(msgspec.json.encode(entry))
            if page and room < 0:
                break
            page.append(entry)
        head = {
            "instructions": request.instructions,
            "tools": [tool.name for tool in request.tools],
            "messages": len(request.messages),
        }
        return {"page": page, **(head if not after else {})}

    async def _history(self, params: dict[str, Any]) -> dict[str, Any]:
        worker = self._worker_set.worker(_text(params, "name"))
        after = _place(params, "after")
        page: list[dict[str, Any]] = []
        # A page must fit an answer whatever is in it; one item always does.
        room = self._limits.control_response_bytes // 4
        for item in await worker.history(after, self._limits.history_page):
            entry = public_entry(item)
            room -= len(msgspec.json.encode(entry))
            if page and room < 0:
                break
            page.append(entry)
        return {"items": page, "head": worker.status().items}

    async def _watch(self, params: dict[str, Any]) -> dict[str, Any]:
        worker = self._worker_set.worker(_text(params, "name"))
        self._forget_idle()
        if len(self._watches) >= self._limits.worker_watches:
            raise WorkerError(
                "worker.watch", f"{self._limits.worker_watches} people follow already"
            )
        key = secrets.token_urlsafe(12)
        # One step without an await: nothing happens between the snapshot and the first event.
        subscription = Subscription(worker.bus, self._limits)
        self._watches[key] = _Watch(subscription, self._clock.monotonic())
        return {"watch": key, "snapshot": worker.snapshot()}

    async def _poll(self, params: dict[str, Any]) -> dict[str, Any]:
        key = _text(params, "watch")
        watch = self._watches.get(key)
        if watch is None:
            raise WorkerError("worker.watch", "nobody follows under that key; start again")
        watch.asked_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._limits.watch_poll_ms / 1000):
                events = await watch.subscription.take(self._limits.watch_events)
        except TimeoutError:
            return {"events": [], "ended": False, "lagged": False}
        watch.asked_at = self._clock.monotonic()
        ended = not events or isinstance(events[-1], Shutdown)
        if ended:
            self._forget(key)
        return {
            "events": [msgspec.to_builtins(event) for event in events],
            "ended": ended,
            "lagged": watch.subscription.lagged,
        }

    async def _unwatch(self, params: dict[str, Any]) -> None:
        self._forget(_text(params, "watch"))

    def _forget_idle(self) -> None:
        limit = self._clock.monotonic() - self._limits.watch_idle_ms / 1000
        for key in [key for key, watch in self._watches.items() if watch.asked_at < limit]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        watch = self._watches.pop(key, None)
        if watch is not None:
            watch.subscription.close()


def _shown(message: Message) -> dict[str, Any]:
    """Return a message of the view as people and scripts read it."""
    shown: dict[str, Any] = msgspec.to_builtins(message)
    for part in shown.get("parts", ()):
        part.pop("replay", None)
    return {**_ROLES[type(message)], **{k: v for k, v in shown.items() if k != "type"}}


_ROLES: dict[type, dict[str, Any]] = {
    UserText: {"role": "user"},
    AssistantParts: {"role": "assistant"},
    ToolOutputs: {"role": "tool"},
}


def _place(params: dict[str, Any], key: str) -> int:
    value = params.get(key, 0)
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"{key} must be a place, 0 for the start")
    return value


def _text(params: dict[str, Any], key: str) -> str:
    value = params[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} must be text")
    return value
