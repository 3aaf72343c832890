"""A sink that a benchmark's connection reports to; what is not measured is let go."""

from collections.abc import Callable, Mapping
from typing import Any

from yoi.core.session_effects import OpenReason
from yoi.errors import YoiError
from yoi.types import SessionId


class QuietSink:
    """A `ConnectionSink` that does nothing; a benchmark overrides what it measures."""

    def opened(
        self, session: SessionId, subprotocol: str | None, address: str, reason: OpenReason
    ) -> None:
        pass

    def text(
        self, session: SessionId, text: str, size: int, in_reply_to: str | None = None
    ) -> None:
        pass

    def once_taken(self, then: Callable[[], None]) -> None:
        then()

    def binary(self, session: SessionId, data: bytes) -> None:
        pass

    def closed(self, session: SessionId, code: int, reason: str, clean: bool) -> None:
        pass

    def gap(self, session: SessionId | None, since_ms: int, until_ms: int, why: str) -> None:
        pass

    def failed(self, error: YoiError, retry_in_ms: float | None) -> None:
        pass

    def reconnect_needed(
        self, session: SessionId | None, why: str, attempt: int, retry_in_ms: float, fresh: bool
    ) -> None:
        pass

    def notice(self, code: str, message: str, fields: Mapping[str, Any]) -> None:
        pass
