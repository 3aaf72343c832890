"""`SequenceWatch`: proves by the numbers in a connection's messages that none is missing. Sans-I/O.

    verdict      the message                                              its key's sequence
    OUTSIDE      has no number: it is in no sequence                      stays
    FIRST        is the first of its key, or begins it anew               begins
    NEXT         follows what was seen                                    goes on
    GAP          follows numbers that were not seen                       goes on behind them
    DUPLICATE    has only numbers that were seen                          stays
    LATE         has numbers that were missing                            has them now
    BACK         lies below all that was seen                             begins anew
    UNREADABLE   has a number that is none, or lacks one of several       stays

What is unreadable proves nothing: the next message that can be read shows what was missed with it.
Of each key the last few runs of numbers are kept, and of all keys those seen last, so whatever a
server sends costs a bounded memory. A number in a run that was forgotten is LATE, never DUPLICATE:
a plugin may leave out what is marked, and must not lose what it never had.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from yoi.core.frame_key import canonical_key
from yoi.core.frame_search import PointerReader
from yoi.core.session_values import LAST_COUNT
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.permissions.sequence import SequenceReset, SequenceSettings
from yoi.types import SessionId

Json = Any
_ABSENT: Final = object()
_WHOLE = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_TEXT_MAX: Final = 2**64 - 1
"""The largest number written as a text; digits in a text are exact, whatever reads them."""


class Verdict(Enum):
    """See the module docstring."""

    OUTSIDE = "outside"
    FIRST = "first"
    NEXT = "next"
    GAP = "gap"
    DUPLICATE = "duplicate"
    LATE = "late"
    BACK = "back"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Missing:
    """Numbers from `first` to `last` that were not seen; `count` of them, where that is known."""

    key: Json
    """The value that the messages share, None where all are one sequence."""
    first: int
    last: int
    count: int | None
    since_ms: int
    """When the message before them came."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the numbers of one message say; `why` in words where they say nothing."""

    verdict: Verdict
    missing: Missing | None = None
    why: str = ""
    forgot: bool = False
    """Whether another key's sequence had to be forgotten for this one."""


_OUTSIDE = Judged(Verdict.OUTSIDE)
_FIRST = Judged(Verdict.FIRST)
_FORGOT = Judged(Verdict.FIRST, forgot=True)
_NEXT = Judged(Verdict.NEXT)
_DUPLICATE = Judged(Verdict.DUPLICATE)
_LATE = Judged(Verdict.LATE)


class _Unreadable(Exception):
    """A message's numbers cannot be told, for the reason in words."""


class SequenceWatch:
    """See the module docstring. Sessions have sequences of their own where each open resets."""

    def __init__(self, settings: SequenceSettings, limits: Limits = LIMITS) -> None:
        self._settings = settings
        self._limits = limits
        self._reader = PointerReader(settings.pointers, limits)
        self._per_session = settings.reset is SequenceReset.OPEN
        self._shared = _Keys(limits)
        self._keys: dict[SessionId, _Keys] = {}

    def opened(self, session: SessionId) -> None:
        """A session begins."""
        if self._per_session:
            self._keys[session] = _Keys(self._limits)

    def closed(self, session: SessionId) -> None:
        """A session is over."""
        self._keys.pop(session, None)

    def judge(self, session: SessionId, text: str, now_ms: int) -> Judged:
        """Return what the message `text`, which came at `now_ms`, says about those before it."""
        found = self._reader.read(text)
        if found is None:
            return Judged(Verdict.UNREADABLE, why="the message holds too much to read its numbers")
        keys = self._keys.get(session, self._shared)
        settings = self._settings
        try:
            key, shown = self._key(found)
            reset = settings.reset
            if isinstance(reset, Match) and reset.fits(text, found):
                keys.forget(key)
            numbers = self._numbers(found)
            if numbers is None:
                return _OUTSIDE
            if settings.per is not None and key is None:
                raise _Unreadable(f"nothing that can be a key stands at {settings.per}")
        except _Unreadable as exc:
            return Judged(Verdict.UNREADABLE, why=str(exc))
        first, last, previous = numbers
        line = keys.line(key)
        if line is None:
            return _FORGOT if keys.begin(key, first, last, now_ms) else _FIRST
        judged = line.judge(first, last, previous, settings.step, shown)
        line.seen_ms = now_ms
        return judged

    def _key(self, found: Mapping[JsonPointer, Json]) -> tuple[str | None, Json]:
        """Return the key of a message and how it is told; None where it has none."""
        if self._settings.per is None:
            return None, None
        value = found.get(self._settings.per)
        key = canonical_key(value)
        return key, value if key is None or not key.startswith("#") else key

    def _numbers(self, found: Mapping[JsonPointer, Json]) -> tuple[int, int, int | None] | None:
        """Return first, last and previous; None where the message has none of them."""
        settings = self._settings
        places = (settings.first, settings.last, settings.previous)
        values = [None if at is None else found.get(at) for at in places]
        if all(value is None for value in values):
            return None
        for at, value in zip(places, values, strict=True):
            if at is not None and value is None and at != settings.previous:
                raise _Unreadable(f"a message has no number at {at}, beside others")
        last = _number(values[1], settings.last)
        first = last if settings.first is None else _number(values[0], settings.first)
        if first > last:
            raise _Unreadable(f"a message goes from {first} back to {last}")
        if settings.previous is None:
            return first, last, None
        # The first message of all may name none before it.
        before = values[2]
        return first, last, first - 1 if before is None else _number(before, settings.previous)


