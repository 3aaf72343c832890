"""`DialPolicy`: whether there is a URL to dial, and how long the next dial has to wait. Sans-I/O.

Where to dial. The driver holds the URL; this machine knows what kind of URL it is:

    state     may be dialled   left for
    NONE      no               SUPPLIED, TICKET: the plugin opens; OWN: it opens the manifest's
    OWN       yes              SUPPLIED, TICKET: the plugin opens another
    SUPPLIED  yes              TICKET, OWN: the plugin opens; OWN, NONE: it was given up
    TICKET    once             NONE: dialled or given up; SUPPLIED, OWN: as above

A URL of the plugin's is given up after `fresh_after` failures in a row: the manifest's own URL
takes its place, or the plugin is asked for a new one.

How long to wait. Every end of a session and every failed dial is judged: one that proved itself
(core/session.py) forgives earlier failures, any other counts as one more. The wait comes from the
backoff either way. A close code never decides it.
"""

from enum import Enum
from typing import TYPE_CHECKING

from yoi.core.backoff import FullJitter
from yoi.core.session_effects import Effect, Needed, UseOwnUrl
from yoi.errors import YoiError
from yoi.permissions.connection_settings import ConnectionSettings

if TYPE_CHECKING:
    from yoi.types import SessionId


class Source(Enum):
    """Which URL the next dial goes to."""

    NONE = "none"
    OWN = "own"
    """The manifest's."""
    SUPPLIED = "supplied"
    """The plugin's; it is dialled again after a lost session."""
    TICKET = "ticket"
    """The plugin's; it serves for one dial."""


_NEXT = {
    Source.NONE: (Source.OWN, Source.SUPPLIED, Source.TICKET),
    Source.OWN: (Source.OWN, Source.SUPPLIED, Source.TICKET),
    Source.SUPPLIED: (Source.SUPPLIED, Source.TICKET, Source.OWN, Source.NONE),
    Source.TICKET: (Source.TICKET, Source.SUPPLIED, Source.OWN, Source.NONE),
}


_GONE = frozenset({404, 410})
_FINAL_DENIALS = frozenset({"denied.not_requested", "denied.not_granted", "denied.unsupported"})


class DialPolicy:
    """See the module docstring. Times are monotonic seconds, delays milliseconds."""

    def __init__(self, settings: ConnectionSettings, backoff: FullJitter) -> None:
        self.source = Source.NONE if settings.url is None else Source.OWN
        self.failures = 0
        """How many times in a row no session got ready."""
        self.why = ""
        """Why the last dial or session ended, in a word."""
        self.last: SessionId | None = None
        """The last session."""
        self.due_at: float | None = None
        """When the dial is made that the connection waits for, if it waits for one."""
        self._settings = settings
        self._backoff = backoff
        self._delay_ms = 0.0
        self._not_before = float("-inf")
        self._gone = False
        """Whether the last dial was answered that there is nothing at its URL."""
        self._hastened = False

    # -- where -----------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Return whether there is a URL."""
        return self.source is not Source.NONE

    def supply(self, *, once: bool) -> None:
        """Take note that the plugin supplied a URL; `once`: for one dial."""
        self._transition(Source.TICKET if once else Source.SUPPLIED)

    def moved(self, now: float) -> None:
        """Take note that the URL supplied is another one: after a 404 it is dialled at once.

        Once in a row: URLs that all lead nowhere wait for the backoff.
        """
        if self._gone and not self._hastened:
            self._hastened = True
            self.release(now)

    def use_own(self) -> None:
        """Take note that the manifest's URL is wanted again."""
        self._transition(Source.OWN)

    def spend(self) -> None:
        """Take note of a dial: a ticket serves for no other."""
        if self.source is Source.TICKET:
            self._transition(Source.NONE)

    # -- when ------------------------------------------------------------------------------------

    def judge(self, now: float, *, proved: bool) -> float:
        """Count what happened and return how long the next dial waits."""
        if proved:
            self.forgive()
        else:
            self.failures += 1
        self.hold(now, self._backoff.next_ms())
        return self._delay_ms

    def fail(self, now: float, error: YoiError) -> float:
        """Count a failed dial and return how long the next one waits: as the server asks, or more.

        `error` has `retry_after_ms` where the server asked.
        """
        self.why = word_of(error)
        self._gone = error.fields.get("status") in _GONE
        self.judge(now, proved=False)
        asked_ms = error.fields.get("retry_after_ms")
        if asked_ms is not None and asked_ms > self._delay_ms:
            self.hold(now, asked_ms)
        return self._delay_ms

    def forgive(self) -> None:
        """Forget earlier failures."""
        self.failures = 0
        self._hastened = False
        self._backoff.reset()

    def hold(self, now: float, delay_ms: float) -> None:
        """Dial nothing for `delay_ms`."""
        self._delay_ms = delay_ms
        self._not_before = now + delay_ms / 1000

    def release(self, now: float) -> None:
        """Let the next dial go at once."""
        self._not_before = now

    def wait_ms(self, now: float) -> float:
        """Return how long the next dial has to wait."""
        return max(0.0, (self._not_before - now) * 1000)

    @property
    def not_before(self) -> float:
        """Return the moment of the earliest next dial."""
        return self._not_before

    # -- asking the plugin -----------------------------------------------------------------------

    def needed(self, retry_in_ms: float = 0.0) -> Needed:
        """Return the question for a URL."""
        return Needed(self.last, self.why, self.failures, retry_in_ms, self._stale)

    def escalate(self) -> list[Effect]:
        """Give a URL up that does not get ready; the plugin is told, once."""
        if not self._stale:
            return []
        if self.source is Source.OWN:
            first = self.failures == self._settings.fresh_after
            return [self.needed(self._delay_ms)] if first else []
        if self._settings.url is not None:
            self._transition(Source.OWN)
            return [UseOwnUrl(), self.needed(self._delay_ms)]
        if self.usable:
            self._transition(Source.NONE)  # the plugin is told when the wait is over
        return []

    @property
    def _stale(self) -> bool:
        after = self._settings.fresh_after
        return after is not None and self.failures >= after

    def _transition(self, to: Source) -> None:
        if to not in _NEXT[self.source]:
            raise YoiError("usage.internal", f"a URL cannot go from {self.source} to {to}")
        self.source = to


def word_of(error: YoiError | None) -> str:
    """Return why something ended, in a word: the end of the error's code, or `closed`."""
    return "closed" if error is None else error.code.partition(".")[2]


def is_final(error: YoiError) -> bool:
    """Return whether a dial that failed so would ask the same question of the same grants again."""
    return error.code in _FINAL_DENIALS
