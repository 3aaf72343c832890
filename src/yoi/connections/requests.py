"""`PreparedRequest`: one HTTP request, checked before anything is dialled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.machine_network import USER_AGENT
from yoi.connections.request_headers import Headers, check_request_headers
from yoi.display import printable
from yoi.errors import RequestFailure
from yoi.limits import LIMITS
from yoi.permissions import DEFAULT_PORTS, REQUEST_SCHEMES, Url
from yoi.permissions.methods import METHODS


class Redirects(StrEnum):
    """What a redirect is."""

    FOLLOW = "follow"
    """Another request: authorised, resolved and judged like the first, within the same target."""
    RETURN = "return"
    """An answer, with its `location`, for the plugin to act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """One request with everything inserted, as it is about to be sent. Its repr shows no value.

    `url` may hold inserted values in its query: policy and messages see `target_url`. Raises
    RequestFailure: `request.malformed`, `request.upgrade`, `request.event_stream`,
    `request.header`, `request.too_large`.
    """

    plugin: str
    command_id: str
    """Sent as `Idempotency-Key` unless the plugin set one (DESIGN 5)."""
    target: str
    """The name of the `[[request]]` target that `authorise` answers for."""
    method: str
    url: Url = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    inserted_headers: frozenset[str] = frozenset()
    """Lower-case names of the headers that the host filled in, under a grant."""
    inserted_elsewhere: bool = False
    """Whether the path, the query or the body holds a value that the host filled in."""
    certificate: ClientCertificate | None = field(default=None, repr=False)
    """What is presented to a server that demands one."""
    redirects: Redirects = Redirects.FOLLOW
    user_agent: str = USER_AGENT
    """What it carries where `headers` have none."""
    reads_stream: bool = False
    """Whether the answer may be an event stream that ends; for what the host itself asks."""
    target_url: Url = field(init=False)
    """`url` without its query: what targets name."""

    def __post_init__(self) -> None:
        if self.url.scheme not in REQUEST_SCHEMES:
            raise RequestFailure(
                "request.upgrade",
                f"{self.url.display} is no HTTP URL; declare a [[connections]] entry and use "
                "websocket_open",
            )
        if self.method not in METHODS:
            raise RequestFailure(
                "request.malformed",
                f"the method must be one of {', '.join(METHODS)}, "
                f"not {printable(self.method, 20)!r}",
            )
        asked = [one for one in self.headers if not self.reads_stream or one[0] != "Accept"]
        check_request_headers(asked, self.inserted_headers, LIMITS)
        if self.body is not None and len(self.body) > LIMITS.request_body_bytes:
            raise RequestFailure(
                "request.too_large", f"the body is over {LIMITS.request_body_bytes} bytes"
            )
        object.__setattr__(self, "target_url", without_query(self.url))

    @property
    def carries_inserted(self) -> bool:
        """Whether anything in it is a value that only its own target may receive."""
        inserted = bool(self.inserted_headers) or self.inserted_elsewhere
        return inserted or self.certificate is not None

    def head(self, url: Url) -> list[tuple[str, str]]:
        """Return all headers to send to `url`, the host's own included."""
        given = {name.lower() for name, _ in self.headers}
        made = [
            ("Host", url.host_header),
            ("Connection", "close"),
            ("Accept-Encoding", "identity"),
        ]
        if "user-agent" not in given:
            made.append(("User-Agent", self.user_agent))
        if "accept" not in given:
            made.append(("Accept", "*/*"))
        if "idempotency-key" not in given:
            made.append(("Idempotency-Key", quote(self.command_id, safe=_KEY_SAFE)))
        if self.body is not None or self.method in _WITH_BODY:
            made.append(("Content-Length", str(len(self.body or b""))))
        return [*made, *self.headers]


# Visible ASCII but for what a structured header would have to escape.
_KEY_SAFE = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
# A server may wait for a body, or answer 411, when these say nothing about its length.
_WITH_BODY = ("POST", "PUT", "PATCH")


def without_query(url: Url) -> Url:
    """Return `url` without its query."""
    if not url.query and "?" not in url.request_target:
        return url
    plain = Url.parse(url.href.partition("?")[0], REQUEST_SCHEMES)
    return plain if url.shown_path is None else plain.hiding(url.shown_path)


def request_url(
    scheme: str, host: str, port: int | None, path: str, query: Mapping[str, str]
) -> Url:
    """Return the URL of a command: `path` and `query` on a target's own scheme, host and port.

    `host` has brackets for IPv6. Raises RequestFailure (`request.malformed`) for a path that would
    be more than a path, UrlRefused for one that servers could read differently.
    """
    if not path.startswith("/") or any(char in path for char in "?#"):
        raise RequestFailure(
            "request.malformed",
            f"the path {printable(path, 100)!r} must start with '/' and have no '?' or '#'; "
            "write the query in its own field",
        )
    at = "" if port is None or port == DEFAULT_PORTS.get(scheme) else f":{port}"
    try:
        search = "?" + urlencode(list(query.items()), quote_via=quote) if query else ""
    except UnicodeEncodeError:
        raise RequestFailure("request.malformed", "the query has a lone surrogate") from None
    return Url.parse(f"{scheme}://{host}{at}{path}{search}", REQUEST_SCHEMES)


FORM = "application/x-www-form-urlencoded"


def is_form(headers: Mapping[str, str]) -> bool:
    """Return whether `headers` say that the body is a form."""
    given = next((text for name, text in headers.items() if name.lower() == "content-type"), "")
    return given.partition(";")[0].strip().lower() == FORM


def form_body(fields: Any) -> bytes:
    """Return a JSON object of texts as a form (HTML, `application/x-www-form-urlencoded`).

    Raises RequestFailure: `request.malformed`, `request.too_large`.
    """
    if not isinstance(fields, dict) or not all(isinstance(one, str) for one in fields.values()):
        raise RequestFailure("request.malformed", "a form is an object whose values are texts")
    try:
        data = urlencode(fields).encode()
    except UnicodeEncodeError:
        raise RequestFailure("request.malformed", "the form has a lone surrogate") from None
    if len(data) > LIMITS.request_body_bytes:
        raise RequestFailure(
            "request.too_large", f"the body is over {LIMITS.request_body_bytes} bytes"
        )
    return data


def request_body(json: Any, text: str | None) -> tuple[bytes | None, str | None]:
    """Return the bytes of a body and its content type; `json` None and no `text` is no body.

    Raises RequestFailure: `request.malformed`, `request.too_large`.
    """
    if text is None and json is None:
        return None, None
    try:
        data = msgspec.json.encode(json) if text is None else text.encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
        raise RequestFailure("request.malformed", "the body cannot be written") from None
    if len(data) > LIMITS.request_body_bytes:
        raise RequestFailure(
            "request.too_large", f"the body is over {LIMITS.request_body_bytes} bytes"
        )
    return data, "application/json" if text is None else "text/plain; charset=utf-8"
