"""What is known of the watched entities: each change is told once, also after a break.

The hub tells states in a short form (`subscribe_entities`): `a` has all states, first of all
when a subscription begins; `c` what has changed; `r` which entities are gone. `s` is the state and
`lc` when it last changed, in seconds.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Change(NamedTuple):
    """One change. `text` is empty for a state that is heard for the first time."""

    id: str
    text: str


class House:
    """The last state of each watched entity, and when it came about."""

    def __init__(self, entities: Iterable[str], kept: Mapping[str, Any]) -> None:
        self.entities = tuple(dict.fromkeys(entities))
        self.seen: dict[str, tuple[str, float]] = {
            entity: (str(state), float(since))
            for entity, (state, since) in kept.items()
            if entity in self.entities
        }

    def changes(self, told: Any) -> list[Change]:
        """Return what is new in the hub's message `told`."""
        if not isinstance(told, dict):
            return []
        found = [
            self._change(entity, one, " (seen after a break)") for entity, one in _of(told, "a")
        ]
        found += [self._change(entity, one.get("+"), "") for entity, one in _of(told, "c")]
        return [one for one in found if one is not None]

    def kept(self) -> dict[str, list[Any]]:
        """Return what to keep: an instance after this one goes on from it."""
        return {entity: [state, since] for entity, (state, since) in self.seen.items()}

    def shown(self) -> dict[str, dict[str, str]]:
        """Return the states for a reader."""
        return {
            entity: {"state": state, "since": datetime.fromtimestamp(since, UTC).isoformat()}
            for entity, (state, since) in sorted(self.seen.items())
        }

    def _change(self, entity: str, now: Any, how: str) -> Change | None:
        if entity not in self.entities or not isinstance(now, dict):
            return None
        state, since = now.get("s"), now.get("lc")
        if not isinstance(state, str) or not isinstance(since, int | float):
            return None  # an attribute changed, the state did not
        before = self.seen.get(entity)
        if before is not None and since <= before[1]:
            return None  # known: told again, or older than what is known
        self.seen[entity] = state[:100], since
        if before is None or before[0] == state:
            return Change(f"{entity}@{since}", "")
        return Change(f"{entity}@{since}", f"{entity}: {before[0]} -> {state[:100]}{how}")


def _of(told: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    entries = told.get(key)
    if not isinstance(entries, dict):
        return []
    return [(entity, one) for entity, one in entries.items() if isinstance(one, dict)]
