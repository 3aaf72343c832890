"""The command gate: decides, per command, whether what a plugin asked for may be done.

The envelope was parsed before (protocol/commands.py); a malformed one never gets here. The gate
asks the two keys (manifest and grant) for each command, applies the rate, and returns what the
runtime shall do. It does nothing itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from yoi.errors import GuestRefused
from yoi.limits import LIMITS, Limits
from yoi.permissions import Decision
from yoi.protocol.commands import (
    DiagnosticStatusUpdate,
    Notify,
    OutputCommand,
    WebSocketSend,
    parse_payload,
)
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import Reply
from yoi.protocol.session_commands import ConnectionControl, Request, StateSet, TimerClear, TimerSet
from yoi.types import SessionId


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Write one message on `connection`; `session` None means whichever session is open."""

    connection: str
    session: SessionId | None
    text: str | None
    data: bytes | None
    command_id: str
    document: Any = None
    """With neither text nor data: JSON to fill in and encode."""
    insert: tuple[Any, ...] = ()
    kind: str = "websocket_send"


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Show `update` as the plugin's own words about itself."""

    update: DiagnosticStatusUpdate
    command_id: str
    kind: str = "diagnostic_status_update"


@dataclass(frozen=True, slots=True)
class Refused:
    """Do nothing, and say why to the operator and the plugin."""

    status: str
    """`denied`, `unsupported` or `failed`: the status of the command's result."""
    code: str
    message: str
    hint: str | None
    command_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class ConnectionCommand:
    """Do `payload` to the connection it names, which the plugin may use."""

    payload: ConnectionControl
    command_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class StateChange:
    """Set or clear a timer or a piece of state: the plugin's own, so nothing is asked."""

    payload: TimerSet | TimerClear | StateSet
    ingress: str
    command_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Make an HTTP request. Target, method, URL and insertions are authorised when it is built."""

    payload: Request
    ingress: str
    command_id: str
    kind: str = "request"


@dataclass(frozen=True, slots=True)
class NotifyWorker:
    """Put `payload` before its worker, which the plugin may notify."""

    payload: Notify
    ingress: str
    event_id: str
    command_id: str
    kind: str = "notify"


Effect = (
    SendMessage | SetStatus | ConnectionCommand | StateChange | HttpRequest | NotifyWorker | Refused
)


@dataclass(slots=True)
class GatedConnection:
    """One connection as the gate knows it: its name, its URLs, and who says whether it may be used.

    `authorise` asks manifest and grant now; the runtime replaces ports when policy changes.
    """

    name: str
    urls: frozenset[str]
    """The URLs that the ancestor's form of a send may name it by."""
    authorise: Callable[[], Decision]
    tokens: float = 0.0
    refilled_at: float = 0.0


def _nobody(worker: str) -> Decision:
    return Decision(
        allowed=False,
        code="denied.not_requested",
        message=f"this host has no worker {worker!r} to notify",
    )


def _denied(decision: Decision, command_id: str, kind: str) -> Refused:
    code = decision.code or "denied.not_granted"
    return Refused("denied", code, decision.message, decision.hint, command_id, kind)


