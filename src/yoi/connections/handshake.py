"""The opening handshake: the request that policy authorised, and what a manifest may add to it.

The `websockets` library writes the request and judges the response; here is what it leaves open.
Nothing is sent that policy has not parsed: no cookies, no Origin unless declared, no extension
offered (so none may be agreed: there is no inflated size to bound).
"""

import logging
import re
from typing import TYPE_CHECKING

from websockets.exceptions import InvalidHandshake
from websockets.typing import Origin, Subprotocol
from websockets.uri import WebSocketURI

from yoi import __version__
from yoi.connections.client import Client
from yoi.display import printable
from yoi.errors import ConnectionFailure

if TYPE_CHECKING:
    from yoi.connections.plan import ConnectionPlan
    from yoi.connections.target import DialTarget
    from yoi.limits import Limits

USER_AGENT = f"yoi/{__version__}"

FORBIDDEN_HEADERS = frozenset(
    {
        "api-key",
        "apikey",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "cookie2",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-api-key",
        "x-auth-token",
    }
)
"""Header names a manifest may not set: the host's own, and those that carry credentials."""

_CREDENTIALS = frozenset(
    {"api-key", "apikey", "authorization", "cookie", "x-api-key", "x-auth-token"}
)

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([0-9]{3})[ \r]")
_STATUS_BYTES = 13
# The library logs frames at DEBUG; frames hold secrets, so its logger never speaks.
_SILENT = logging.Logger("yoi.connections.silent", logging.CRITICAL + 1)


def check_header(name: str, value: str, limits: "Limits") -> None:
    """Raise ValueError unless a manifest may add the header `name: value` to a handshake."""
    if not _TOKEN.match(name):
        raise ValueError(f"{printable(name, 80)!r} is not a header name")
    lowered = name.lower()
    if lowered in FORBIDDEN_HEADERS or lowered.startswith(("sec-", "proxy-")):
        raise ValueError(f"the header {name} is the host's, or carries credentials")
    if len(value) > limits.header_bytes:
        raise ValueError(f"the header {name} is over {limits.header_bytes} bytes")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"the header {name} has a character that is not printable ASCII")


def check_inserted_header(name: str, value: str, limits: "Limits") -> None:
    """Raise ValueError unless the host may add `name: value`, where the value holds a secret.

    What carries credentials may, what is the handshake's own may not. The message has no value.
    """
    lowered = name.lower()
    check_header("x-inserted" if lowered in _CREDENTIALS else name, "", limits)
    # A signed token is longer than what a manifest may write.
    if len(value) > limits.request_header_bytes:
        raise ValueError(f"the header {name} is over {limits.request_header_bytes} bytes")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"the header {name} has a character that is not printable ASCII")


def check_subprotocol(name: str, limits: "Limits") -> None:
    """Raise ValueError unless `name` may be offered as a subprotocol."""
    if not _TOKEN.match(name) or len(name) > limits.name_bytes:
        raise ValueError(f"{printable(name, 80)!r} is not a subprotocol name")


def new_protocol(plan: "ConnectionPlan", target: "DialTarget", max_message_bytes: int) -> Client:
    """Return the sans-I/O client of one dial, its request already among `data_to_send()`."""
    url = target.url
    protocol = Client(
        WebSocketURI(url.secure, url.host, url.port, url.path, url.query),
        origin=None if plan.origin is None else Origin(plan.origin),
        extensions=None,
        subprotocols=[Subprotocol(name) for name in plan.subprotocols] or None,
        max_size=max_message_bytes,
        logger=_SILENT,
    )
    request = protocol.connect()
    # Exactly what policy saw, not what the library would make of the URL's parts.
    request.path = url.request_target
    del request.headers["Host"]
    request.headers["Host"] = url.host_header
    request.headers["User-Agent"] = USER_AGENT
    for name, value in (*plan.headers, *target.headers, *target.inserted):
        # Headers are a multi-dict: without this a second one of the name would stand beside it.
        if name in request.headers:
            del request.headers[name]
        request.headers[name] = value
    protocol.send_request(request)
    return protocol


def check_status(head: bytes | bytearray) -> None:
    """Raise ConnectionFailure as soon as `head`, a response's first bytes, is not a 101.

    A refusal's body is never waited for: it may be large, or never come.
    """
    found = _STATUS_LINE.match(head)
    if found is None:
        if len(head) >= _STATUS_BYTES:
            shown = printable(bytes(head[:40]).decode("latin-1"), 80)
            raise ConnectionFailure(
                "connection.handshake", f"the server does not answer with HTTP/1.1: {shown}"
            )
        return
    status = int(found[1])
    if 300 <= status < 400:
        raise ConnectionFailure(
            "connection.redirect",
            f"the server answered {status}, a redirect; put the final URL in the manifest",
            status=status,
        )
    if status != 101:
        raise ConnectionFailure(
            "connection.handshake", f"the server answered {status} instead of 101", status=status
        )


def refusal(exc: Exception) -> ConnectionFailure:
    """Return what to raise for the library's `handshake_exc`."""
    cause = exc.__cause__ if isinstance(exc, InvalidHandshake) and exc.__cause__ else exc
    return ConnectionFailure("connection.handshake", f"the server's handshake is refused: {cause}")
