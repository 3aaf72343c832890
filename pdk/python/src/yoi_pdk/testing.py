"""Test a plugin with plain pytest: no Yoi, no sandbox, no network.

    from yoi_pdk.testing import PluginHarness
    from plugin import Echo

    def test_echo():
        plugin = PluginHarness(Echo, config={"prefix": "> "})
        assert plugin.text("hi") == [Reply("> hi")]

The harness checks answers as the host does and raises what the host would refuse. It reads the
plugin.toml beside the plugin: a command that names a connection, target, worker or secret that the
manifest does not ask for is a HostError, configuration gets its defaults and is held to its schema,
and a tool's input to its own. What the operator grants is the operator's decision.
"""

import importlib
import json
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

from yoi_pdk.answers import commands, status_object, tool_result
from yoi_pdk.commands import Command, Reply, Send
from yoi_pdk.context import Context
from yoi_pdk.deferral import Complete, Defer
from yoi_pdk.events import (
    BinaryEvent,
    CloseEvent,
    DeniedEvent,
    ErrorEvent,
    Event,
    GapEvent,
    OpenEvent,
    ResponseEvent,
    SendFailedEvent,
    StartedEvent,
    TextEvent,
    TimerEvent,
    event_from_json,
)
from yoi_pdk.fake_host import FakeHost, FakeSocket, fake_answer
from yoi_pdk.handlers import Handlers, finished
from yoi_pdk.host import HostError
from yoi_pdk.keeping import StateSet
from yoi_pdk.manifest import ManifestRules
from yoi_pdk.plugin import Plugin
from yoi_pdk.requests import Request
from yoi_pdk.tools import ToolCall, ToolResult

__all__ = [
    "FakeHost",
    "FakeSocket",
    "PluginHarness",
    "binary_event",
    "close_event",
    "denied_event",
    "error_event",
    "fake_answer",
    "gap_event",
    "load_plugin",
    "open_event",
    "response_event",
    "send_failed_event",
    "started_event",
    "text_event",
    "timer_event",
]

P = TypeVar("P", bound=Plugin)

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_NOON_MS = int(_NOON.timestamp() * 1000)


def text_event(text: str, *, seq: int = 1, **about: Any) -> TextEvent:
    """Return a text message as the host would deliver it.

    `about` is where it comes from: connection, ingress, session, attempt, in_reply_to, duplicate.
    """
    return TextEvent(_source(**about), seq, text)


def binary_event(data: bytes, *, seq: int = 1, **about: Any) -> BinaryEvent:
    """Return a binary message as the host would deliver it; `about` as for `text_event`."""
    return BinaryEvent(_source(**about), seq, data)


def open_event(subprotocol: str | None = None, *, reason: str = "first", **about: Any) -> OpenEvent:
    """Return the event of a connection that has opened.

    `about` of this and the next functions: connection, ingress, session, attempt.
    """
    payload = {"subprotocol": subprotocol, "reason": reason}
    return _made(OpenEvent, "websocket_open", payload, **about)


def close_event(
    code: int = 1000, reason: str = "", *, clean: bool = True, **about: Any
) -> CloseEvent:
    """Return the event of a session that has ended."""
    payload = {"code": code, "reason": reason, "clean": clean}
    return _made(CloseEvent, "websocket_close", payload, **about)


def gap_event(
    why: str = "disconnected",
    *,
    seconds: float = 10,
    count: int | None = None,
    missing: Sequence[tuple[Any, int, int]] = (),
    **about: Any,
) -> GapEvent:
    """Return the event of a gap that is `seconds` long.

    `missing` are numbers that did not come, each a key, the first and the last.
    """
    since, until = _NOON - timedelta(seconds=seconds), _NOON
    payload = {
        "since": _rfc3339(since),
        "until": _rfc3339(until),
        "since_ms": int(since.timestamp() * 1000),
        "until_ms": _NOON_MS,
        "why": why,
        "count": count,
        **({"missing": [_range(*one) for one in missing]} if missing else {}),
    }
    return _made(GapEvent, "websocket_gap", payload, **about)


def _range(per: Any, first: int, last: int) -> dict[str, Any]:
    return {"per": per, "first": first, "last": last}


def error_event(
    code: str = "connection.refused",
    message: str = "no address could be connected",
    status: int | None = None,
    **about: Any,
) -> ErrorEvent:
    """Return the event of a connection that failed; `status` where the server answered with one."""
    payload: dict[str, Any] = {"code": code, "message": message}
    if status is not None:
        payload["status"] = status
    return _made(ErrorEvent, "websocket_error", payload, **about)


