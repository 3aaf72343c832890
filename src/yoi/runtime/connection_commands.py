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
from yoi.core.insertion import Insertion, Layout, insert_into
from yoi.core.session_values import SessionValues
from yoi.errors import CaptureFailed, ConnectionFailure, InsertionError, UrlRefused
from yoi.permissions import JsonPointer, PointerFault, Url
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.permissions.signatures import Subject
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
from yoi.runtime.heads import FilledHead, filled_head, head
from yoi.runtime.secret_injector import Filled, SecretInjector
from yoi.runtime.signer import Sent, Signable

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

    def refused(self, reason: str) -> None:
        """Close, and do not dial again until a secret is changed, or told to."""
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
    connection: ControlledConnection,
    own_url: Url | None,
    injector: SecretInjector,
) -> None:
    """Carry out `command` on `connection`, whose manifest names `own_url`.

    Raises YoiError at once.
    """
    if isinstance(command, WebSocketOpen):
        connection.open(_target(command, own_url, injector))
    elif isinstance(command, WebSocketClose):
        connection.close_session(command.code, command.reason)
    elif isinstance(command, WebSocketReconnect):
        if command.url is None and command.handle is None:
            connection.reconnect()
        else:
            connection.open(_named(command.connection, command.url, command.handle, injector))
    elif isinstance(command, WebSocketStop):
        if command.until_secret:
            connection.refused(command.reason)
        else:
            connection.stop(reason=command.reason)
    elif isinstance(command, WebSocketReady):
        connection.ready()
    elif isinstance(command, WebSocketHeartbeat):
        connection.heartbeat(_heartbeat(command, injector))
    else:
        connection.autoreply(_autoreply(command, injector))


def _named(
    connection: str, url: str | None, handle: str | None, injector: SecretInjector
) -> DialTarget:
    """Return the target that a command names by `url`, or by the `handle` of a captured URL."""
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
    adds = command.headers or command.query or command.insert or command.basic or command.sign
    if not given and not adds:
        return None
    if given:
        base = _named(command.connection, command.url, command.handle, injector)
    elif own_url is not None:
        base = DialTarget(own_url)
    else:
        raise ConnectionFailure(
            "connection.no_url",
            f"{command.connection} has no url in its manifest: name a url or handle to open",
            name=command.connection,
        )
    return filled_target(command, base, injector)


def own_target(settings: ConnectionSettings, injector: SecretInjector) -> DialTarget | None:
    """Return the manifest's own URL with what it puts into the handshake, filled in by each dial.

    None where the URL alone says it.
    """
    if settings.url is None or not settings.insert:
        return None
    insert = tuple(one.to_insertion() for one in settings.insert)
    command = WebSocketOpen(settings.name, None, None, {}, {}, insert)
    base = DialTarget(settings.url)
    return replace(base, again=lambda: filled_target(command, base, injector))


def filled_target(command: WebSocketOpen, base: DialTarget, injector: SecretInjector) -> DialTarget:
    """Return `base` with what `command` adds; it is filled in again for each later dial.

    Raises YoiError, whose words hold nothing that was inserted.
    """
    # The path of a captured URL is the credential itself: nothing is put into that.
    path = "/" if base.once else base.url.path
    filled = injector.fill(
        head(path, command.query, command.headers, command.basic),
        command.insert,
        Layout.HEAD,
        connection=command.connection,
    )
    if command.sign is not None:
        filled = _signed(command.connection, command.sign, base, filled, injector)
    sent = filled_head(filled)
    if base.once and sent.shown_path is not None:
        raise InsertionError("insert.place", "nothing goes into the path of a captured URL")

    def again() -> DialTarget:
        try:
            return filled_target(command, base, injector)
        except CaptureFailed:
            # The handle has expired; the value that it stood for may still be good.
            return made

    try:
        made = DialTarget(
            _with_query(_with_path(base.url, sent), sent.query),
            once=base.once,
            headers=tuple(one for one in sent.headers.items() if not _inserted(one, sent)),
            inserted=tuple(one for one in sent.headers.items() if _inserted(one, sent)),
            again=again if command.insert or command.sign is not None else None,
        )
    except UrlRefused as exc:
        raise InsertionError("insert.place", f"no URL may carry this ({exc.code})") from None
    except ValueError as exc:
        # The value may be a secret: the error names only the rule that it broke.
        raise InsertionError("insert.place", f"no handshake may carry this: {exc}") from None
    return made


def _signed(
    connection: str, key: str, base: DialTarget, filled: Filled, injector: SecretInjector
) -> Filled:
    def sent(document: Json) -> Sent:
        made = filled_head(Filled(document, filled.places))
        url = _with_query(_with_path(base.url, made), made.query)
        return Sent("GET", url.host_header, url.path, url.query)

    signed = injector.signer.sign(
        key,
        Signable(
            Subject.HANDSHAKE,
            filled.document,
            Layout.HEAD,
            connection=connection,
            method="GET",
            sent=sent,
        ),
    )
    return filled.with_signature(signed)


def _with_query(url: Url, query: Mapping[str, str]) -> Url:
    if not query:
        return url
    joint = "&" if url.query else "?"
    base = url.href.removesuffix("?")
    made = Url.parse(base + joint + urlencode(list(query.items()), quote_via=quote))
    return made if url.shown_path is None else made.hiding(url.shown_path)


def _with_path(url: Url, sent: FilledHead) -> Url:
    if sent.shown_path is None:
        return url
    search = "" if not url.query else f"?{url.query}"
    made = Url.parse(f"{url.scheme}://{url.host_header}{sent.path}{search}")
    return made.hiding(sent.shown_path)


def _inserted(header: tuple[str, str], sent: FilledHead) -> bool:
    return header[0].lower() in sent.inserted_headers


def _heartbeat(command: WebSocketHeartbeat, injector: SecretInjector) -> HeartbeatSpec | None:
    message = command.message
    if not command.every_ms or message is None:
        return None
    # Rendered once now, so that a missing grant or secret is the answer to this command.
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
        message.document,
        message.insert,
        Layout.PARTS if message.parts else Layout.JSON,
        connection=connection,
        values=lambda: values,
    )
    return (joined if message.parts else as_json)(filled.document)


def _pointer(text: str) -> JsonPointer:
    try:
        return JsonPointer.parse(text)
    except PointerFault as exc:
        raise InsertionError("insert.malformed", f"{text!r} {exc}") from None
