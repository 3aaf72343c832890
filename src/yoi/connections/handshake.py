"""The opening handshake: the request that policy authorised, and how its answer is judged.

The `websockets` library writes the request and judges the response; here is what it leaves open.
Nothing is sent that policy has not parsed: no cookies, no Origin unless declared. One extension is
offered, bounded compression of what the server sends (deflate.py).
"""

import logging
import re
from typing import TYPE_CHECKING

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.typing import Origin, Subprotocol
from websockets.uri import WebSocketURI

from yoi.connections import deflate
from yoi.connections.client import Client
from yoi.core.retry_after import retry_after_ms
from yoi.core.routes import WAIT_STATUSES
from yoi.display import printable
from yoi.errors import ConnectionFailure

if TYPE_CHECKING:
    from datetime import datetime

    from yoi.connections.target import DialTarget
    from yoi.limits import Limits
    from yoi.permissions.connection_settings import Handshake

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([0-9]{3})[ \r]")
_SWITCHING = re.compile(rb"HTTP/1\.1 101[ \r]")
_INTERIM = re.compile(rb"HTTP/1\.1 1(?!01)[0-9]{2}[ \r]")
_STATUS_BYTES = 13
_END = b"\r\n\r\n"
_HINTS = {
    401: "the server wants a credential: is the secret set, granted and inserted?",
    403: "the server refuses this client: check the secret, the origin and the headers",
    429: "the server wants fewer connections; the host waits and dials again",
    503: "the server is not ready; the host waits and dials again",
    404: "is the path of the URL right?",
    410: "is the path of the URL right?",
    426: "the server wants another version of the protocol: is the URL right?",
}
_NO_WEBSOCKET = "is there a WebSocket at this URL, and nothing in between that answers for it?"
_TROUBLE = "the server is in trouble; the host dials again"
# The library logs frames at DEBUG; frames hold secrets, so its logger never speaks.
_SILENT = logging.Logger("yoi.connections.silent", logging.CRITICAL + 1)


def new_protocol(
    handshake: "Handshake", target: "DialTarget", max_message_bytes: int, user_agent: str
) -> Client:
    """Return the sans-I/O client of one dial, its request already among `data_to_send()`."""
    url = target.url
    protocol = Client(
        WebSocketURI(url.secure, url.host, url.port, url.path, url.query),
        origin=None if handshake.origin is None else Origin(handshake.origin),
        extensions=[deflate.offer()],
        subprotocols=[Subprotocol(name) for name in handshake.subprotocols] or None,
        max_size=max_message_bytes,
        logger=_SILENT,
    )
    request = protocol.connect()
    # Exactly what policy saw, not what the library would make of the URL's parts.
    request.path = url.request_target
    del request.headers["Host"]
    request.headers["Host"] = url.host_header
    request.headers["User-Agent"] = user_agent
    for name, value in (*handshake.headers, *target.headers, *target.inserted):
        # Headers are a multi-dict: without this a second one of the name would stand beside it.
        if name in request.headers:
            del request.headers[name]
        request.headers[name] = value
    protocol.send_request(request)
    return protocol