def send_failed_event(
    command_id: str,
    code: str = "connection.session_ended",
    message: str = "the session the message belongs to has ended",
    **about: Any,
) -> SendFailedEvent:
    """Return the event of an allowed send that could not be carried out."""
    payload = {"command_id": command_id, "command": "websocket_send", "code": code}
    payload["message"] = message
    return _made(SendFailedEvent, "websocket_send_failed", payload, **about)


def denied_event(
    command_id: str,
    code: str = "denied.not_granted",
    message: str = "the operator has not granted this",
    **about: Any,
) -> DeniedEvent:
    """Return the event of a command that the host refused."""
    payload = {"command_id": command_id, "command": "websocket_send", "code": code}
    payload["message"] = message
    return _made(DeniedEvent, "command_denied", payload, **about)


def started_event(
    restarts: int = 0,
    *,
    connections: Sequence[Mapping[str, Any]] = (),
    timers: Sequence[Mapping[str, str]] = (),
    **about: Any,
) -> StartedEvent:
    """Return the event of a plugin that has started; `connections` are sessions it takes over."""
    payload = {
        "restarts": restarts,
        "replaced": bool(restarts or connections),
        "connections": [dict(one) for one in connections],
        "timers": [dict(one) for one in timers],
    }
    return _made(StartedEvent, "service_started", payload, **{**_HOST, **about})


def timer_event(name: str, **about: Any) -> TimerEvent:
    """Return the event of a timer that is due."""
    return _made(TimerEvent, "timer", {"name": name}, **{**_HOST, **about})


def response_event(
    command: str | Request,
    *,
    json: Any = None,
    text: str | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
    captured: dict[str, str] | None = None,
    truncated: bool = False,
    error: tuple[str, str] | None = None,
    may_have_arrived: bool = False,
    retry_after_ms: int | None = None,
    **about: Any,
) -> ResponseEvent:
    """Return the answer to `command`, a Request with an id, or the id.

    The body is `json` or `text`, or empty. With `error=(code, message)` no answer came;
    `may_have_arrived` says that the server may have acted all the same.
    """
    command_id = command if isinstance(command, str) else command.id
    if command_id is None:
        raise TypeError("the request has no id: Request(..., id='...') to know its answer")
    payload: dict[str, Any] = {"command_id": command_id, "ok": error is None}
    if error is None:
        payload |= {"status": status, "headers": headers or {}, "truncated": truncated}
        payload["body"] = text if json is None else _json.loads(_json.dumps(json))
        payload["body_kind"] = "json" if json is not None else "empty" if text is None else "text"
        payload["captured"] = captured or {}
    else:
        payload["error"] = {"code": error[0], "message": error[1]}
        payload["may_have_arrived"] = may_have_arrived
    if retry_after_ms is not None:
        payload["retry_after_ms"] = retry_after_ms
    return _made(ResponseEvent, "response", payload, **{**_HOST, **about})


_HOST: dict[str, Any] = {"connection": None, "session": None}
_json = json  # also the name of a parameter

AnyEvent = TypeVar("AnyEvent", bound=Event)


def _source(
    connection: str = "gateway",
    ingress: str = "events",
    session: str = "session-1",
    attempt: int = 1,
    in_reply_to: str | None = None,
    duplicate: bool = False,
) -> tuple[str, str, str, int, int, str | None, bool]:
    return ingress, connection, session, _NOON_MS, attempt, in_reply_to, duplicate


