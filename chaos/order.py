"""One client's transcript, step by step: is each event the next one, and what do they add up to?"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from chaos import fold
from chaos.transcript import REPEATED, Json, Place, Step

Kind = Literal["gap", "duplicate", "reorder", "diverged", "leak"]
UNEXCUSED = frozenset({"client.unannounced", "client.gap", "client.malformed_frame"})
"""The library's own words for what a server did wrong: no fault of a network brings them about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be."""

    kind: Kind
    where: str
    words: str


@dataclass(slots=True)
class Followed:
    """What a transcript comes to. `over` says why the client was told that nothing follows."""

    place: Place | None = None
    state: Json | None = None
    over: str = ""
    events: int = 0
    as_of: int = 0
    """States as of a cursor that were asked for, and came."""
    resyncs: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


Passed = Callable[[Place, Json], None]


def follow(where: str, steps: Iterable[Step], passed: Passed = lambda *_: None) -> Followed:
    """Return what `steps` come to; `passed` hears each place that was reached by events."""
    reader = _Reader(where, passed)
    for step in steps:
        reader.take(step)
    return reader.found


class _Reader:
    def __init__(self, where: str, passed: Passed) -> None:
        self.found = Followed()
        self._where = where
        self._passed = passed
        self._announced = ""
        self._again = False
        self._seen: dict[str, set[int]] = {}

    def take(self, step: Step) -> None:
        match step.kind:
            case "open":
                # What one connection announces excuses nothing on the next.
                self._announced, self._again = "", step.again and step.cursor is not None
            case "resync":
                self.found.resyncs[step.code] += 1
                self._announced = step.code
                if step.code in UNEXCUSED:
                    self._add("gap", f"the library gave the place up: {step.code}")
            case "snapshot":
                assert step.place is not None
                self._snapshot(step.place, step.payload)
            case "event":
                assert step.place is not None
                self._event(step.place, step.payload)
            case "said":
                self.found.said[step.code] += 1
                if step.code == "resumed":
                    self._again = False
                elif step.code == REPEATED:
                    self._add("duplicate", "the library dropped events that came again")
            case "over":
                self.found.over = step.code

    def _snapshot(self, place: Place, payload: Json) -> None:
        known, state = self.found.place, self.found.state
        fresh = fold.begin(payload)
        if known is not None and not self._announced:
            if not self._again:
                self._add("gap", f"a snapshot at {place} that nothing announced, after {known}")
            elif place != known:
                self._add("gap", f"the state as of {known} was asked for, that of {place} came")
            else:
                self._as_of(place, state, fresh)
        if known is not None and place.epoch == known.epoch and place.seq < known.seq:
            self._add("reorder", f"back from {known} to a snapshot at {place}")
        if known is not None and place.epoch != known.epoch and place.epoch in self._seen:
            self._add("reorder", f"an epoch that was over is back: {place}")
        self._seen.setdefault(place.epoch, set())
        self._announced, self._again = "", False
        self.found.place, self.found.state = place, fresh

    def _as_of(self, place: Place, state: Json | None, fresh: Json) -> None:
        self.found.as_of += 1
        if state is not None and (wrong := fold.differences(state, fresh)):
            self._add("diverged", f"the snapshot as of {place} has another {', '.join(wrong)}")

    def _event(self, place: Place, payload: Json) -> None:
        known, state = self.found.place, self.found.state
        self.found.events += 1
        if known is None or state is None:
            self._add("gap", f"event {place} before any state")
            return
        if self._announced:
            self._add("gap", f"event {place} where a snapshot was announced")
        seen = self._seen.setdefault(place.epoch, set())
        if place.seq in seen:
            self._add("duplicate", f"event {place} came again, at {known}")
            return
        if place.epoch != known.epoch:
            self._add("gap", f"from {known} to {place} without a word")
        elif place.seq < known.seq:
            self._add("reorder", f"event {place} after {known}")
            return
        elif place.seq == known.seq:
            self._add("duplicate", f"event {place} is in the snapshot before it")
            return
        elif place.seq != known.seq + 1:
            self._add("gap", f"{place.seq - known.seq - 1} events missing before {place}")
        seen.add(place.seq)
        fold.apply(state, payload)
        self.found.place = place
        self._passed(place, state)

    def _add(self, kind: Kind, words: str) -> None:
        self.found.findings.append(Finding(kind, self._where, words))
