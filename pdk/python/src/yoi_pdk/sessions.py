"""Commands that steer a connection: open, close, heartbeat, ready. The host carries them out.

A connection with `open = "command"` in the manifest is dialled when the plugin says `Open`; all
others are dialled by the host. Every dial stays within the connection's own target.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from yoi_pdk.host_command import (
    HostCommand,
    basic_of,
    id_of,
    name_of,
    strings,
    text_of,
    whole,
)
from yoi_pdk.insertions import Insertion, pointer
from yoi_pdk.limits import (
    CLOSE_REASON_BYTES,
    HANDSHAKE_HEADERS,
    HEARTBEAT_MAX_MS,
    HEARTBEAT_MIN_MS,
    INSERTIONS,
)
from yoi_pdk.match import Match
from yoi_pdk.message import check_message, insertions


class Open(HostCommand):
    """Dial `connection`, at `url` or at the captured URL behind `handle`.

    Without either it is dialled at the manifest's URL. `headers` and `query` are added to the
    handshake, and `basic`, a user and a password, as the header authorization; `insert` fills in
    places of `{path, headers, query, basic}`, and `sign` is a key of `[[secrets]]` with which the
    host signs the handshake as the manifest says.
    """

    __slots__ = ("basic", "connection", "handle", "headers", "insert", "query", "sign", "url")

    kind: ClassVar[str] = "websocket_open"

    def __init__(
        self,
        connection: str,
        *,
        url: str | None = None,
        handle: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        basic: "tuple[str | None, str | None] | None" = None,
        insert: Iterable[Insertion] = (),
        sign: str | None = None,
        id: str | None = None,
    ) -> None:
        self.connection = name_of("connection", connection)
        self.url, self.handle = _place("Open", url, handle)
        self.sign = None if sign is None else name_of("sign", sign)
        self.basic = basic_of(basic)
        self.headers = strings("headers", headers, HANDSHAKE_HEADERS)
        self.query = strings("query", query, HANDSHAKE_HEADERS)
        self.insert = insertions(insert)
        self.id = id_of(id)


class Reconnect(HostCommand):
    """Dial `connection` afresh, now. It counts against the connection's budget."""

    __slots__ = ("connection", "handle", "url")

    kind: ClassVar[str] = "websocket_reconnect"

    def __init__(
        self,
        connection: str,
        *,
        url: str | None = None,
        handle: str | None = None,
        id: str | None = None,
    ) -> None:
        self.connection = name_of("connection", connection)
        self.url, self.handle = _place("Reconnect", url, handle)
        self.id = id_of(id)


class Close(HostCommand):
    """Close the session of `connection`. The host dials again by its policy."""

    __slots__ = ("code", "connection", "reason")

    kind: ClassVar[str] = "websocket_close"

    def __init__(
        self, connection: str, *, code: int = 1000, reason: str | None = None, id: str | None = None
    ) -> None:
        self.connection = name_of("connection", connection)
        whole("code", code, 1000, 4999)
        if code != 1000 and code < 3000:
            raise ValueError("code must be 1000 or from 3000 to 4999 (RFC 6455 7.4)")
        self.code = code
        self.reason = text_of("reason", reason)
        if reason is not None and len(reason.encode()) > CLOSE_REASON_BYTES:
            raise ValueError(f"reason may have at most {CLOSE_REASON_BYTES} bytes")
        self.id = id_of(id)


class StopConnection(HostCommand):
    """Close the session of `connection` and do not dial again until `Open`.

    `until="secret"` says that the server refused the secret: a changed one dials again too, and
    until then the service is shown as degraded, with the reason.
    """

    __slots__ = ("connection", "reason", "until")

    kind: ClassVar[str] = "websocket_stop"

    def __init__(
        self,
        connection: str,
        *,
        reason: str | None = None,
        until: 'Literal["secret"] | None' = None,
        id: str | None = None,
    ) -> None:
        if until not in (None, "secret"):
            raise ValueError('until must be "secret"')
        self.connection = name_of("connection", connection)
        self.reason = text_of("reason", reason)
        self.until = until
        self.id = id_of(id)


class Ready(HostCommand):
    """Say that the session is good: once it has lasted, the host forgets earlier failures."""

    __slots__ = ("connection",)

    kind: ClassVar[str] = "websocket_ready"

    def __init__(self, connection: str, *, id: str | None = None) -> None:
        self.connection = name_of("connection", connection)
        self.id = id_of(id)