class CommandGate:
    """See the module docstring. One per service; it belongs to the event loop."""

    def __init__(
        self,
        ports: Mapping[str, GatedConnection],
        now: float,
        limits: Limits = LIMITS,
        may_notify: Callable[[str], Decision] = _nobody,
    ) -> None:
        self._ports = dict(ports)
        self._may_notify = may_notify
        self._limits = limits
        self._rate = float(limits.send_per_second)
        for port in self._ports.values():
            port.tokens, port.refilled_at = self._rate, now

    def judge_reply(self, reply: Reply, event: QueuedEvent, now: float) -> Effect:
        """Return the effect of the lean answer: one text to the session the event came from."""
        command_id = f"{event.event_id}:0"
        if event.connection is None:
            return self._no_connection(command_id)
        return self._send(event.connection, event.session, reply.text, None, command_id, now)

    def judge(self, command: OutputCommand, event: QueuedEvent, now: float) -> Effect:
        """Return the effect of one command that answers `event`."""
        try:
            payload = parse_payload(command.kind, command.payload)
        except GuestRefused as exc:
            return Refused("failed", exc.code, exc.message, None, command.command_id, command.kind)
        if payload is None:
            return Refused(
                "unsupported",
                "denied.unsupported",
                f"this host does not carry out {command.kind!r} commands",
                "the kinds are listed in docs/reference/commands.md",
                command.command_id,
                command.kind,
            )
        if isinstance(payload, WebSocketSend):
            return self._judge_send(payload, command, event, now)
        if isinstance(payload, DiagnosticStatusUpdate):
            return SetStatus(payload, command.command_id)
        if isinstance(payload, TimerSet | Request) and not event.ingress:
            return Refused(
                "failed",
                "service.command_malformed",
                "the plugin has no ingress that could hear what comes of it",
                "declare one in plugin.toml under [[ingresses]]",
                command.command_id,
                command.kind,
            )
        if isinstance(payload, TimerSet | TimerClear | StateSet):
            return StateChange(payload, event.ingress, command.command_id, command.kind)
        if isinstance(payload, Notify):
            return self._judge_notify(payload, command, event)
        if isinstance(payload, Request):
            return HttpRequest(payload, event.ingress, command.command_id)
        port = self._ports.get(payload.connection)
        refusal = self._refusal(payload.connection, port, command.command_id, command.kind)
        return refusal or ConnectionCommand(payload, command.command_id, command.kind)

    def _judge_notify(self, payload: Notify, command: OutputCommand, event: QueuedEvent) -> Effect:
        decision = self._may_notify(payload.worker)
        if decision.allowed:
            return NotifyWorker(payload, event.ingress, event.event_id, command.command_id)
        return _denied(decision, command.command_id, command.kind)

    def _judge_send(
        self, payload: WebSocketSend, command: OutputCommand, event: QueuedEvent, now: float
    ) -> Effect:
        name = self._connection_of(payload, event)
        if name is None:
            return self._no_connection(command.command_id)
        # "source" means the session that asked; on another connection there is no such session.
        same = name == event.connection
        session = event.session if payload.session == "source" and same else None
        return self._send(
            name,
            session,
            payload.text,
            payload.data,
            command.command_id,
            now,
            payload.document,
            payload.insert,
        )

    def _connection_of(self, payload: WebSocketSend, event: QueuedEvent) -> str | None:
        if payload.connection is not None:
            return payload.connection
        if payload.url is None:
            return event.connection
        for port in self._ports.values():
            if payload.url in port.urls:
                return port.name
        # The URL itself is the name of what was asked for: the refusal must show it.
        return payload.url

    @staticmethod
    def _refusal(
        name: str, port: GatedConnection | None, command_id: str, kind: str
    ) -> Refused | None:
        if port is None:
            return Refused(
                "denied",
                "denied.not_requested",
                f"the manifest declares no connection {name!r}",
                "declare it in plugin.toml under [[connections]], then enable the plugin again",
                command_id,
                kind,
            )
        decision = port.authorise()
        return None if decision.allowed else _denied(decision, command_id, kind)

    def _send(
        self,
        name: str,
        session: SessionId | None,
        text: str | None,
        data: bytes | None,
        command_id: str,
        now: float,
        document: Any = None,
        insert: tuple[Any, ...] = (),
    ) -> Effect:
        port = self._ports.get(name)
        refusal = self._refusal(name, port, command_id, "websocket_send")
        if refusal is not None or port is None:
            return refusal or self._no_connection(command_id)
        size = len(text) if text is not None else len(data or b"")
        if size > self._limits.command_payload_bytes:
            return self._failed("sandbox.answer_too_large", "the message is too long", command_id)
        if not self._within_rate(port, now):
            return self._failed(
                "service.rate",
                f"more than {self._limits.send_per_second} messages per second on {name!r}",
                command_id,
            )
        return SendMessage(name, session, text, data, command_id, document, insert)

    def _within_rate(self, port: GatedConnection, now: float) -> bool:
        if port.tokens < 1.0:
            earned = (now - port.refilled_at) * self._rate
            port.tokens = min(self._rate, port.tokens + earned)
            port.refilled_at = now
            if port.tokens < 1.0:
                return False
        port.tokens -= 1.0
        return True

    @staticmethod
    def _failed(code: str, message: str, command_id: str) -> Refused:
        return Refused("failed", code, message, None, command_id, "websocket_send")

    @staticmethod
    def _no_connection(command_id: str) -> Refused:
        return Refused(
            "failed",
            "service.command_malformed",
            "the event came from no connection, so the send must name one",
            'add connection = "..." to the websocket_send',
            command_id,
            "websocket_send",
        )
