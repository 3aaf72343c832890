"""`Authenticator`: who may come in, judged by headers alone, before anything else is looked at.

`Host` guards against DNS rebinding, `Origin` against foreign pages, the token against all other
clients. Answers are the same whatever a token lacks, and repeat nothing of what was sent.
"""

import re
from collections.abc import Callable, Sequence

from yoi.protocol.observation import TOKEN_SUBPROTOCOL
from yoi.serving.admission import Refused
from yoi.serving.names import ListenerNames
from yoi.serving.principals import Principal

Headers = Sequence[tuple[str, str]]
"""Names in lower case, in the order they came; a repeated header stands twice."""
Identify = Callable[[str], Principal | None]

TOKEN_HEADER = "yoi-token"
"""Another place for a token, for clients behind a proxy that uses `Authorization` for itself."""
_PREFIXES = ("yoi_", "yois_")
_TOKEN_CHARS = 8192
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 2.1."""


class Authenticator:
    """See the module docstring. `identify` returns None for an unknown token."""

    def __init__(self, names: ListenerNames, identify: Identify) -> None:
        self._names = names
        self._identify = identify

    def admit(self, headers: Headers) -> Principal:
        """Return who asks. Raises Refused: 403 `forbidden_host`, `forbidden_origin`; 401."""
        self.check_source(headers)
        token = _presented(headers)
        principal = None if token is None else self._identify(token)
        if principal is None:
            raise _unauthorized()
        return principal

    def check_source(self, headers: Headers) -> None:
        """Refuse a request that was not meant for this listener, or comes from a foreign page.

        For routes that need no token. Raises Refused like `admit`.
        """
        hosts = _all(headers, "host")
        if len(hosts) != 1 or hosts[0].strip(" \t").lower() not in self._names.hosts:
            raise Refused(403, "forbidden_host", "this server has no such name; see `names`")
        origins = _all(headers, "origin")
        if len(origins) > 1 or any(
            one.strip(" \t").lower() not in self._names.origins for one in origins
        ):
            raise Refused(403, "forbidden_origin", "pages of that origin may not; see `origins`")


def asgi_headers(raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return the headers of an ASGI scope as an `Authenticator` takes them."""
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]


def _presented(headers: Headers) -> str | None:
    """Return the one token of a request, or None without one. Raises Refused for a doubtful one.

    A proxy in front may use `Authorization` for itself. So where a token comes in a place that only
    Yoi uses, that header counts only if it holds another token of Yoi's form, which is doubtful.
    """
    own = {*_offered(headers), *_named(headers)}
    found = own | ({*_yoi_bearers(headers)} if own else {*_bearers(headers)})
    if len(found) > 1:
        raise _unauthorized()
    return next(iter(found), None)


def _named(headers: Headers) -> list[str]:
    values = _all(headers, TOKEN_HEADER)
    if len(values) > 1:
        raise _unauthorized()
    return [_checked(value.strip(" \t")) for value in values]


def _yoi_bearers(headers: Headers) -> list[str]:
    """Return what stands in `Authorization` and can only be a token of Yoi's."""
    words = (value.split() for value in _all(headers, "authorization"))
    return [word for value in words for word in value[1:] if word.startswith(_PREFIXES)]


def _bearers(headers: Headers) -> list[str]:
    values = _all(headers, "authorization")
    if len(values) > 1:
        raise _unauthorized()
    return [_checked(_without_scheme(value)) for value in values]


def _offered(headers: Headers) -> list[str]:
    """Return the token in the offered subprotocols of an upgrade; two are one too many."""
    if not any("websocket" in value.lower() for value in _all(headers, "upgrade")):
        return []
    offers = [
        offer.strip(" \t").removeprefix(TOKEN_SUBPROTOCOL)
        for value in _all(headers, "sec-websocket-protocol")
        for offer in value.split(",")
        if offer.strip(" \t").startswith(TOKEN_SUBPROTOCOL)
    ]
    if len(offers) > 1:
        raise _unauthorized()
    return [_checked(offer) for offer in offers]


def _without_scheme(value: str) -> str:
    scheme, _, token = value.strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthorized()
    return token.strip(" ")


def _checked(token: str) -> str:
    if len(token) > _TOKEN_CHARS or not _TOKEN.fullmatch(token):
        raise _unauthorized()
    return token


def _unauthorized() -> Refused:
    return Refused(401, "unauthorized", "a valid token is needed")


def _all(headers: Headers, name: str) -> list[str]:
    return [value for found, value in headers if found == name]
