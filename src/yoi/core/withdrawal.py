"""When something that the operator's file no longer says stops being in force.

    SETTLED ──▶ WITHDRAWING   readable, and something is missing: gone after `withdraw_ms`
       │  ▲          │
       ▼  │          ▼
    WRITING ────▶ UNUSABLE    beginning of the last content of the same file, empty or unreadable:
                              waits for `being_written_ms`, then an alert; nothing else changes

Each state may follow each other one but for UNUSABLE ─▶ WRITING: time that has run out stays run
out until a whole content is read. What the file newly says is taken at once; what it no longer
says is kept until every readable content for `withdraw_ms` has lacked it, so that neither touching
the file holds a withdrawal off, nor a copy that stalls half way causes one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits

RowKey = tuple[str, str]
"""A list of the entry and what identifies a row in it."""
_Atom = tuple[str, RowKey | None, str]
"""Entry, row (None: the settings of the entry) and content."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file says under one name: settings that belong together, and rows that do not."""

    settings: str
    rows: Mapping[RowKey, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the file: its bytes, and its entries, or why there are none."""

    content: bytes
    entries: Mapping[str, Entry] = field(default_factory=dict)
    fault: YoiError | None = None
    source: str = ""
    """Where the links on the way to the file led: what a link is swapped to is another file."""


class Phase(Enum):
    """How far the file is from what is in force."""

    SETTLED = "settled"
    WITHDRAWING = "withdrawing"
    WRITING = "writing"
    UNUSABLE = "unusable"


_NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.SETTLED: frozenset(Phase),
    Phase.WITHDRAWING: frozenset(Phase),
    Phase.WRITING: frozenset(Phase),
    Phase.UNUSABLE: frozenset({Phase.UNUSABLE, Phase.SETTLED, Phase.WITHDRAWING}),
}


class Withdrawal:
    """What one file says, as far as it may be believed. `now` is monotonic seconds."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.phase = Phase.SETTLED
        self.effective: dict[str, Entry] = {}
        """What counts now: what the file says, and what it has not lacked for long enough."""
        self.fault: YoiError | None = None
        """Why the last content could not be read, None when it could."""
        self._withdraw = limits.withdraw_ms / 1000
        self._patience = limits.being_written_ms / 1000
        self._seen: Mapping[str, Entry] = {}
        self._last: bytes | None = None
        self._source = ""
        self._absent: dict[_Atom, float] = {}
        self._unfinished_since: float | None = None

    def read(self, reading: Reading, now: float) -> None:
        """Take note of what the file says at `now`."""
        self.fault = reading.fault
        finished = self._finished(reading, now)
        if finished:
            self._whole(reading)
        if reading.fault is None:
            for atom in _atoms(reading.entries):
                self._absent.pop(atom, None)
        if finished:
            said = set(_atoms(reading.entries))
            for atom in _atoms(self.effective):
                if atom not in said:
                    self._absent.setdefault(atom, now)
        self._compose(now)
        self._transition(self._judge(now))

    def decided(self, names: Iterable[str] | None, reading: Reading, now: float) -> None:
        """Take the entries `names` (None: all) as the file says them: a command of Yoi wrote it."""
        if reading.fault is None:
            chosen = set(self.effective) | set(reading.entries) if names is None else set(names)
            seen = dict(self._seen)
            for name in chosen:
                for there in (self.effective, seen):
                    there.pop(name, None)
                    if name in reading.entries:
                        there[name] = reading.entries[name]
            self._seen = seen
            if _same(reading.entries, self.effective):
                # Also an empty file: nothing is missing from it.
                self._whole(reading)
                self._unfinished_since = None
        self.read(reading, now)

    @property
    def due(self) -> float | None:
        """When `read` must be called again though the file does not change, or None."""
        times = [since + self._withdraw for since in self._absent.values()]
        if self.phase is Phase.WRITING and self._unfinished_since is not None:
            times.append(self._unfinished_since + self._patience)
        return min(times, default=None)

    def _finished(self, reading: Reading, now: float) -> bool:
        """Return whether the content counts as written to its end."""
        readable = reading.fault is None and bool(reading.entries)
        beginning = (
            self._last is not None
            and self._source == reading.source
            and len(reading.content) < len(self._last)
            and self._last.startswith(reading.content)
        )
        if self._last is None and reading.fault is None:
            return True
        if readable and not beginning:
            self._unfinished_since = None
            return True
        if not self.effective and reading.fault is None:
            # An empty file is missing nothing where nothing is in force.
            self._unfinished_since = None
            return True
        if self._unfinished_since is None:
            self._unfinished_since = now
        if not readable or now < self._unfinished_since + self._patience:
            return False
        # Long enough for a copy: then a beginning is all there is.
        self._unfinished_since = None
        return True

    def _whole(self, reading: Reading) -> None:
        self._seen, self._last, self._source = reading.entries, reading.content, reading.source

    def _compose(self, now: float) -> None:
        gone = {atom for atom, since in self._absent.items() if now >= since + self._withdraw}
        made: dict[str, Entry] = {}
        for name in [*self._seen, *(n for n in self.effective if n not in self._seen)]:
            entry = _joined(name, self._seen.get(name), self.effective.get(name), gone)
            if entry is not None:
                made[name] = entry
        self.effective = made
        left = set(_atoms(made))
        self._absent = {a: since for a, since in self._absent.items() if a in left}

    def _judge(self, now: float) -> Phase:
        if self._unfinished_since is None:
            return Phase.WITHDRAWING if self._absent else Phase.SETTLED
        if now < self._unfinished_since + self._patience:
            return Phase.WRITING
        return Phase.UNUSABLE

    def _transition(self, to: Phase) -> None:
        if to not in _NEXT[self.phase]:
            raise AssertionError(f"{self.phase} does not become {to}")
        self.phase = to


def _atoms(entries: Mapping[str, Entry]) -> Iterable[_Atom]:
    for name, entry in entries.items():
        yield name, None, entry.settings
        for key, row in entry.rows.items():
            yield name, key, row


def _joined(name: str, seen: Entry | None, kept: Entry | None, gone: set[_Atom]) -> Entry | None:
    """Return what counts of one entry: what was seen, and what was kept and is not gone yet."""
    if kept is None:
        return seen
    holds = (name, None, kept.settings) not in gone
    if seen is None and not holds:
        return None
    rows = {} if seen is None else dict(seen.rows)
    for key, row in kept.rows.items():
        if (name, key, row) not in gone:
            rows[key] = row
    return Entry(kept.settings if holds or seen is None else seen.settings, rows)


def _same(left: Mapping[str, Entry], right: Mapping[str, Entry]) -> bool:
    return set(_atoms(left)) == set(_atoms(right))
