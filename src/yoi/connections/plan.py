"""`ConnectionPlan`: all that one host-owned connection is, checked before anything is dialled."""

from collections.abc import Callable
from dataclasses import dataclass

from yoi.connections.close_codes import is_close_code
from yoi.connections.handshake import check_header, check_subprotocol
from yoi.core.frame_watch import LastPointer
from yoi.limits import LIMITS
from yoi.permissions import Decision, Url


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPlan:
    """One declared connection. Raises ValueError for values no handshake may carry.

    `authorise` is asked before every dial; it answers for the grants as they are then. The bound on
    a message comes with its answer. Times are milliseconds.
    """

    name: str
    ingress: str
    url: Url | None
    """The manifest's; None where only the plugin says where to dial."""
    authorise: Callable[[Url], Decision]
    where: str = ""
    """What status shows while there is no URL: the target in words."""
    deliver: frozenset[str] = frozenset({"text"})
    """What the plugin hears. The driver reports everything; its sink sifts (W3, W5)."""
    subprotocols: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    ping_ms: float = LIMITS.ping_ms
    pong_ms: float = LIMITS.pong_ms
    pause_grace_ms: float = LIMITS.pause_grace_ms
    backoff_first_ms: float = LIMITS.backoff_first_ms
    backoff_max_ms: float = LIMITS.backoff_max_ms
    fatal_close_codes: frozenset[int] = frozenset()
    dial_at_start: bool = True
    """False: nothing is dialled before `HostConnection.open`."""
    ready_by_command: bool = False
    """Only `HostConnection.ready` proves a session; else a message and a while do."""
    last: tuple[LastPointer, ...] = ()
    fresh_after: int | None = None
    """Failures in a row to get ready until a URL of the plugin's is given up."""
    overlap_ms: float = 0.0
    """How long the old session may drain beside its successor; zero: it is closed first."""
    send_per_second: int = LIMITS.send_per_second

    def __post_init__(self) -> None:
        if self.url is None and self.dial_at_start:
            raise ValueError("without a URL nothing can be dialled at the start")
        if self.url is not None and self.url.scheme not in ("ws", "wss"):
            raise ValueError(f"{self.url.display} is not a WebSocket URL")
        for value in (self.ping_ms, self.pong_ms, self.backoff_first_ms):
            if value <= 0:
                raise ValueError("times must be positive")
        if self.overlap_ms < 0 or self.send_per_second < 1:
            raise ValueError("overlap_ms is negative, or send_per_second is below 1")
        if self.fresh_after is not None and self.fresh_after < 1:
            raise ValueError("fresh_after is below 1")
        if len(self.last) > LIMITS.last_values:
            raise ValueError(f"more than {LIMITS.last_values} last values")
        if self.backoff_first_ms > self.backoff_max_ms:
            raise ValueError("backoff_first_ms is over backoff_max_ms")
        if len(self.subprotocols) > LIMITS.subprotocols:
            raise ValueError(f"more than {LIMITS.subprotocols} subprotocols")
        if len(set(self.subprotocols)) != len(self.subprotocols):
            raise ValueError("a subprotocol is offered twice")
        for protocol in self.subprotocols:
            check_subprotocol(protocol, LIMITS)
        if len(self.headers) > LIMITS.handshake_headers:
            raise ValueError(f"more than {LIMITS.handshake_headers} headers")
        for header, text in self.headers:
            check_header(header, text, LIMITS)
        if self.origin is not None and not (
            self.origin.isascii() and self.origin.isprintable() and " " not in self.origin
        ):
            raise ValueError("the origin is not printable ASCII")
        for code in self.fatal_close_codes:
            if not is_close_code(code) and code not in (1005, 1006):
                raise ValueError(f"{code} is not a close code")
