"""What a guest may ask of the host while it runs: state, one HTTP request, sockets of its own.

Called on worker threads, inside the guest's turn. Whatever has to wait is done on the event loop,
for as long as the guest's budget lasts and no longer: no host call extends it. A refusal is a
value, `{"error": {"code", "message", "hint"?}}`, never a trap.
"""

import asyncio
import base64
import binascii
import inspect
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from yoi.connections.pull_socket import PullClosed
from yoi.errors import ServiceError, YoiError
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.protocol.session_commands import Request, parse_session_payload
from yoi.protocol.status import PullSocketStatus
from yoi.runtime.hostcall_json import (
    OpenCall,
    UrlCall,
    answered,
    by_url,
    call_object,
    converted,
    malformed,
    received,
    refusal,
    require_few_values,
)
from yoi.runtime.pull_sockets import PullSockets
from yoi.runtime.pull_targets import PullTargets
from yoi.runtime.service_requests import ServiceRequests
from yoi.sandbox import remaining_seconds

Json = Any
Waiting = Callable[[], AbstractContextManager[None]]
"""Lets others have the thread's place while a host call waits (`Scheduler.waiting`)."""

_U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
_TOLD = 32
"""Refusals of one instance that its operator is told of: so many operations and codes."""
_TELL_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Operation:
    """One host call: the shape of its arguments, what it does, and whether it may wait."""

    name: str
    meaning: str
    arguments: Any
    run: Callable[..., Any]
    waits: bool = False
    shape: Callable[[Any], Json] = lambda answer: answer
    """Makes JSON of the answer, on the guest's thread: a large one must not hold the loop up."""


