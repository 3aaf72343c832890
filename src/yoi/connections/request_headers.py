"""Which headers a request may carry, and which of an answer's a guest may see."""

import re
from collections.abc import Iterable

from yoi.display import printable
from yoi.errors import RequestFailure
from yoi.limits import Limits

Headers = tuple[tuple[str, str], ...]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?\Z|\Z")

CREDENTIAL_HEADERS = frozenset({"api-key", "apikey", "authorization", "x-api-key", "x-auth-token"})
"""Names that carry credentials: only the host puts them into a request, never the plugin."""

HOST_HEADERS = frozenset(
    {
        # what the request is, where it goes and how it is framed
        "accept-encoding",
        "content-length",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        # what the connection is for
        "connection",
        "http2-settings",
        "keep-alive",
        "upgrade",
        # no cookies, no browser
        "cookie",
        "cookie2",
        "origin",
        "set-cookie",
        # who asks, and on whose behalf
        "forwarded",
        "via",
        # another method or path than the one that policy saw, to servers that obey them
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-method",
        "x-original-url",
        "x-rewrite-url",
    }
)
"""Names that the host owns, or that would undo what policy decided."""

_HOST_PREFIXES = ("proxy-", "sec-", "x-forwarded-")

_UNSEEN = (
    CREDENTIAL_HEADERS
    | HOST_HEADERS
    | {
        "authentication-info",
        "proxy-authenticate",
        "proxy-authentication-info",
        "set-cookie2",
        "www-authenticate",
    }
)


def check_request_headers(
    headers: Iterable[tuple[str, str]], inserted: frozenset[str], limits: Limits
) -> None:
    """Raise RequestFailure unless a request may carry `headers`; no value is ever shown.

    `inserted` has the names, in lower case, that the host filled in under a grant. Codes:
    `request.header`, `request.upgrade`, `request.event_stream`, `request.too_large`.
    """
    seen: set[str] = set()
    for count, (name, value) in enumerate(headers, 1):
        lowered = name.lower()
        if count > limits.request_headers:
            raise RequestFailure("request.too_large", f"more than {limits.request_headers} headers")
        if not _TOKEN.match(name) or len(name) > limits.name_bytes:
            raise _refused(f"{printable(name, 80)!r} is not a header name")
        if lowered in seen:
            raise _refused(f"the header {name} stands twice; write it once")
        seen.add(lowered)
        _check_purpose(lowered, value)
        if lowered in HOST_HEADERS or lowered.startswith(_HOST_PREFIXES):
            raise _refused(f"the header {name} is the host's; leave it out")
        if lowered in CREDENTIAL_HEADERS and lowered not in inserted:
            raise _refused(
                f"the header {name} carries credentials; declare a [[secrets]] entry with "
                f'at = ["/headers/{lowered}"] and insert it'
            )
        if len(value) > limits.request_header_bytes:
            raise RequestFailure(
                "request.too_large",
                f"the header {name} is over {limits.request_header_bytes} bytes",
            )
        if not _VALUE.match(value):
            raise _refused(f"the header {name} has a character that is not printable ASCII")


def seen_by_the_guest(headers: Iterable[tuple[bytes, bytes]], limits: Limits) -> Headers:
    """Return the headers of an answer in lower case, without the host's and the sensitive ones.

    Repeated ones are joined with a comma (RFC 9110 5.2), values cut at `request_header_bytes`.
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("ascii").lower()
        if name in _UNSEEN or name.startswith(_HOST_PREFIXES):
            continue
        value = raw_value.decode("latin-1")
        joined = f"{found[name]}, {value}" if name in found else value
        found[name] = joined[: limits.request_header_bytes]
    return tuple(found.items())


def _check_purpose(name: str, value: str) -> None:
    if name in ("upgrade", "http2-settings") or (
        name == "connection" and "upgrade" in value.lower()
    ):
        raise RequestFailure(
            "request.upgrade",
            f"the header {name} asks for another protocol; declare a [[connections]] entry and "
            "use websocket_open",
        )
    if name == "accept" and "text/event-stream" in value.lower():
        raise RequestFailure(
            "request.event_stream",
            "a request has one answer that ends; event streams are not supported",
        )


def _refused(message: str) -> RequestFailure:
    return RequestFailure("request.header", message)
