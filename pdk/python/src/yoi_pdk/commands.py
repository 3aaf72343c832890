"""Output commands: what a handler returns to ask the host to act.

A command is only a request. The host checks each one against the manifest and the operator's
grants when it carries it out; one that is refused comes back as a `DeniedEvent`.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any, Literal

from yoi_pdk.insertions import Insertion, pointer
from yoi_pdk.limits import ID_BYTES, STATUS_BYTES
from yoi_pdk.message import check_message, insertions


class Command:
    """The base of all commands."""

    __slots__ = ()

    def wire(self) -> list[Any]:
        """Return `[command_id or None, kind, payload]`, the form the host reads."""
        raise NotImplementedError

    def __await__(self) -> Any:
        """Raise the TypeError that names the fix."""
        name = type(self).__name__
        raise TypeError(f"a command is returned, not awaited: return {name}(...)")

    def __eq__(self, other: object) -> bool:
        """Return whether `other` is the same kind of command with the same values."""
        return (
            type(other) is type(self) and isinstance(other, Command) and other.wire() == self.wire()
        )

    def __hash__(self) -> int:
        """Return a hash that agrees with `==`."""
        return hash(json.dumps(self.wire(), sort_keys=True))


class Reply(Command):
    """Send one text message on the session the event came from. Made by `event.reply(text)`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        if text.__class__ is not str:
            text = _text("reply()", text)
        self.text = text

    def wire(self) -> list[Any]:
        """Return `[None, "websocket_send", {"text": ...}]`."""
        return [None, "websocket_send", {"text": self.text}]

    def __repr__(self) -> str:
        """Return the call that makes this command."""
        return f"Reply({self.text!r})"


_SHOWN = (
    "data",
    "json",
    "parts",
    "insert",
    "connection",
    "url",
    "session",
    "reply_at",
    "sign",
    "id",
)


class Send(Command):
    """Send one message on a connection of this plugin.

    Give exactly one of `text` (str), `data` (bytes, a binary message), `json` (written as a text
    message) and `parts`: a list of texts and documents, written one after the other, so that
    `parts=["40", {"ok": True}]` is `40{"ok":true}`. `insert` lists places of `json` or `parts` that
    the host fills in; `/1/token` is inside the second part. `connection` is a name from
    `[[connections]]`; left out, it is the connection the event came from. `url` names a
    connection by its URL instead. `session="source"` (default) sends only if the session the event
    came from is still open, because an acknowledgement belongs on the socket that asked;
    `"current"` sends on whichever session is open. `reply_at` is the place where the answer brings
    back the number that `insert_counter` puts into this message: that answer is delivered with
    `in_reply_to`, which is the `id` of this command. `sign` is a key of `[[secrets]]` with which
    the host signs `json` or `parts` as the manifest says. `id` is yours to recognise the command in
    `DeniedEvent` and `SendFailedEvent`; it must be unique within one answer.
    """

    __slots__ = (
        "connection",
        "data",
        "id",
        "insert",
        "json",
        "parts",
        "reply_at",
        "session",
        "sign",
        "text",
        "url",
    )

    def __init__(
        self,
        text: str | None = None,
        *,
        data: bytes | None = None,
        json: Any = None,
        parts: list[Any] | None = None,
        insert: Iterable[Insertion] = (),
        connection: str | None = None,
        url: str | None = None,
        session: 'Literal["source", "current"]' = "source",
        reply_at: str | None = None,
        sign: str | None = None,
        id: str | None = None,
    ) -> None:
        given = (text is not None) + (data is not None) + (json is not None) + (parts is not None)
        if given != 1:
            raise TypeError(
                "Send needs one of text, data, json and parts: Send('hello'), Send(data=b'...'), "
                "Send(json={...}) or Send(parts=['40', {...}])"
            )
        if text is not None and type(text) is not str:
            text = _text("Send", text)
        if data is not None and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"Send(data=...) takes bytes, not {type(data).__name__}")
        if session not in ("source", "current"):
            raise ValueError('session must be "source" or "current"')
        if connection is not None and url is not None:
            raise TypeError("Send takes a connection or a url, not both")
        self.text = text
        self.data = None if data is None else bytes(data)
        self.json = json
        self.parts = parts
        self.insert = insertions(insert) if insert else ()
        if self.insert or parts is not None:
            check_message("Send", text, json, parts, self.insert)
        self.connection = _name("connection", connection)
        self.url = url
        self.session = session
        self.reply_at = None if reply_at is None else pointer("reply_at", reply_at)
        self.sign = _name("sign", sign)
        if sign is not None and json is None and parts is None:
            raise TypeError("sign goes with json or parts: the signature needs a place")
        self.id = _name("id", id)
        if reply_at is not None:
            if self.id is None:
                raise TypeError("reply_at goes with an id: the answer says in_reply_to=id")
            if [one.kind for one in self.insert].count("counter") != 1:
                raise TypeError("reply_at goes with insert=[insert_counter(at)]: one number")

    def wire(self) -> list[Any]:
        """Return `[id, "websocket_send", payload]`; binary data in base64."""
        wired = self.wire_without_body()
        if self.text is not None:
            wired[2]["text"] = self.text
        if self.data is not None:
            wired[2]["data"] = base64.b64encode(self.data).decode("ascii")
        return wired

    def wire_without_body(self) -> list[Any]:
        """Return the same without its text and data, which travel beside it."""
        payload: dict[str, Any] = {}
        if self.json is not None:
            payload["json"] = self.json
        if self.parts is not None:
            payload["parts"] = self.parts
        if self.insert:
            payload["insert"] = [item.wire() for item in self.insert]
        if self.connection is not None:
            payload["connection"] = self.connection
        if self.url is not None:
            payload["url"] = self.url
        if self.session != "source":
            payload["session"] = self.session
        if self.reply_at is not None:
            payload["reply_at"] = self.reply_at
        if self.sign is not None:
            payload["sign"] = self.sign
        return [self.id, "websocket_send", payload]

    def __repr__(self) -> str:
        """Return the call that makes this command."""
        shown = [] if self.text is None else [repr(self.text)]
        shown += [
            f"{name}={value!r}"
            for name in _SHOWN
            if (value := getattr(self, name)) not in (None, "source", ())
        ]
        return f"Send({', '.join(shown)})"