class ServiceHostCalls:
    """See the module docstring. One per service; a `yoi.sandbox.HostCalls`.

    `begin` and `end` bracket the life of an instance, and are called on the loop.
    """

    def __init__(
        self,
        service: str,
        loop: asyncio.AbstractEventLoop,
        waiting: Waiting,
        state: StateStore,
        requests: ServiceRequests,
        sockets: PullSockets,
        targets: PullTargets,
        limits: Limits,
    ) -> None:
        self._service = service
        self._loop = loop
        self._waiting = waiting
        self._state = state
        self._requests = requests
        self._sockets = sockets
        self._targets = targets
        self._limits = limits
        self._changes: dict[str, tuple[str | None, str | None]] | None = None
        """What the guest has set since last asked, by key: before and now; None: not kept."""
        self._changing = threading.Lock()
        self._alive = False
        self._superseded = False
        self._in_tool = False
        self._tell: Callable[[YoiError], None] = lambda _: None
        self._told: dict[tuple[str, str], float] = {}
        """When the operator last heard of an operation and code."""
        self._under_way: set[asyncio.Task[Any]] = set()

    # -- for the service -------------------------------------------------------------------------

    def begin(self, tell: Callable[[YoiError], None]) -> None:
        """A new instance is about to be made; `tell` hears, on the loop, what it is refused."""
        self._tell = tell
        self._told.clear()
        self._alive = True

    def keep_changes(self) -> None:
        """Remember what the guest sets, for `take_changes` or `revert`."""
        self._changes = {}

    def take_changes(self) -> dict[str, str | None]:
        """Return what the guest has set since the last call, by key; None for a removed one."""
        if not self._changes:
            return {}
        with self._changing:
            taken, self._changes = self._changes or {}, {}
        return {key: now for key, (_, now) in taken.items()}

    def revert(self) -> None:
        """Undo what the guest has set since changes were last taken: its call was lost."""
        with self._changing:
            taken, self._changes = self._changes or {}, {}
            for key, (before, _) in taken.items():
                self._state.set(self._service, key, before)

    def forget_changes(self) -> None:
        """Remember no more what the guest sets: nothing of it will be undone."""
        with self._changing:
            self._changes = None

    def superseded(self) -> None:
        """Another version has the state now: what this one still sets is refused."""
        with self._changing:
            self._superseded = True

    def end(self) -> None:
        """The instance stops or is gone: end what it waits for, close its sockets."""
        self._alive = False
        for task in tuple(self._under_way):
            task.cancel()
        self._sockets.end()

    async def gone(self) -> None:
        """Wait until the sockets are gone; bounded by `close_ms`."""
        await self._sockets.gone()

    @contextmanager
    def tool_call(self) -> Iterator[None]:
        """Around a tool call, on its worker thread: what it opens is closed when it returns."""
        self._in_tool = True
        try:
            yield
        finally:
            self._in_tool = False
            with suppress(RuntimeError):  # the loop is closed, and with it every socket
                self._loop.call_soon_threadsafe(self._sockets.end_tool)

    def reauthorise(self) -> None:
        """Close the sockets that policy as it is now no longer allows."""
        self._sockets.reauthorise()

    def status(self) -> list[PullSocketStatus]:
        """Return the sockets that the plugin has opened itself."""
        return self._sockets.statuses()

    # -- for the guest, on its thread ------------------------------------------------------------

    def __call__(self, op: str, argument: str) -> str:
        """Carry out `op` with the JSON array `argument`; return the JSON answer."""
        try:
            answer = self._carry_out(op, argument)
        except YoiError as exc:
            self._note(op, exc)
            return refusal(exc)
        except Exception as exc:
            # A defect of ours, or a disk that fails: the guest has done nothing to be ended for.
            defect = YoiError("usage.internal", f"the call {op} failed: {type(exc).__name__}")
            self._note(op, defect)
            return refusal(defect)
        return msgspec.json.encode({"ok": answer}).decode()

    def _carry_out(self, op: str, argument: str) -> Json:
        operation = OPERATIONS.get(op)
        if operation is None:
            raise ServiceError("denied.unsupported", f"this host offers no call {op!r}")
        arguments = _arguments(operation, argument)
        with self._waiting() if operation.waits else nullcontext():
            if inspect.iscoroutinefunction(operation.run):
                result = self._on_loop(operation, arguments)
            else:
                result = operation.run(self, *arguments)
        return operation.shape(result)

    def _on_loop(self, operation: Operation, arguments: tuple[Any, ...]) -> Json:
        """Carry it out on the loop, within what is left of the guest's budget."""
        tracked = self._tracked(operation, arguments)
        try:
            future = asyncio.run_coroutine_threadsafe(tracked, self._loop)
        except RuntimeError:
            tracked.close()
            raise _stopping() from None
        try:
            return future.result(remaining_seconds())
        except TimeoutError:
            future.cancel()
            # The sandbox ends the turn as soon as this returns: its budget is spent.
            raise ServiceError("sandbox.deadline", "the budget ended in a host call") from None
        except futures.CancelledError:
            raise _stopping() from None

    async def _tracked(self, operation: Operation, arguments: tuple[Any, ...]) -> Json:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._under_way.add(task)
        try:
            return await operation.run(self, *arguments)
        finally:
            self._under_way.discard(task)

    def _note(self, op: str, error: YoiError) -> None:
        """Let the operator hear of a refusal: of each operation and code once a minute."""
        seen = (op, error.code)
        if error.code in _ORDINARY or seen == _NOTHING_CAME:
            return
        now, told = self._loop.time(), self._told.get(seen)
        if len(self._told) >= _TOLD if told is None else now - told < _TELL_AGAIN_S:
            return
        self._told[seen] = now
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, error)

    # -- the operations --------------------------------------------------------------------------

    def _state_get(self, key: str) -> Json:
        self._check_key(key)
        return {"value": self._state.get(self._service, key)}

    def _state_set(self, key: str, value: str) -> Json:
        self._check_key(key)
        size = len(value.encode())
        if size > self._limits.state_value_bytes:
            raise malformed(
                f"state.set: the value has {size} bytes; the bound is "
                f"{self._limits.state_value_bytes}"
            )
        try:
            kept = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            raise malformed("state.set: the value must be JSON text") from None
        self._change(key, None if kept is None else value)
        return {}

    def _change(self, key: str, value: str | None) -> None:
        with self._changing:
            if self._superseded:
                raise _stopping()
            before = self._state.get(self._service, key)
            self._state.set(self._service, key, value)
            if self._changes is not None:
                first = self._changes[key][0] if key in self._changes else before
                self._changes[key] = first, value

    def _check_key(self, key: str) -> None:
        if not key or len(key) > self._limits.name_bytes:
            raise malformed(f"a state key has 1 to {self._limits.name_bytes} characters")

    async def _request(self, asked: str | dict[str, Json]) -> Json:
        self._require_alive()
        given = call_object("request", asked)
        call_id = f"call.{secrets.token_hex(8)}"
        if "url" not in given:
            command = parse_session_payload("request", given)
            assert isinstance(command, Request)
            payload = await self._requests.carry_out(
                self._requests.prepare(command, call_id), command.capture
            )
            return answered(payload)
        call = converted("request", given, UrlCall)
        prepared = self._requests.prepare_url(
            call.method,
            call.url,
            tuple((header.name, header.value) for header in call.headers),
            call.body,
            call_id,
        )
        return by_url(answered(await self._requests.carry_out(prepared, ())))

    async def _open(self, asked: str | dict[str, Json]) -> Json:
        self._require_alive()
        call = converted("websocket.open", call_object("websocket.open", asked), OpenCall)
        headers = call.headers
        if isinstance(headers, list):
            headers = {one.name: one.value for one in headers}
        opening = self._targets.opening(
            call.url, call.protocols, headers, call.query, call.insert, call.connection
        )
        handle, socket = await self._sockets.open(opening, self._in_tool)
        return {"handle": handle, "url": socket.url.display, "protocol": socket.subprotocol}

    async def _send_text(self, handle: int, text: str) -> Json:
        return {"sent": True, "bytes": self._sockets.send(handle, text)}

    async def _send_binary(self, handle: int, data: str) -> Json:
        try:
            raw = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise malformed("websocket.send-binary: the data is not base64") from None
        return {"sent": True, "bytes": self._sockets.send(handle, raw)}

    async def _recv(self, handle: int, timeout_ms: int) -> str | bytes | PullClosed:
        got = await self._sockets.receive(handle, timeout_ms)
        if isinstance(got, PullClosed) and got.error is not None:
            self._note("websocket.recv", got.error)
        return got

    async def _close(self, handle: int) -> Json:
        return {"closed": self._sockets.close(handle)}

    async def _socket_status(self, handle: int) -> Json:
        return self._sockets.status(handle)

    def _require_alive(self) -> None:
        if not self._alive:
            raise _stopping()


