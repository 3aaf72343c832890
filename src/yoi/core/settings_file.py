"""When what a file of settings says now is to be taken. Sans-I/O.

    SETTLED ──▶ UNSTABLE      another content: taken when the next look finds the same
       │  ▲         │
       ▼  │         ▼
    WRITING ────▶ UNUSABLE    gone, empty or the beginning of what was taken: waits for
                              `being_written_ms`; a beginning is then taken, the others are not

Each state may follow each other one. What was taken stays in force in all of them.
"""

from enum import Enum

from yoi.limits import LIMITS, Limits


class Phase(Enum):
    """How far the file is from what was taken."""

    SETTLED = "settled"
    UNSTABLE = "unstable"
    WRITING = "writing"
    UNUSABLE = "unusable"


class SettingsFile:
    """One file; `taken` is its content at the start, None where it was not there."""

    def __init__(self, taken: bytes | None, limits: Limits = LIMITS) -> None:
        self.phase = Phase.SETTLED
        self._taken = self._seen = taken
        self._patience = limits.being_written_ms / 1000
        self._unfinished_since: float | None = None

    @property
    def quiet(self) -> bool:
        """Return whether only another content would change anything."""
        return self.phase in (Phase.SETTLED, Phase.UNUSABLE)

    def look(self, content: bytes | None, now: float) -> bool:
        """Take note of the content at `now`; return whether it is taken at this moment."""
        same, self._seen = content == self._seen, content
        if content == self._taken:
            return self._is(Phase.SETTLED)
        if not self._unfinished(content):
            if not same:
                return self._is(Phase.UNSTABLE)
            self._taken = content
            return not self._is(Phase.SETTLED)
        if self._unfinished_since is None:
            self._unfinished_since = now
        if now < self._unfinished_since + self._patience:
            return self._is(Phase.WRITING, self._unfinished_since)
        if content is None or not content.strip():
            return self._is(Phase.UNUSABLE, self._unfinished_since)
        self._taken = content
        return not self._is(Phase.SETTLED)

    def _unfinished(self, content: bytes | None) -> bool:
        if self._taken is None:
            return False
        return content is None or not content.strip() or self._taken.startswith(content)

    def _is(self, phase: Phase, unfinished_since: float | None = None) -> bool:
        self.phase, self._unfinished_since = phase, unfinished_since
        return False