class Status(Command):
    """Show a person how the plugin is doing: `Status("connected as bot")`, `Status(status={...})`.

    `message` is one line for people; `status` (a string or JSON object, at most 64 KiB) replaces
    what `yoi service status` shows. No grant is needed.
    """

    __slots__ = ("id", "message", "status")

    def __init__(
        self,
        message: str | None = None,
        *,
        status: dict[str, Any] | str | None = None,
        id: str | None = None,
    ) -> None:
        if message is None and status is None:
            raise TypeError("Status needs a message or a status")
        if message is not None and not isinstance(message, str):
            raise TypeError(f"Status(message) takes a str, not {type(message).__name__}")
        if status is not None:
            if not isinstance(status, (str, dict)):
                raise TypeError(
                    f"Status(status=...) takes a dict or str, not {type(status).__name__}"
                )
            if len(json.dumps(status).encode()) > STATUS_BYTES:
                raise ValueError(f"a status may have at most {STATUS_BYTES} bytes as JSON")
        self.message = message
        self.status = status
        self.id = _name("id", id)

    def wire(self) -> list[Any]:
        """Return `[id, "diagnostic_status_update", payload]`."""
        payload: dict[str, Any] = {}
        if self.message is not None:
            payload["message"] = self.message
        if self.status is not None:
            payload["status"] = self.status
        return [self.id, "diagnostic_status_update", payload]

    def __repr__(self) -> str:
        """Return the call that makes this command."""
        if self.status is None:
            return f"Status({self.message!r})"
        return f"Status({self.message!r}, status={self.status!r})"


def _text(where: str, value: Any) -> str:
    """Return `value` as a plain str, or raise the TypeError that names the fix."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        fix = "decode it, or use Send(data=...) for a binary message"
    elif isinstance(value, (dict, list)):
        fix = "use json.dumps(...)"
    else:
        fix = "use str(...)"
    raise TypeError(f"{where} takes a str, not {type(value).__name__}: {fix}")


def _name(what: str, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if not 1 <= len(value.encode()) <= ID_BYTES or not value.isprintable():
        raise ValueError(f"{what} must be 1 to {ID_BYTES} bytes without control characters")
    return value
