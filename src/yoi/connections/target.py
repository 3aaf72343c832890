"""`DialTarget`: where one dial goes and what its handshake adds; it may hold secrets."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from yoi.display import printable
from yoi.errors import YoiError
from yoi.limits import LIMITS
from yoi.permissions import Url
from yoi.permissions.headers import HeaderRefused, check_name, check_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from yoi.connections.client_certificate import ClientCertificate

_SHORTEST_SECRET = 6
_HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class DialTarget:
    """A URL with everything inserted. No repr, status or error shows its query or its headers.

    Raises ValueError for what no handshake may carry.
    """

    url: Url = field(repr=False)
    once: bool = False
    """It was captured: it serves for one dial, every later one needs a new ticket, and its path
    may be the credential, so that no status, log or error shows more than its origin."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers of the plugin's own; they carry no credentials."""
    inserted: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers with secrets that the grant allows there; they replace others of their name."""
    certificate: "ClientCertificate | None" = field(default=None, repr=False, compare=False)
    """What is presented to a server that demands one."""
    again: "Callable[[], DialTarget] | None" = field(default=None, repr=False, compare=False)
    """Makes it anew for a later dial: a secret may have changed. Raises YoiError."""

    def __post_init__(self) -> None:
        if self.url.scheme not in ("ws", "wss"):
            raise ValueError(f"{self.shown} is not a WebSocket URL")
        if len(self.headers) + len(self.inserted) > LIMITS.handshake_headers:
            raise ValueError(f"more than {LIMITS.handshake_headers} headers")
        for name, value in self.headers:
            _check(name, value, LIMITS.header_bytes, inserted=False)
        for name, value in self.inserted:
            # A signed token is longer than what a manifest may write.
            _check(name, value, LIMITS.request_header_bytes, inserted=True)

    def __repr__(self) -> str:
        return f"<DialTarget {self.shown}>"

    def __reduce__(self) -> str:
        raise TypeError("a dial target is not pickled: it may hold secrets")

    @property
    def shown(self) -> str:
        """The URL for a person: without its query, and of a captured one the origin."""
        if not self.once:
            return self.url.display
        scheme, _, rest = self.url.display.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}/{_HIDDEN}"

    def hide(self, text: str) -> str:
        """Return `text` without this target's query, captured path and inserted values.

        A server may echo them in a header or a close reason, and a library in its message.
        """
        if self.once:
            text = text.replace(self.url.display, self.shown)
        for secret in self._secrets():
            text = text.replace(secret, _HIDDEN)
        return text

    def cleared(self, error: YoiError) -> YoiError:
        """Return `error`, or the same with nothing of this target in its words and fields."""
        message = self.hide(error.message)
        hint = None if error.hint is None else self.hide(error.hint)
        fields = {
            name: self.hide(value) if isinstance(value, str) else value
            for name, value in error.fields.items()
        }
        if (message, hint, fields) == (error.message, error.hint, error.fields):
            return error
        return type(error)(error.code, message, hint=hint, **fields)

    def _secrets(self) -> list[str]:
        url = self.url
        found = {url.query} if url.query else set()
        for pair in url.query.split("&"):
            value = pair.partition("=")[2] or pair
            found |= {value, unquote_plus(value)}
        if self.once or url.shown_path is not None:
            segments = url.path.split("/")
            found |= {url.path, unquote(url.path), *segments, *map(unquote, segments)}
        for _, value in self.inserted:
            found |= {value, *value.split()}
        # Longest first: a part of a longer one must not leave the rest behind.
        return sorted((s for s in found if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)


def _check(name: str, value: str, most_bytes: int, *, inserted: bool) -> None:
    try:
        check_name(name, inserted=inserted)
        check_value(value, most_bytes)
    except HeaderRefused as exc:
        raise ValueError(f"the header {printable(name, 80)} {exc.message}") from None