class AnswerHead:
    """The head of the answer to an upgrade, as it arrives; used once.

    A server may send interim answers before it (RFC 9110 15.2): they are passed over, a few of
    them, within the bound on the bytes of all.
    """

    __slots__ = "_given", "_head", "_interim", "_most", "_room", "heard"

    def __init__(self, limits: "Limits") -> None:
        self.heard = False
        """Whether the server has said anything."""
        self._most = limits.handshake_bytes
        self._room = limits.handshake_bytes
        self._interim = limits.response_interim
        self._head = bytearray()
        self._given = 0

    def take(self, data: bytes, wall: "datetime") -> tuple[bytes, bytes]:
        """Return what in `data` belongs to the answer, and what is beyond the bound.

        The former is empty until the answer's status is known. Raises ConnectionFailure as soon
        as that is not 101. `wall` is the time now.
        """
        self.heard = True
        piece, rest = data[: self._room], data[self._room :]
        self._room -= len(piece)
        self._head += piece
        while _INTERIM.match(self._head):
            end = self._head.find(_END)
            if end < 0:
                break
            if not self._interim:
                raise _refused("the server sends interim answers without end")
            self._interim -= 1
            del self._head[: end + len(_END)]
        check_status(self._head, wall)
        if not _SWITCHING.match(self._head):
            self.require_room()
            return b"", b""
        at, self._given = self._given, len(self._head)
        return bytes(self._head[at:]), rest

    def require_room(self) -> None:
        """Raise ConnectionFailure where no more may come, and the head is not whole yet."""
        if not self._room:
            raise _refused(f"the response headers are over {self._most} bytes")

    def forget(self) -> None:
        """Free the memory of an answer that was taken: the socket may live for months."""
        self._head = bytearray()

    def hung_up(self, wall: "datetime") -> ConnectionFailure:
        """Return what to raise for a server that ended the socket."""
        try:
            check_status(bytes(self._head) + _END, wall)
        except ConnectionFailure as exc:
            if self._head:
                return exc
        return ConnectionFailure(
            "connection.handshake",
            "the server hung up in the handshake",
            hint=_NO_WEBSOCKET,
            hung_up=not self.heard,
        )


def check_status(head: bytes | bytearray, wall: "datetime") -> None:
    """Raise ConnectionFailure as soon as `head`, an answer's first bytes, is not a 101 or interim.

    Where the status is one that names a wait, the headers are read first; the error then has
    `retry_after_ms`. `wall` is the time now. A body is never waited for: it may be large, or never
    come.
    """
    found = _STATUS_LINE.match(head)
    if found is None:
        if len(head) >= _STATUS_BYTES:
            # Too short for a secret that is echoed here.
            shown = printable(bytes(head[:_STATUS_BYTES]).decode("latin-1"), 80)
            raise _refused(f"the server does not answer with HTTP/1.1: {shown}")
        return
    status = int(found[1])
    if 100 <= status < 200 or (status in WAIT_STATUSES and _END not in head):
        return
    if 300 <= status < 400:
        raise ConnectionFailure(
            "connection.redirect",
            f"the server answered {status}, a redirect; put the final URL in the manifest",
            hint="a redirect of a connection is not followed: it would lead where no target was "
            "reviewed",
            status=status,
        )
    message = f"the server answered {status} instead of 101"
    wait_ms = _wait_ms(head, wall) if status in WAIT_STATUSES else None
    hint = _HINTS.get(status, _TROUBLE if status >= 500 else _NO_WEBSOCKET)
    if wait_ms is None:
        raise ConnectionFailure("connection.handshake", message, hint=hint, status=status)
    raise ConnectionFailure(
        "connection.handshake",
        f"{message} and asks to wait {wait_ms / 1000:g} s",
        hint=hint,
        status=status,
        retry_after_ms=wait_ms,
    )


def _wait_ms(head: bytes | bytearray, wall: "datetime") -> int | None:
    for line in bytes(head).partition(_END)[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"retry-after":
            return retry_after_ms(value.decode("latin-1"), wall)
    return None


def refusal(exc: Exception) -> ConnectionFailure:
    """Return what to raise for the library's `handshake_exc`."""
    if isinstance(exc, InvalidHeader):
        # Its value stays out: a server may have put anything into it.
        what = "missing" if exc.value is None else "not what it must be"
        why = f"its header {exc.name} is {what}"
    elif isinstance(exc, NegotiationError):
        why = "it agrees to a subprotocol or an extension that was not offered"
    else:
        why = "it is malformed"
    return _refused(f"the server's handshake is refused: {why}")


def _refused(message: str) -> ConnectionFailure:
    return ConnectionFailure("connection.handshake", message, hint=_NO_WEBSOCKET)