def _arguments(operation: Operation, argument: str) -> tuple[Any, ...]:
    require_few_values(operation.name, argument)
    try:
        given: tuple[Any, ...] = msgspec.json.decode(argument, type=operation.arguments)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
        raise malformed(f"{operation.name}: {exc}") from None
    return given


def _stopping() -> ServiceError:
    return ServiceError("service.stopping", "the service is stopping")


OPERATIONS: dict[str, Operation] = {
    one.name: one
    for one in (
        Operation(
            "state.get",
            "Read one key of the plugin's durable state.",
            tuple[str],
            ServiceHostCalls._state_get,
        ),
        Operation(
            "state.set",
            "Keep JSON text under a key; `null` removes it.",
            tuple[str, str],
            ServiceHostCalls._state_set,
        ),
        Operation(
            "request.request",
            "Send one HTTP request and wait for its answer.",
            tuple[str | dict[str, Any]],
            ServiceHostCalls._request,
            waits=True,
        ),
        Operation(
            "websocket.open",
            "Open a socket and return its handle.",
            tuple[str | dict[str, Any]],
            ServiceHostCalls._open,
            waits=True,
        ),
        Operation(
            "websocket.send-text",
            "Queue one text message.",
            tuple[_U32, str],
            ServiceHostCalls._send_text,
        ),
        Operation(
            "websocket.send-binary",
            "Queue one binary message, given as base64.",
            tuple[_U32, str],
            ServiceHostCalls._send_binary,
        ),
        Operation(
            "websocket.recv",
            "Wait for the next message, or for the end.",
            tuple[_U32, _U32],
            ServiceHostCalls._recv,
            waits=True,
            shape=received,
        ),
        Operation(
            "websocket.close",
            "Close a socket; its handle is gone.",
            tuple[_U32],
            ServiceHostCalls._close,
        ),
        Operation(
            "websocket.status",
            "Say how a socket is.",
            tuple[_U32],
            ServiceHostCalls._socket_status,
        ),
    )
}
"""Every host call but `log`; docs/reference/host-api.md lists them."""

_ORDINARY = frozenset({"sandbox.deadline", "service.stopping"})
"""Refusals that say nothing about the plugin or its grant."""
_NOTHING_CAME = ("websocket.recv", "connection.timeout")
"""A wait that ended as it was asked to; any other timeout is a failure."""
