"""Which headers a request may carry, and which of an answer's a guest may see."""

from collections.abc import Iterable

from yoi.display import printable
from yoi.errors import RequestFailure
from yoi.limits import Limits
from yoi.permissions.headers import HeaderKind, HeaderRefused, check_name, check_value, kind_of

Headers = tuple[tuple[str, str], ...]

_UNSEEN = frozenset(
    {
        "api-key",
        "apikey",
        "authentication-info",
        "authorization",
        "cookie",
        "www-authenticate",
        "x-api-key",
        "x-auth-token",
    }
)
"""Headers of an answer that may hold credentials; the host's own are not shown either."""
_SHOWN = (HeaderKind.PLAIN, HeaderKind.CREDENTIAL)


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
        if lowered in seen:
            raise _refused(f"the header {printable(name, 80)} stands twice; write it once")
        seen.add(lowered)
        _check_purpose(lowered, value)
        try:
            check_name(name, inserted=lowered in inserted)
            if value:
                check_value(value, limits.request_header_bytes)
        except HeaderRefused as exc:
            message = f"the header {printable(name, 80)} {exc.message}"
            if exc.problem == "too_large":
                raise RequestFailure("request.too_large", message) from None
            if kind_of(name) is HeaderKind.CREDENTIAL:
                place = f"/headers/{printable(lowered, 80)}"
                message += f'; declare a [[secrets]] entry with at = ["{place}"] and insert it'
            raise _refused(message) from None


def seen_by_the_guest(headers: Iterable[tuple[bytes, bytes]], limits: Limits) -> Headers:
    """Return the headers of an answer in lower case, without the host's and the sensitive ones.

    Repeated ones are joined with a comma (RFC 9110 5.2), values cut at `request_header_bytes`.
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("ascii").lower()
        if name in _UNSEEN or kind_of(name) not in _SHOWN:
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