class _Keys:
    """The sequences of all keys, those seen last."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines: OrderedDict[str | None, _Line] = OrderedDict()

    def line(self, key: str | None) -> "_Line | None":
        """Return the sequence of `key`, which is then the one seen last."""
        line = self._lines.get(key)
        if line is not None:
            self._lines.move_to_end(key)
        return line

    def begin(self, key: str | None, first: int, last: int, now_ms: int) -> bool:
        """Begin the sequence of `key`; return whether another had to be forgotten for it."""
        full = len(self._lines) >= self._limits.sequence_keys
        if full:
            self._lines.popitem(last=False)
        self._lines[key] = _Line(first, last, now_ms, self._limits.sequence_runs)
        return full

    def forget(self, key: str | None) -> None:
        """Let the sequence of `key` begin anew; without a key, all of them."""
        if key is None:
            self._lines.clear()
        else:
            self._lines.pop(key, None)


class _Line:
    """One sequence: the runs of numbers that were seen, ascending."""

    __slots__ = ("_floor", "_most", "_runs", "seen_ms")

    def __init__(self, first: int, last: int, now_ms: int, most: int) -> None:
        self._runs = [(first, last)]
        self._floor = first
        """The lowest number since it began."""
        self._most = most
        self.seen_ms = now_ms

    def judge(self, first: int, last: int, previous: int | None, step: int, key: Json) -> Judged:
        """Return what a message with the numbers `first` to `last` says."""
        low, high = self._runs[-1]
        if previous is not None and previous == high:
            # The chain holds; numbers that begin anew under it belong to a new stretch.
            if last < high:
                self._restart(first, last)
            else:
                self._runs[-1] = (low, last)
            return _NEXT
        if last <= high:
            return self._behind(first, last, step)
        after = first if previous is None else previous + 1
        if after <= high + (step if previous is None else 1):
            if previous is None and first == last and (last - high) % step:
                self._append(first, last)
                return Judged(Verdict.GAP, why=f"{last} does not follow {high} by {step}")
            self._runs[-1] = (low, last)
            return _NEXT
        if previous is not None:
            return self._gap(after, last, high + 1, previous, None, key)
        if (first - high) % step:
            return self._gap(first, last, high + 1, first - 1, None, key)
        count = (first - high) // step - 1
        return self._gap(first, last, high + step, first - step, count, key)

    def _gap(
        self, low: int, last: int, from_: int, to: int, count: int | None, key: Json
    ) -> Judged:
        self._append(low, last)
        return Judged(Verdict.GAP, Missing(key, from_, to, count, self.seen_ms))

    def _append(self, low: int, high: int) -> None:
        self._runs.append((low, high))
        del self._runs[: -self._most]

    def _behind(self, first: int, last: int, step: int) -> Judged:
        if any(low <= first and last <= high for low, high in self._runs):
            return _DUPLICATE
        if last < self._floor:
            self._restart(first, last)
            return Judged(
                Verdict.BACK, why=f"the numbers went back to {first}, below all that were seen"
            )
        self._floor = min(self._floor, first)
        self._fill(first, last, step)
        return _LATE

    def _fill(self, first: int, last: int, step: int) -> None:
        """Add a run, and make one of those that touch."""
        runs: list[tuple[int, int]] = []
        for low, high in sorted((*self._runs, (first, last))):
            if runs and low <= runs[-1][1] + step:
                runs[-1] = (runs[-1][0], max(runs[-1][1], high))
            else:
                runs.append((low, high))
        self._runs = runs[-self._most :]

    def _restart(self, first: int, last: int) -> None:
        self._runs = [(first, last)]
        self._floor = first


def _number(value: Json, at: JsonPointer) -> int:
    """Return a whole number, written as such or as a text of digits."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        number = int(value)
        if abs(number) <= _TEXT_MAX:
            return number
        raise _Unreadable(f"the number at {at} is over {_TEXT_MAX}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) <= LAST_COUNT:
            return value
        raise _Unreadable(f"the number at {at} is over {LAST_COUNT}: not every reader has it exact")
    raise _Unreadable(f"what stands at {at} is no whole number")
