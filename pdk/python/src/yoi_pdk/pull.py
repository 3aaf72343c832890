"""Sockets that the plugin opens itself and reads one message at a time.

For an integration declare `[[connections]]` instead: the host keeps that connection open, answers
pings, dials again, and delivers each message to `on_text` while nothing of yours has to wait. This
here is for a short exchange in the middle of a handler, such as a tool call. Needs the permission
`host_api.websocket` and a `[[websocket]]` target. Every wait counts against the handler's time.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from yoi_pdk.host import HostCall, HostError, ask
from yoi_pdk.host_command import name_of, strings
from yoi_pdk.insertions import Insertion
from yoi_pdk.limits import HANDSHAKE_HEADERS
from yoi_pdk.message import insertions


class SocketClosed(HostError):
    """The socket has ended, and everything that arrived before was read.

    `close_code` and `reason` are the peer's; `code` says what went wrong, `connection.not_open`
    when nothing did.
    """

    def __init__(self, close_code: int, reason: str, error: dict[str, Any] | None) -> None:
        said = f"closed with {close_code}" + (f": {reason}" if reason else "")
        super().__init__(
            error["code"] if error else "connection.not_open",
            f"{said}; {error['message']}" if error else said,
        )
        self.close_code = close_code
        self.reason = reason


class PullSocket:
    """One open socket; `with` closes it. It ends with the tool call that opened it.

    Opened in any other handler it stays open between calls, until it is closed, the instance ends,
    or its time is over.
    """

    __slots__ = ("_call", "handle", "protocol", "url")

    def __init__(self, call: HostCall, handle: int, url: str, protocol: str | None) -> None:
        self._call = call
        self.handle = handle
        self.url = url
        """Where it leads, without the query."""
        self.protocol = protocol
        """The subprotocol that the server selected."""

    def send(self, message: str | bytes) -> None:
        """Queue one message: a str as text, bytes as binary. Raises HostError."""
        if isinstance(message, str):
            ask(self._call, "websocket.send-text", self.handle, message)
        elif isinstance(message, bytes):
            data = base64.b64encode(message).decode("ascii")
            ask(self._call, "websocket.send-binary", self.handle, data)
        else:
            raise TypeError("send() takes a str or bytes")

    def recv(self, timeout: float = 5.0) -> str | bytes:
        """Return the next message within `timeout` seconds (30 at most).

        Raises SocketClosed at the end, and HostError with the code `connection.timeout` when
        nothing came. A handler whose own time ends in here is ended with it: wait for less.
        """
        if timeout <= 0:
            raise ValueError("timeout must be positive")
        got = ask(self._call, "websocket.recv", self.handle, max(1, round(timeout * 1000)))
        if got["type"] == "text":
            text: str = got["text"]
            return text
        if got["type"] == "binary":
            return base64.b64decode(got["data"])
        raise SocketClosed(got["code"], got["reason"], got.get("error"))

    def close(self) -> bool:
        """Close it; return whether it was still there."""
        closed: bool = ask(self._call, "websocket.close", self.handle)["closed"]
        return closed

    def status(self) -> dict[str, Any]:
        """Return how it is: state, messages that wait, counters."""
        status: dict[str, Any] = ask(self._call, "websocket.status", self.handle)
        return status

    def __enter__(self) -> "PullSocket":
        """Return the socket."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class PullSockets:
    """`ctx.websocket`."""

    __slots__ = ("_call",)

    def __init__(self, call: HostCall) -> None:
        self._call = call

    def open(
        self,
        url: str | None = None,
        protocols: Iterable[str] = (),
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        insert: Iterable[Insertion] = (),
        connection: str | None = None,
    ) -> PullSocket:
        """Dial `url` and return the open socket. Raises HostError.

        With `connection`, a name from `[[connections]]`, it is dialled as that connection: within
        its target, with the headers of its manifest entry, and `insert` puts its secrets into
        `{headers, query, path}`; without `url` at its own. It is no less a socket of your own.
        """
        if isinstance(protocols, str):
            raise TypeError("protocols takes a list of names")
        if url is None and connection is None:
            raise TypeError("open() needs a url, or a connection that has one")
        asked: dict[str, Any] = {"url": url or "", "protocols": list(protocols)}
        if headers:
            asked["headers"] = strings("headers", headers, HANDSHAKE_HEADERS)
        if query:
            asked["query"] = strings("query", query, HANDSHAKE_HEADERS)
        placed = insertions(insert)
        if placed:
            asked["insert"] = [one.wire() for one in placed]
        if connection is not None:
            asked["connection"] = name_of("connection", connection)
        made = ask(self._call, "websocket.open", asked)
        return PullSocket(self._call, made["handle"], made["url"], made.get("protocol"))
