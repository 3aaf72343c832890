"""`ConnectionSettings`: everything that one declared connection is, from manifest to socket.

`packages` reads it from `[[connections]]`; the review shows it; `core` and `connections` act by it.
Whether it may be used is not part of it: `Authority` decides that, for every dial and send.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from yoi.errors import UrlRefused
from yoi.limits import LIMITS
from yoi.permissions.headers import HeaderRefused, Problem, check_name, check_value, is_token
from yoi.permissions.pointers import JsonPointer
from yoi.permissions.sequence import SequenceSettings
from yoi.permissions.targets import UrlTarget
from yoi.permissions.url import REQUEST_SCHEMES, WEBSOCKET_SCHEMES, Url
from yoi.types import is_close_code


class Deliver(StrEnum):
    """What of a connection reaches the plugin, by the name used in `deliver`."""

    TEXT = "text"
    BINARY = "binary"
    OPEN = "open"
    CLOSE = "close"
    ERROR = "error"
    GAP = "gap"
    SEND_FAILED = "send_failed"
    DENIED = "denied"

    @property
    def event_kind(self) -> str:
        """Return the name of such an event on the wire and in `event_kinds`."""
        return "command_denied" if self is Deliver.DENIED else f"websocket_{self}"


class OnFull(StrEnum):
    """What happens to a frame when the plugin does not keep up."""

    PAUSE = "pause"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Dedupe:
    """How an ingress knows a message again that a gateway sends anew, under a new session."""

    at: JsonPointer
    """Where the gateway's own id stands in a text message."""
    keep_ms: int
    """How long an id is known after it last came."""
    max: int
    """How many ids are known: those that came last."""


class Open(StrEnum):
    """When the host dials."""

    START = "start"
    """As soon as the service runs; the url is in the manifest."""
    COMMAND = "command"
    """When the plugin says `websocket_open`."""


class Ready(StrEnum):
    """What makes a session good, so that earlier failures are forgotten."""

    TRAFFIC = "traffic"
    """A frame, and a while."""
    COMMAND = "command"
    """The plugin says `websocket_ready`."""


GOING_AWAY = 1001
DEFAULT_DELIVER = (Deliver.TEXT, Deliver.OPEN, Deliver.CLOSE, Deliver.GAP)


class SettingRefused(ValueError):
    """A setting that no connection may have.

    `key` is its path in the table, such as `headers.Host`.
    """

    def __init__(self, key: str, message: str, problem: Problem = "value") -> None:
        super().__init__(f"{key} {message}")
        self.key = key
        self.message = message
        self.problem = problem


@dataclass(frozen=True, slots=True)
class LastValue:
    """A value that the host remembers from text frames of the current session, by name."""

    name: str
    at: JsonPointer


@dataclass(frozen=True, slots=True)
class HandshakeSecret:
    """A secret that the host puts into each handshake by itself."""

    at: JsonPointer
    secret: str
    """The plugin's name of it."""
    prefix: str = ""

    def to_insertion(self) -> dict[str, str]:
        """Return what a command would say in `insert`."""
        made = {"at": str(self.at), "secret": self.secret}
        return {**made, "prefix": self.prefix} if self.prefix else made