def _made(
    cls: type[AnyEvent],
    kind: str,
    payload: dict[str, Any],
    *,
    connection: str | None = "gateway",
    ingress: str = "events",
    session: str | None = "session-1",
    attempt: int = 1,
) -> AnyEvent:
    where = {} if connection is None else {"connection": connection, "session": session}
    event = event_from_json(
        {
            "kind": kind,
            "source": "host" if connection is None else f"websocket:{connection}",
            "ingress_name": ingress,
            "payload": {**payload, **where},
            "created_at": _rfc3339(_NOON),
            "attempt": attempt,
            "correlation_id": f"{session or 'host'}.{kind}",
        }
    )
    assert isinstance(event, cls)
    return event


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class PluginHarness(Generic[P]):
    """One started plugin. `plugin` is your object, `logs` what it logged as (level, message)."""

    def __init__(
        self,
        plugin: type[P],
        config: dict[str, Any] | None = None,
        *,
        name: str = "test",
        state: dict[str, Any] | None = None,
        manifest: Path | None = None,
    ) -> None:
        if not (isinstance(plugin, type) and issubclass(plugin, Plugin)):
            raise TypeError("PluginHarness takes the class, a subclass of yoi_pdk.Plugin")
        self.rules = (
            ManifestRules.beside(plugin) if manifest is None else ManifestRules.read(manifest)
        )
        """What the plugin.toml asks for; None where there is none beside the plugin."""
        self.logs: list[tuple[str, str]] = []
        self.state: dict[str, Any] = dict(state or {})
        """What the plugin keeps: `ctx.state` and `StateSet` write here."""
        self.host = FakeHost(self.state)
        """Answers `ctx.request` and `ctx.websocket`: see `yoi_pdk.fake_host`."""
        self.ctx = Context(
            name, lambda level, message: self.logs.append((level, message)), self.host
        )
        self.waiting: dict[str, Defer] = {}
        """Tool calls that were deferred and not completed, by id."""
        self.completed: dict[str, ToolResult | str] = {}
        """How deferred calls were completed, by id: with a result, or an error's words."""
        self._seq = self._calls = 0
        # A round trip through JSON: the host can deliver nothing else.
        self.ctx.config = json.loads(json.dumps(config or {}))
        if self.rules is not None:
            self.ctx.config = self.rules.config(dict(self.ctx.config))
        self.plugin = plugin()
        self._handlers = Handlers(self.plugin)
        finished(self.plugin.start(self.ctx, dict(self.ctx.config)), "start")
        self.ctx.state.stage()
        status_object(self.plugin.status())

    def text(self, message: str | TextEvent) -> list[Command]:
        """Deliver one text message; return the commands, in order."""
        if isinstance(message, str):
            self._seq += 1
            message = text_event(message, seq=self._seq, **self._about())
        return self._checked(self._handlers.on_text, message)

    def json(
        self, message: Any, *, session: str = "session-1", in_reply_to: str | Send | None = None
    ) -> list[Command]:
        """Deliver `message` written as JSON; return the commands, in order.

        `in_reply_to` is the `Send` with `reply_at` that it answers, or its id.
        """
        self._seq += 1
        asked = in_reply_to.id if isinstance(in_reply_to, Send) else in_reply_to
        event = text_event(
            json.dumps(message),
            session=session,
            seq=self._seq,
            in_reply_to=asked,
            **self._about(),
        )
        return self.text(event)

    def started(self, restarts: int = 0) -> list[Command]:
        """Deliver the event that the plugin has started; return the commands, in order."""
        return self.event(started_event(restarts))

    def open(self, session: str = "session-1", **about: Any) -> list[Command]:
        """Deliver the event that a session has begun; return the commands, in order.

        `about` of this and the next functions is that of `open_event` and so on.
        """
        return self.event(open_event(session=session, **{**self._about(), **about}))

    def close(self, code: int = 1000, reason: str = "", **about: Any) -> list[Command]:
        """Deliver the event that a session has ended; return the commands, in order."""
        return self.event(close_event(code, reason, **{**self._about(), **about}))

    def timer(self, name: str) -> list[Command]:
        """Deliver a timer that is due; return the commands, in order."""
        return self.event(timer_event(name))

    def response(self, command: str | Request, **answer: Any) -> list[Command]:
        """Deliver the answer to `command`; return the commands, in order.

        `plugin.response(request, json={"ok": True}, captured={"socket_url": "handle-1"})`
        """
        return self.event(response_event(command, **answer))

    def replies(self, message: Any) -> list[str]:
        """Deliver a str as it is, anything else as JSON; return the texts it is replied with.

        Raises AssertionError when a command neither replies nor keeps state.
        """
        found = self.text(message) if isinstance(message, str) else self.json(message)
        others = [one for one in found if not isinstance(one, (Reply, StateSet))]
        assert not others, f"not a reply: {others}"
        return [command.text for command in found if isinstance(command, Reply)]

    def event(self, event: Event) -> list[Command]:
        """Deliver any event; return the commands, in order."""
        if isinstance(event, TextEvent):
            return self.text(event)
        return self._checked(self._handlers.on_event, event)

    def tool(self, name: str, input: dict[str, Any] | None = None) -> ToolResult:
        """Call a tool; return its result."""
        result = self._called(name, input)
        if isinstance(result, Defer):
            raise TypeError(
                f"{name} deferred the call: test it with plugin.deferred({name!r}, ...)"
            )
        return result

    def deferred(self, name: str, input: dict[str, Any] | None = None) -> Defer:
        """Call a tool that answers later; return its Defer.

        The call stands in `waiting` until the plugin completes it; then `completed` has how.
        """
        result = self._called(name, input)
        if not isinstance(result, Defer):
            raise TypeError(f"{name} answered at once: {result!r}")
        return result

    def _called(self, name: str, input: dict[str, Any] | None) -> ToolResult | Defer:
        self._calls += 1
        call = ToolCall(name, json.loads(json.dumps(input or {})), f"call-{self._calls}")
        if self.rules is not None:
            self.rules.tool(name, call.input)
        self.host.in_tool = True
        try:
            result = tool_result(
                self._handlers.on_tool(call, self.ctx), self._handlers.tool_name(name)
            )
            result = result.also(self._staged())
            if isinstance(result, Defer):
                self._defer(result)
            self._keep(result.commands)
            return result
        finally:
            self.ctx.state.take()
            self.host.end_tool()

    def give_up(self, id: str) -> None:
        """End the deferred call `id` as the host does: too late, cancelled or interrupted.

        The plugin is not told; when it completes the call all the same, that is refused.
        """
        del self.waiting[id]

    def status(self) -> dict[str, Any]:
        """Return the plugin's status."""
        return status_object(self.plugin.status())

    def stop(self) -> None:
        """Call the plugin's `stop`."""
        self.plugin.stop()

    def _checked(self, handle: Callable[[Any, Context], Any], event: Event) -> list[Command]:
        handler = self._handlers.name_of(event.kind)
        try:
            found = commands(handle(event, self.ctx), handler)
            found = commands([*found, *self._staged()], handler)
        finally:
            self.ctx.state.take()
        # What cannot be written as UTF-8 JSON cannot leave the sandbox.
        json.dumps([command.wire() for command in found], ensure_ascii=False).encode()
        self._keep(found)
        return found

    def _staged(self) -> list[Command]:
        return [StateSet(key, value) for key, value in self.ctx.state.take()]

    def _about(self) -> dict[str, str]:
        """Return which connection and ingress an event is about."""
        if self.rules is None:
            return {}
        return {"connection": self.rules.connection, "ingress": self.rules.ingress}

    def _keep(self, found: Iterable[Command]) -> None:
        for command in found:
            if self.rules is not None:
                self.rules.command(command)
            if isinstance(command, Complete):
                self._complete(command)
            elif isinstance(command, StateSet) and command.value is None:
                self.state.pop(command.key, None)
            elif isinstance(command, StateSet):
                self.state[command.key] = json.loads(json.dumps(command.value))

    def _defer(self, deferred: Defer) -> None:
        if deferred.id in self.waiting:
            raise HostError(
                "service.deferred_repeated",
                f"a call waits as {deferred.id!r} already",
                "ToolCall.id is its own for each call",
            )
        self.waiting[deferred.id] = deferred

    def _complete(self, command: Complete) -> None:
        if self.waiting.pop(command.call, None) is None:
            raise HostError(
                "service.deferred_unknown",
                f"no call waits as {command.call!r}",
                "a call is completed once, while it waits",
            )
        self.completed[command.call] = command.result or str(command.error)


def load_plugin(folder: Path) -> type[Plugin]:
    """Return the class that `folder`/plugin.toml names as its entry, imported from `folder`.

    Modules of the same names that came from another folder are imported anew, so the tests of
    several plugins can run together. Raises ImportError or TypeError as the sandbox would.
    """
    folder = folder.resolve()
    manifest = tomllib.loads((folder / "plugin.toml").read_text(encoding="utf-8"))
    module_name, _, class_name = str(manifest["runtime"]["entry"]).partition(":")
    own = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    own = {name for name in own if not name.startswith(("test", "conftest"))}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        if not (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
    # Its libraries stay there: a handler may import one when it is called.
    libraries = str(folder / "libs.zip")
    sys.path[:0] = [str(folder)] if libraries in sys.path else [str(folder), libraries]
    try:
        importlib.invalidate_caches()
        found = getattr(importlib.import_module(module_name), class_name, None)
    finally:
        sys.path.remove(str(folder))
    if found is None:
        raise ImportError(f"entry: {module_name} has no class {class_name}")
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise TypeError(f"entry: {class_name} is not a subclass of yoi_pdk.Plugin")
    return found
