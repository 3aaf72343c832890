"""What of an entry is in force: what was decided and stands in the file, key by key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from yoi.decisions.entries import Content, text
from yoi.decisions.keys import ANY_LOOPBACK_PORT, GRANT_KEYS, SETTING, Kind, Rule, section_of
from yoi.errors import YoiError
from yoi.permissions import PermissionSet


class Turn(Enum):
    """What the file says of something, beside what was decided."""

    NEW = "new"
    WIDER = "wider"
    OTHER = "changed"
    """Neither more nor less: another model, address, setting or secret."""
    NARROWER = "narrower"
    GONE = "gone"


_PENDING = frozenset({Turn.NEW, Turn.WIDER, Turn.OTHER})


@dataclass(frozen=True, slots=True)
class Change:
    """One key, or one thing in a list, that the file says otherwise."""

    turn: Turn
    at: str
    """The dotted key; empty for the entry as a whole."""
    before: Any = None
    after: Any = None


@dataclass(slots=True)
class Verdict:
    """One entry. `in_force` is None where nothing of it may run."""

    entry: str
    in_force: Content | None
    keep: Content | None
    """What stays decided: without what the file no longer says. None: nothing."""
    changes: list[Change] = field(default_factory=list)

    @property
    def pending(self) -> list[Change]:
        """What waits for a decision."""
        return [change for change in self.changes if change.turn in _PENDING]

    @property
    def narrowed(self) -> list[Change]:
        """What the file no longer says."""
        return [change for change in self.changes if change.turn not in _PENDING]


def compare(entry: str, decided: Content | None, file: Content | None) -> Verdict:
    """Return what of `entry` is in force, what stays decided, and what is different."""
    if file is None:
        gone = [] if decided is None else [Change(Turn.GONE, "", decided)]
        return Verdict(entry, None, None, gone)
    if decided is None:
        return _undecided(entry, file)
    meet = _Meet()
    in_force, keep = meet.tables(section_of(entry).keys, decided, file, "")
    return Verdict(entry, in_force, keep, meet.changes)


def _undecided(entry: str, file: Content) -> Verdict:
    """Return the verdict on an entry without a decision: a table may say no more than its absence.

    A plugin, a worker or an upstream is something more in any case.
    """
    section = section_of(entry)
    if not section.many and section.keys:
        meet = _Meet()
        in_force, _ = meet.tables(section.keys, {}, file, "")
        if not meet.changes:
            return Verdict(entry, in_force, None)
    return Verdict(entry, None, None, [Change(Turn.NEW, "", None, file)])


class _Meet:
    """Compares tables and collects what is different."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def tables(
        self, keys: Mapping[str, Rule], decided: Content, file: Content, at: str
    ) -> tuple[Content | None, Content]:
        """Return what both say, None where a setting differs; and what stays decided."""
        in_force: Content | None = {}
        keep: Content = {}
        for key in [*file, *(key for key in decided if key not in file)]:
            rule = keys.get(key, SETTING)
            place = f"{at}.{key}" if at else key
            ok, common, kept = self._values(rule, decided.get(key), file.get(key), place)
            if kept is not None:
                keep[key] = kept
            if not ok:
                in_force = None
            elif in_force is not None and common is not None:
                in_force[key] = common
        return in_force, keep

    def _values(self, rule: Rule, decided: Any, file: Any, at: str) -> tuple[bool, Any, Any]:
        """Return whether the two have something in common, that, and what stays decided.

        None stands for an absent key, which TOML cannot say otherwise.
        """
        if rule.kind is Kind.HARMLESS:
            return True, file, file
        if text(decided) == text(file):
            return True, file, decided
        if rule.kind is Kind.LISTEN and isinstance(file, str) and file in ANY_LOOPBACK_PORT:
            return True, file, decided
        if rule.kind is Kind.AT_MOST and _numbers(decided, file):
            return self._ordered(_limit(decided, rule), _limit(file, rule), decided, file, at)
        if rule.kind is Kind.CHOICE:
            places = [_place(rule, decided), _place(rule, file)]
            if None not in places:
                return self._ordered(places[0], places[1], decided, file, at)
        if rule.kind is Kind.SET and _texts(decided) and _texts(file):
            return self._sets(rule, decided, file, at)
        if rule.kind is Kind.ROWS and _rows(decided) and _rows(file):
            return self._rows(rule, decided or [], file or [], at)
        if rule.kind is Kind.GRANTS:
            made = self._grants(decided or {}, file or {}, at)
            if made is not None:
                return made
        self.changes.append(Change(Turn.OTHER, at, decided, file))
        return False, None, decided

    def _ordered(
        self, before: Any, after: Any, decided: Any, file: Any, at: str
    ) -> tuple[bool, Any, Any]:
        if before == after:
            return True, file, file
        wider = after > before
        turn = Turn.WIDER if wider else Turn.NARROWER
        self.changes.append(Change(turn, at, decided, file))
        less = decided if wider else file
        return True, less, less

    def _sets(self, rule: Rule, decided: Any, file: Any, at: str) -> tuple[bool, Any, Any]:
        before = rule.default if decided is None else decided
        after = rule.default if file is None else file
        if before is None or after is None:
            # None is all there are.
            return self._ordered(before is None, after is None, decided, file, at)
        for turn, more, less in ((Turn.WIDER, after, before), (Turn.GONE, before, after)):
            for one in more:
                if one not in less:
                    pair = (None, one) if turn is Turn.WIDER else (one, None)
                    self.changes.append(Change(turn, at, *pair))
        common = [one for one in after if one in before]
        return True, common, common

    def _rows(
        self, rule: Rule, decided: list[Any], file: list[Any], at: str
    ) -> tuple[bool, Any, Any]:
        before, after = _named(rule, decided), _named(rule, file)
        if before is None or after is None:
            self.changes.append(Change(Turn.OTHER, at, decided, file))
            return False, None, decided
        in_force, keep = [], []
        for name, row in after.items():
            where = f"{at}[{name}]"
            if name not in before:
                self.changes.append(Change(Turn.NEW, where, None, row))
                continue
            common, kept = self.tables(rule.keys, before[name], row, where)
            keep.append(kept)
            if common is not None:
                in_force.append(common)
        for name, row in before.items():
            if name not in after:
                self.changes.append(Change(Turn.GONE, f"{at}[{name}]", row))
        return True, in_force, keep

    def _grants(self, decided: Content, file: Content, at: str) -> tuple[bool, Any, Any] | None:
        """Return the common grants; None where one of the two is no grant."""
        before, after = _parsed(decided), _parsed(file)
        if before is None or after is None:
            return None
        common = after.within(before)
        for turn, some in (
            (Turn.NEW, after.beyond(common)),
            (Turn.GONE, before.beyond(common)),
        ):
            for name, things in some.to_tables().items():
                for thing in things if isinstance(things, list) else [things]:
                    pair = (None, thing) if turn is Turn.NEW else (thing, None)
                    self.changes.append(Change(turn, f"{at}.{name}", *pair))
        # The identity in a grant must be the entry's, and the file's parser says so.
        bound = {key: value for key, value in file.items() if key not in GRANT_KEYS}
        made = {**bound, **{key: rows for key, rows in common.to_tables().items() if rows}}
        return True, made, made


def _parsed(grants: Any) -> PermissionSet | None:
    if not isinstance(grants, dict):
        return None
    try:
        return PermissionSet.parse(**{key: grants[key] for key in GRANT_KEYS if key in grants})
    except (YoiError, AttributeError, TypeError):
        return None


def _numbers(*values: Any) -> bool:
    return all(value is None or type(value) is int for value in values)


def _limit(value: Any, rule: Rule) -> float:
    value = rule.default if value is None else value
    return float("inf") if value is None else value


def _place(rule: Rule, value: Any) -> int | None:
    value = rule.default if value is None else value
    same = [n for n, one in enumerate(rule.choices) if type(one) is type(value) and one == value]
    return same[0] if same else None


def _texts(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _rows(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(one, dict) for one in value)
    )


def _named(rule: Rule, rows: list[Content]) -> dict[str, Content] | None:
    """Return rows by name, None where two have one name or one has none."""
    named: dict[str, Content] = {}
    only = None if rule.identity else ""
    for row in rows:
        name = next((row[key] for key in rule.identity if key in row), only)
        if not isinstance(name, str) or name in named:
            return None
        named[name] = row
    return named
