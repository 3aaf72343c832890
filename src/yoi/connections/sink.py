"""`ConnectionSink`: what one connection reports to."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from yoi.core.session_effects import OpenReason
from yoi.errors import YoiError
from yoi.types import SessionId


class ConnectionSink(Protocol):
    """Hears everything about one connection, on the loop; never awaited.

    Per session the order is: `opened`, its messages, `closed`. Without overlap one session is
    closed before the next is opened, with a `gap` between; with overlap two may be open for a
    while, and a gap follows only an old session that was lost.
    """

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        """A session has begun."""
        ...

    def text(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None = None
    ) -> None:
        """One text message of `size` bytes, and the command of the plugin's that it answers."""
        ...

    def once_taken(self, then: Callable[[], None]) -> None:
        """Call `then` once the message just delivered is safe with the host, if it ever is."""
        ...

    def binary(self, session: SessionId, data: bytes) -> None:
        """One binary message."""
        ...

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        """The session is over; no message of it follows."""
        ...

    def gap(self, session: SessionId | None, since_ms: int, until_ms: int, why: str) -> None:
        """Messages may be missing between the two moments, after `session`."""
        ...

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        """A dial or a session failed; None means that it is not dialled again."""
        ...

    def reconnect_needed(
        self, session: SessionId | None, why: str, attempt: int, retry_in_ms: float, fresh: bool
    ) -> None:
        """The plugin must supply a URL, or (`fresh`) give up what it tried to resume.

        `session` is the last one, `why` a word, `attempt` how many failed in a row. Said when a URL
        would be dialled at once; where `retry_in_ms` is not zero, it waits that long.
        """
        ...

    def notice(self, code: str, message: str, fields: Mapping[str, Any]) -> None:
        """Something a person may want to know."""
        ...
