"""What a route decides about a client that wants to watch."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yoi.core.observation import Feed
from yoi.serving.channel import Channel
from yoi.serving.watcher import Watching


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """A request for a WebSocket. Header names are lower case; a repeated one stands twice."""

    path: str
    query: Mapping[str, str]
    headers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The client may watch: what, as which projection, from where.

    `left` is called once, when the watcher is gone.
    """

    channel: Channel[Any]
    feed: Feed[Any]
    watching: Watching
    cursor: str | None = None
    snapshot_always: bool = False
    notes: tuple[str, ...] = ()
    """Diagnostics to send after the first frames."""
    left: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True, slots=True)
class Declined:
    """The upgrade succeeds, the observation code `name` is told, and the socket closes with it."""

    name: str
    message: str | None = None
    retry_after_ms: int | None = None


Admit = Callable[[UpgradeRequest], Awaitable[Admitted | Declined]]
"""Raises `Refused` for what is answered with an HTTP status instead of an upgrade."""


class Refused(Exception):
    """An HTTP answer instead of what was asked for. `code` is a name of the contract's list."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
