"""Carries out what the gate allowed to be done to a connection: open, stop, heartbeat and the like.

Insertions are resolved here, when a message is about to leave; what the plugin wrote is what
everybody else sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from yoi.connections import DialTarget
from yoi.core.frame_watch import Autoreply
from yoi.core.heartbeat import HeartbeatSpec
from yoi.core.insertion import Insertion, insert_into
from yoi.core.session_values import SessionValues
from yoi.errors import CaptureFailed, ConnectionFailure, InsertionError, UrlRefused
from yoi.permissions import JsonPointer, PointerFault, Url
from yoi.protocol.fields import OutgoingMessage
from yoi.protocol.parts import as_json, joined
from yoi.protocol.session_commands import (
    ConnectionControl,
    WebSocketAutoreply,
    WebSocketClose,
    WebSocketHeartbeat,
    WebSocketOpen,
    WebSocketReady,
    WebSocketReconnect,
    WebSocketStop,
)
from yoi.runtime.secret_injector import SecretInjector

Json = Any


class ControlledConnection(Protocol):
    """The part of a `yoi.connections.HostConnection` that commands reach. Nothing blocks."""

    def open(self, target: DialTarget | None = None) -> None:
        """Dial as soon as the backoff allows it."""
        ...

    def close_session(self, code: int = 1000, reason: str = "") -> None:
        """Close the open session."""
        ...

    def reconnect(self, code: int = 1000, reason: str = "") -> None:
        """Close the session and dial afresh."""
        ...

    def stop(self, code: int = 1000, reason: str = "") -> None:
        """Close, and do not dial again until told to."""
        ...

    def ready(self) -> None:
        """Vouch for the open session."""
        ...

    def heartbeat(self, spec: HeartbeatSpec | None) -> None:
        """Send heartbeats on the open session."""
        ...

    def autoreply(self, reply: Autoreply | None) -> None:
        """Answer what matches on the open session."""
        ...


def apply(
    command: ConnectionControl,
    link: ControlledConnection,
    own_url: Url | None,
    injector: SecretInjector,
) -> None:
    """Do `command` to `link`, whose manifest names `own_url`. Raises YoiError at once."""
    if isinstance(command, WebSocketOpen):
        link.open(_target(command, own_url, injector))
    elif isinstance(command, WebSocketClose):
        link.close_session(command.code, command.reason)
    elif isinstance(command, WebSocketReconnect):
        if command.url is None and command.handle is None:
            link.reconnect()
        else:
            link.open(_place(command.connection, command.url, command.handle, injector))
    elif isinstance(command, WebSocketStop):
        link.stop(reason=command.reason)
    elif isinstance(command, WebSocketReady):
        link.ready()
    elif isinstance(command, WebSocketHeartbeat):
        link.heartbeat(_heartbeat(command, injector))
    else:
        link.autoreply(_autoreply(command, injector))


def _place(
    connection: str, url: str | None, handle: str | None, injector: SecretInjector
) -> DialTarget:
    if handle is not None:
        captured = injector.opened_url(handle, connection)
        try:
            return DialTarget(Url.parse(captured.text()), once=True)
        except (UrlRefused, ValueError):
            # Not the refusal's words: they quote what is to be hidden.
            raise CaptureFailed(
                "capture.type", f"the captured {captured.name} is not the URL of a WebSocket"
            ) from None
    return DialTarget(Url.parse(url or ""))


def _target(
    command: WebSocketOpen, own_url: Url | None, injector: SecretInjector
) -> DialTarget | None:
    given = command.url is not None or command.handle is not None
    adds = command.headers or command.query or command.insert
    if not given and not adds:
        return None
    if given:
        base = _place(command.connection, command.url, command.handle, injector)
    elif own_url is not None:
        base = DialTarget(own_url)
    else:
        raise ConnectionFailure(
            "connection.no_url",
            f"{command.connection} has no url in its manifest: name a url or handle to open",
            name=command.connection,
        )
    return _filled(command, base, injector)


def _filled(command: WebSocketOpen, base: DialTarget, injector: SecretInjector) -> DialTarget:
    """Return `base` with what `command` adds; it is filled in again for each later dial."""
    filled = injector.fill(
        {"headers": dict(command.headers), "query": dict(command.query)},
        command.insert,
        connection=command.connection,
    )
    inserted = {place.split("/")[2].lower() for place in filled.places if "/headers/" in place}
    headers = _texts(filled.document["headers"])

    def again() -> DialTarget:
        try:
            return _filled(command, base, injector)
        except CaptureFailed:
            # Its handle has expired; what it stood for may be good for longer.
            return made

    try:
        made = DialTarget(
            _with_query(base.url, _texts(filled.document["query"])),
            once=base.once,
            headers=tuple(item for item in headers.items() if item[0].lower() not in inserted),
            inserted=tuple(item for item in headers.items() if item[0].lower() in inserted),
            again=again if command.insert else None,
        )
    except ValueError as exc:
        # The value itself may be a secret: only the rule that it broke is said.
        raise InsertionError("insert.place", f"no handshake may carry this: {exc}") from None
    return made


def _with_query(url: Url, query: Mapping[str, str]) -> Url:
    if not query:
        return url
    joint = "&" if url.query else "?"
    base = url.href.removesuffix("?")
    return Url.parse(base + joint + urlencode(list(query.items()), quote_via=quote))


def _heartbeat(command: WebSocketHeartbeat, injector: SecretInjector) -> HeartbeatSpec | None:
    message = command.message
    if not command.every_ms or message is None:
        return None
    # Rendered once now, so that a missing grant or secret is heard by whoever asked.
    _render(message, command.connection, injector, SessionValues({}))
    return HeartbeatSpec(
        every_ms=command.every_ms,
        render=lambda values: _render(message, command.connection, injector, values),
        first_ms=command.first_ms,
        ack=command.ack,
    )


def _autoreply(command: WebSocketAutoreply, injector: SecretInjector) -> Autoreply | None:
    message = command.message
    if command.when is None or message is None:
        return None
    targets = tuple(_pointer(to) for _, to in command.copy)
    _render(message, command.connection, injector, SessionValues({}))

    def render(copied: Sequence[Json], values: SessionValues) -> str:
        if command.copy_rest:
            return f"{message.text}{copied[0]}"
        document = _copied(message.document, dict(zip(targets, copied, strict=True)))
        return _render(replace(message, document=document), command.connection, injector, values)

    return Autoreply(
        when=command.when,
        render=render,
        copies=tuple(_pointer(source) for source, _ in command.copy),
        rest=command.copy_rest,
    )


def _copied(document: Json, values: Mapping[JsonPointer, Json]) -> Json:
    places = [Insertion(at, last="copied") for at in values]
    return insert_into(document, places, lambda place: values[place.at]) if places else document


def _render(
    message: OutgoingMessage,
    connection: str,
    injector: SecretInjector,
    values: SessionValues,
) -> str:
    if message.text is not None:
        return message.text
    filled = injector.fill(
        message.document, message.insert, connection=connection, values=lambda: values
    )
    return (joined if message.parts else as_json)(filled.document)


def _pointer(text: str) -> JsonPointer:
    try:
        return JsonPointer.parse(text)
    except PointerFault as exc:
        raise InsertionError("insert.malformed", f"{text!r} {exc}") from None


def _texts(value: Mapping[str, Json]) -> dict[str, str]:
    for name, item in value.items():
        if not isinstance(item, str):
            raise InsertionError("insert.place", f"{name} must be text in a handshake")
    return dict(value)