class Heartbeat(HostCommand):
    """Have the host send a message every `every_ms` while the session lives; 0 ends it.

    Give `text`, or `json` or `parts` (with `insert`). The host sends it also while the plugin is
    busy or stuck. With `ack=("/op", 11)`, a heartbeat that is not answered by a message that holds
    11 at /op before the next is due ends the session; `ack=("", "pong")` is the whole text "pong",
    and a `Match` can say more. `first_ms` is when the first is sent.
    """

    __slots__ = ("ack", "connection", "every_ms", "first_ms", "insert", "json", "parts", "text")

    kind: ClassVar[str] = "websocket_heartbeat"

    def __init__(
        self,
        connection: str,
        every_ms: int,
        *,
        json: Any = None,
        text: str | None = None,
        parts: list[Any] | None = None,
        insert: Iterable[Insertion] = (),
        ack: Match | tuple[str, Any] | None = None,
        first_ms: int | None = None,
        id: str | None = None,
    ) -> None:
        self.connection = name_of("connection", connection)
        self.every_ms = whole("every_ms", every_ms, 0, HEARTBEAT_MAX_MS)
        if 0 < every_ms < HEARTBEAT_MIN_MS:
            raise ValueError(f"every_ms must be at least {HEARTBEAT_MIN_MS}, or 0 to end it")
        self.json, self.text, self.parts = json, text_of("text", text), parts
        self.insert = insertions(insert)
        check_message("Heartbeat", self.text, json, parts, self.insert)
        if every_ms and json is None and text is None and parts is None:
            raise TypeError("Heartbeat needs json, text or parts to send")
        self.ack = _match("ack", ack)
        self.first_ms = (
            None if first_ms is None else whole("first_ms", first_ms, 0, HEARTBEAT_MAX_MS)
        )
        self.id = id_of(id)

    def payload(self) -> dict[str, Any]:
        """Return the payload as the host reads it."""
        return _with_match(super().payload(), "ack", self.ack)


class Autoreply(HostCommand):
    """Have the host answer messages that hold a value at a place, at once and without the plugin.

    `Autoreply("gateway", when=("/type", "ping"), json={"type": "pong"}, copy={"/id": "/id"})`
    copies /id of the message into the answer. `Autoreply("gateway", when=("", "2"), text="3")`
    answers the whole text "2". `Autoreply("irc", when=Match("", prefix="PING "), text="PONG ",
    copy_rest=True)` puts what follows the prefix, to the end of its line, behind the answer's text.
    `Autoreply("gateway")` ends it all.
    """

    __slots__ = ("connection", "copy", "copy_rest", "insert", "json", "parts", "text", "when")

    kind: ClassVar[str] = "websocket_autoreply"

    def __init__(
        self,
        connection: str,
        *,
        when: Match | tuple[str, Any] | None = None,
        json: Any = None,
        text: str | None = None,
        parts: list[Any] | None = None,
        copy: Mapping[str, str] | None = None,
        copy_rest: bool = False,
        insert: Iterable[Insertion] = (),
        id: str | None = None,
    ) -> None:
        self.connection = name_of("connection", connection)
        self.when = _match("when", when)
        self.json, self.text, self.parts = json, text_of("text", text), parts
        self.insert = insertions(insert)
        check_message("Autoreply", self.text, json, parts, self.insert)
        if when is not None and json is None and text is None and parts is None:
            raise TypeError("Autoreply needs json, text or parts to answer with")
        self.copy = strings("copy", copy, INSERTIONS)
        for source, target in (self.copy or {}).items():
            pointer("copy", source)
            pointer("copy", target)
        if self.copy and json is None and parts is None:
            raise TypeError("copy needs json or parts to copy into")
        if copy_rest and (
            text is None or self.when is None or self.when.at or not self.when.prefix
        ):
            raise TypeError(
                'copy_rest needs when=Match("", prefix=...) and text to put the rest behind'
            )
        self.copy_rest = True if copy_rest else None
        self.id = id_of(id)

    def payload(self) -> dict[str, Any]:
        """Return the payload as the host reads it."""
        made = _with_match(super().payload(), "when", self.when)
        if self.copy:
            made["copy"] = [{"from": source, "to": to} for source, to in self.copy.items()]
        return made


def _place(what: str, url: Any, handle: Any) -> tuple[str | None, str | None]:
    if url is not None and handle is not None:
        raise TypeError(f"{what} takes a url or a handle, not both")
    return text_of("url", url), text_of("handle", handle)


def _match(what: str, value: Any) -> Match | None:
    if value is None or isinstance(value, Match):
        return value
    if not isinstance(value, tuple) or len(value) != 2:
        raise TypeError(f'{what} takes a place and a value, such as ("/type", "ping"), or a Match')
    return Match(value[0], value[1])


def _with_match(made: dict[str, Any], name: str, match: Match | None) -> dict[str, Any]:
    if match is not None:
        made[name] = match.wire()
    return made
