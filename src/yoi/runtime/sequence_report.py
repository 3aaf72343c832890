"""`SequenceReport`: tells what the numbers in one connection's messages prove, and counts it."""

from collections.abc import Callable
from typing import Any

from yoi.core.continuity import Judged, Missing, SequenceWatch, Verdict
from yoi.core.session_values import LAST_COUNT
from yoi.limits import LIMITS
from yoi.permissions.sequence import SequenceSettings
from yoi.types import Clock, SessionId

Tell = Callable[[SessionId, int, int, str, int | None, list[dict[str, Any]]], None]
"""Tells a gap: session, since and until in wall ms, why, how many are missing, which."""


class SequenceReport:
    """See the module docstring. `gap` tells a gap, `warn` a session and something in words."""

    def __init__(
        self,
        settings: SequenceSettings,
        name: str,
        clock: Clock,
        gap: Tell,
        warn: Callable[[SessionId, str], None],
        complete_ms: Callable[[], int],
    ) -> None:
        self.gaps = 0
        self.duplicates = 0
        self.unread = 0
        self._watch = SequenceWatch(settings)
        self._name = name
        self._clock = clock
        self._gap = gap
        self._warn = warn
        self._complete_ms = complete_ms
        self._told: dict[SessionId, set[Verdict | None]] = {}

    def opened(self, session: SessionId) -> None:
        """A session begins."""
        self._watch.opened(session)
        self._told[session] = set()

    def closed(self, session: SessionId) -> None:
        """A session is over."""
        self._watch.closed(session)
        self._told.pop(session, None)

    def repeated(self, session: SessionId, text: str) -> bool:
        """Return whether the numbers of a message came before; tell a gap that they show."""
        judged = self._watch.judge(session, text, self._clock.wall_ms())
        match judged.verdict:
            case Verdict.DUPLICATE:
                self.duplicates += 1
                return True
            case Verdict.GAP | Verdict.BACK:
                self.gaps += 1
                self._tell_gap(session, judged)
            case Verdict.UNREADABLE:
                self.unread += 1
                self._once(session, judged.verdict, judged.why)
        if judged.forgot:
            self._once(
                session,
                None,
                f"there are more than {LIMITS.sequence_keys} sequences: those seen longest ago are "
                "forgotten, and begin anew",
            )
        return False

    def _tell_gap(self, session: SessionId, judged: Judged) -> None:
        until_ms = self._clock.wall_ms()
        missing = judged.missing
        if missing is None:
            self._once(session, judged.verdict, judged.why)
            self._gap(session, self._complete_ms(), until_ms, "sequence", None, [])
            return
        since_ms = min(missing.since_ms, until_ms)
        self._gap(session, since_ms, until_ms, "sequence", missing.count, [_range(missing)])

    def _once(self, session: SessionId, cause: Verdict | None, message: str) -> None:
        """Tell once per session and cause: a server could make it happen with every message."""
        told = self._told.setdefault(session, set())
        if cause not in told:
            told.add(cause)
            self._warn(session, f"{self._name}: {message}")


def _range(missing: Missing) -> dict[str, Any]:
    return {"per": missing.key, "first": _number(missing.first), "last": _number(missing.last)}


def _number(value: int) -> int | str:
    """Return a number as JSON that every reader has exactly: a text where it is too large."""
    return value if abs(value) <= LAST_COUNT else str(value)
