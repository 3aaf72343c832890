"""What the demo proves: each frame of the gateway was answered, or lies inside a reported gap."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yoi.limits import LIMITS


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which the host said that frames may be missing; milliseconds since 1970."""

    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The account of every frame; `frames` is the sum of the next four."""

    frames: int
    replies: int
    lost_in_gap: int
    """Sent while the host said that frames may be missing."""
    answers_lost: int
    """Taken by the host; the gateway was gone before the answer could reach it."""
    unaccounted: int

    @property
    def sound(self) -> bool:
        """Return whether nothing is unexplained."""
        return self.unaccounted == 0


def settle(report: Mapping[str, Any], gaps: Iterable[Gap]) -> Verdict:
    """Return the verdict over the gateway's final report and the gaps that the host told.

    A frame that was on its way through the plugin when the connection broke was sent a moment
    before the gap begins, which is when the host last heard from the gateway; that moment is
    bounded by the deadline of a dispatch, `LIMITS.dispatch_ms`.
    """
    known = list(gaps)
    lost_in_gap = answers_lost = 0
    for frame in report["unanswered"]:
        sent = frame["sent_ms"]
        if any(gap.since_ms <= sent <= gap.until_ms for gap in known):
            lost_in_gap += 1
        elif any(gap.since_ms - LIMITS.dispatch_ms <= sent <= gap.until_ms for gap in known):
            answers_lost += 1
    unanswered = report["sent"] - report["answered"]
    return Verdict(
        frames=report["sent"],
        replies=report["answered"],
        lost_in_gap=lost_in_gap,
        answers_lost=answers_lost,
        unaccounted=unanswered - lost_in_gap - answers_lost,
    )
