"""The command gate: decides, per command, whether what a plugin asked for may be done.

The envelope was parsed before (protocol/commands.py); a malformed one never gets here. The gate
asks the two keys (manifest and grant) for each command and returns what the runtime shall do. It
does nothing itself; how many messages a connection may send is the connection's to say.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from yoi.core.effects import (
    CompleteCall,
    ConnectionCommand,
    Effect,
    HttpRequest,
    NotifyWorker,
    Refused,
    SendMessage,
    SetStatus,
    StateChange,
)
from yoi.errors import GuestRefused
from yoi.permissions import Decision
from yoi.protocol.commands import (
    DiagnosticStatusUpdate,
    Notify,
    OutputCommand,
    ReplyAt,
    WebSocketSend,
    parse_payload,
)
from yoi.protocol.deferral import ToolComplete
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.outcomes import Reply
from yoi.protocol.session_commands import Request, StateSet, TimerClear, TimerSet
from yoi.types import SessionId


@dataclass(frozen=True, slots=True)
class GatedConnection:
    """One connection as the gate knows it: its name, its URLs, and who says whether it may be used.

    `authorise` asks manifest and grant now; its answer changes with the grants.
    """

    name: str
    urls: frozenset[str]
    """The URLs that may name it in the ancestor's form of a send."""
    authorise: Callable[[], Decision]


def _no_worker(worker: str) -> Decision:
    return Decision(
        allowed=False,
        code="denied.not_requested",
        message=f"this host has no worker {worker!r} to notify",
    )


_Identity = tuple[str, str, str]
"""Event id, command id and kind."""


def _denied(decision: Decision, identity: _Identity) -> Refused:
    code = decision.code or "denied.not_granted"
    return Refused("denied", code, decision.message, decision.hint, *identity)


def _failed(code: str, message: str, identity: _Identity, hint: str | None = None) -> Refused:
    return Refused("failed", code, message, hint, *identity)


class CommandGate:
    """See the module docstring. One per service; it belongs to the event loop."""

    def __init__(
        self,
        connections: Mapping[str, GatedConnection],
        may_notify: Callable[[str], Decision] = _no_worker,
    ) -> None:
        self._connections = dict(connections)
        self._may_notify = may_notify

    def judge_reply(self, reply: Reply, event: QueuedEvent) -> Effect | Refused:
        """Return the effect of the lean answer: one text to the session the event came from."""
        event_id = event.event_id
        identity = (event_id, event_id + ":0", "websocket_send")
        if event.connection is None:
            return _no_connection(identity)
        return self._send(event.connection, event.session, reply.text, None, identity)

    def judge(self, command: OutputCommand, event: QueuedEvent) -> Effect | Refused:
        """Return the effect of one command that answers `event`."""
        identity = (event.event_id, command.command_id, command.kind)
        try:
            payload = parse_payload(command.kind, command.payload)
        except GuestRefused as exc:
            return _failed(exc.code, exc.message, identity)
        if payload is None:
            return Refused(
                "unsupported",
                "denied.unsupported",
                f"this host does not carry out {command.kind!r} commands",
                "the kinds are listed in docs/reference/commands.md",
                *identity,
            )
        if isinstance(payload, WebSocketSend):
            return self._judge_send(payload, identity, event)
        if isinstance(payload, DiagnosticStatusUpdate):
            return SetStatus(*identity, payload)
        if isinstance(payload, ToolComplete):
            return CompleteCall(*identity, payload)
        if isinstance(payload, TimerSet | Request) and not event.ingress:
            return _failed(
                "service.command_malformed",
                "the plugin has no ingress that could hear what comes of it",
                identity,
                "declare one in plugin.toml under [[ingresses]]",
            )
        if isinstance(payload, TimerSet | TimerClear | StateSet):
            return StateChange(*identity, payload, event.ingress)
        if isinstance(payload, Notify):
            decision = self._may_notify(payload.worker)
            if decision.allowed:
                return NotifyWorker(*identity, payload, event.ingress)
            return _denied(decision, identity)
        if isinstance(payload, Request):
            return HttpRequest(*identity, payload, event.ingress)
        known = self._connections.get(payload.connection)
        if known is None:
            return _undeclared(payload.connection, identity)
        decision = known.authorise()
        if not decision.allowed:
            return _denied(decision, identity)
        return ConnectionCommand(*identity, payload)

    def _judge_send(
        self, payload: WebSocketSend, identity: _Identity, event: QueuedEvent
    ) -> Effect | Refused:
        name = self._connection_of(payload, event)
        if name is None:
            return _no_connection(identity)
        # "source" means the session that asked; on another connection there is no such session.
        same = name == event.connection
        session = event.session if payload.session == "source" and same else None
        return self._send(
            name,
            session,
            payload.text,
            payload.data,
            identity,
            payload.document,
            payload.insert,
            payload.parts,
            payload.reply,
            payload.sign,
        )

    def _connection_of(self, payload: WebSocketSend, event: QueuedEvent) -> str | None:
        if payload.connection is not None:
            return payload.connection
        if payload.url is None:
            return event.connection
        for connection in self._connections.values():
            if payload.url in connection.urls:
                return connection.name
        # The URL itself is the name of what was asked for: the refusal must show it.
        return payload.url

    def _send(
        self,
        name: str,
        session: SessionId | None,
        text: str | None,
        data: bytes | None,
        identity: _Identity,
        document: Any = None,
        insert: tuple[Any, ...] = (),
        parts: bool = False,
        reply: ReplyAt | None = None,
        sign: str | None = None,
    ) -> Effect | Refused:
        connection = self._connections.get(name)
        if connection is None:
            return _undeclared(name, identity)
        decision = connection.authorise()
        if not decision.allowed:
            return _denied(decision, identity)
        return SendMessage(
            *identity, name, session, text, data, document, insert, parts, reply, sign
        )


def _undeclared(name: str, identity: _Identity) -> Refused:
    return Refused(
        "denied",
        "denied.not_requested",
        f"the manifest declares no connection {name!r}",
        "declare it in plugin.toml under [[connections]], then enable the plugin again",
        *identity,
    )


def _no_connection(identity: _Identity) -> Refused:
    return _failed(
        "service.command_malformed",
        "the event came from no connection, so the send must name one",
        identity,
        'add connection = "..." to the websocket_send',
    )