@dataclass(frozen=True, slots=True)
class Handshake:
    """What one opening handshake says beyond its URL. Raises SettingRefused for the first fault."""

    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    """None: no Origin is sent."""

    def __post_init__(self) -> None:
        _check_subprotocols(self.subprotocols)
        _check_headers(self.headers)
        if self.origin is not None:
            _check_origin(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """One declared connection. Raises SettingRefused for what contradicts itself. Times are ms."""

    name: str
    ingress: str
    url: Url | None
    """The manifest's; None where the plugin says where to dial."""
    target: UrlTarget
    """Every dial and send stays within this, whatever else is granted."""
    deliver: frozenset[Deliver] = frozenset(DEFAULT_DELIVER)
    """What the plugin hears; the driver reports everything and its sink sifts (W3, W5)."""
    on_full: OnFull = OnFull.PAUSE
    handshake: Handshake = field(default_factory=Handshake)
    ping_ms: int = LIMITS.ping_ms
    """Zero: no pings are sent, and silence ends no session."""
    pong_ms: int = LIMITS.pong_ms
    pause_grace_ms: int = LIMITS.pause_grace_ms
    expect_every_ms: int | None = None
    """How long an open connection may be silent before somebody is told; None: for ever."""
    backoff_first_ms: int = LIMITS.backoff_first_ms
    backoff_max_ms: int = LIMITS.backoff_max_ms
    fatal_close_codes: frozenset[int] = frozenset()
    fatal_statuses: frozenset[int] = frozenset()
    open: Open = Open.START
    ready: Ready = Ready.TRAFFIC
    last: tuple[LastValue, ...] = ()
    insert: tuple[HandshakeSecret, ...] = ()
    """What is put into the handshake with the manifest's own URL; authorised with each dial."""
    sequence: SequenceSettings | None = None
    """Which numbers prove that no message is missing."""
    dials_per_day: int = LIMITS.dials_per_day
    fresh_after: int | None = None
    """Failures in a row to get ready until a URL of the plugin's is given up; None: never."""
    overlap_ms: int = 0
    """How long the old session may drain beside its successor; zero: it is closed first."""
    send_per_second: int = LIMITS.send_per_second
    leave_code: int = GOING_AWAY
    """How its session is closed when the host stops: some gateways forget a session on 1001."""

    def __post_init__(self) -> None:
        if self.url is None and self.open is Open.START:
            raise SettingRefused("url", "is required where the host dials at the start")
        if self.url is not None:
            if self.url.scheme not in WEBSOCKET_SCHEMES:
                raise SettingRefused("url", f"{self.url.display} is not a WebSocket URL")
            if not self.target.allows(self.url):
                raise SettingRefused(
                    "target", f"does not allow the connection's own url {self.url.display}"
                )
        for key in ("pong_ms", "backoff_first_ms", "send_per_second", "dials_per_day"):
            if getattr(self, key) < 1:
                raise SettingRefused(key, "must be positive")
        if self.ping_ms < 0:
            raise SettingRefused("ping_ms", "must not be negative")
        if self.backoff_first_ms > self.backoff_max_ms:
            raise SettingRefused("backoff.max_ms", "must not be below first_ms")
        if self.pause_grace_ms < 0 or self.overlap_ms < 0:
            raise SettingRefused("overlap_ms", "must not be negative, nor pause_grace_ms")
        if self.fresh_after is not None and self.fresh_after < 1:
            raise SettingRefused("reconnect.fresh_after", "must be positive")
        if len(self.last) > LIMITS.last_values:
            raise SettingRefused("last", f"has more than {LIMITS.last_values}", "too_large")
        if self.leave_code not in (1000, GOING_AWAY) and not 3000 <= self.leave_code <= 4999:
            raise SettingRefused("leave_code", "must be 1000, 1001, or from 3000 to 4999")
        _check_close_codes(self.fatal_close_codes)
        _check_statuses(self.fatal_statuses)

    @property
    def where(self) -> str:
        """Return the target in words: what status shows while there is no URL."""
        return self.target.where


def _check_close_codes(codes: frozenset[int]) -> None:
    if len(codes) > LIMITS.fatal_close_codes:
        raise SettingRefused(
            "fatal_close_codes", f"has more than {LIMITS.fatal_close_codes}", "too_large"
        )
    for code in sorted(codes):
        if not is_close_code(code):
            raise SettingRefused(
                "fatal_close_codes", f"has {code}, not a close code that a server can send"
            )


def _check_statuses(statuses: frozenset[int]) -> None:
    if len(statuses) > LIMITS.fatal_statuses:
        raise SettingRefused(
            "fatal_statuses", f"has more than {LIMITS.fatal_statuses}", "too_large"
        )
    for status in sorted(statuses):
        if not 400 <= status <= 599:
            raise SettingRefused("fatal_statuses", f"has {status}, not a refusal: 400 to 599")


def _check_subprotocols(names: tuple[str, ...]) -> None:
    if len(names) > LIMITS.subprotocols:
        raise SettingRefused("subprotocols", f"has more than {LIMITS.subprotocols}", "too_large")
    for index, name in enumerate(names):
        if not is_token(name):
            raise SettingRefused(f"subprotocols[{index}]", "must be letters, digits and -._ only")
    if len(set(names)) != len(names):
        raise SettingRefused("subprotocols", "lists the same subprotocol twice", "duplicate")


def _check_headers(headers: tuple[tuple[str, str], ...]) -> None:
    if len(headers) > LIMITS.handshake_headers:
        raise SettingRefused("headers", f"has more than {LIMITS.handshake_headers}", "too_large")
    seen: set[str] = set()
    for name, value in headers:
        if not is_token(name):
            raise SettingRefused("headers", "has a name that is not an HTTP header name")
        key = f"headers.{name}"
        if name.lower() in seen:
            raise SettingRefused(key, "is given twice", "duplicate")
        seen.add(name.lower())
        try:
            check_name(name, inserted=False)
            check_value(value, LIMITS.header_bytes)
        except HeaderRefused as exc:
            raise SettingRefused(key, exc.message, exc.problem) from None


def _check_origin(text: str) -> None:
    try:
        url = Url.parse(text, REQUEST_SCHEMES)
    except UrlRefused as exc:
        raise SettingRefused("origin", exc.message) from None
    origin = f"{url.scheme}://{url.host_header}"
    if text != origin:
        raise SettingRefused("origin", f'must be an origin without a path, as "{origin}"')
