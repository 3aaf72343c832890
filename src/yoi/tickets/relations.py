"""artifacts/relations.json: what an item depends on and what it is related to."""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from yoi.errors import TicketError
from yoi.limits import LIMITS
from yoi.tickets.files import encoded
from yoi.tickets.ids import TicketId, parse_id

DEPENDS_ON = "depends_on"
RELATED = "related"
KINDS = (DEPENDS_ON, RELATED)


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation, as it stands in the file of `ticket`."""

    ticket: str
    kind: str
    target: str
    note: str
    author: str
    at: str


def parse_relations(data: bytes) -> tuple[Relation, ...]:
    """Return the relations in a relations.json; kinds that Yoi does not know are kept.

    Raises TicketError (`ticket.relations`).
    """
    if len(data) > LIMITS.ticket_relations_bytes:
        raise _damage(f"is over {LIMITS.ticket_relations_bytes} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _damage(f"is not JSON: {exc}") from None
    rows = document.get("relations") if isinstance(document, dict) else None
    if not isinstance(rows, list) or document.get("version") != 1:
        raise _damage('is not {"version": 1, "relations": [...]}')
    if len(rows) > LIMITS.ticket_relations:
        raise _damage(f"holds more than {LIMITS.ticket_relations} relations")
    return tuple(_relation(index, row) for index, row in enumerate(rows))


def _relation(index: int, row: Any) -> Relation:
    if not isinstance(row, dict):
        raise _damage(f"relations[{index}] is not an object")
    found = {
        name: row.get(name, "") for name in ("ticket_id", "kind", "target", "note", "author", "at")
    }
    if not all(isinstance(value, str) for value in found.values()):
        raise _damage(f"relations[{index}] holds what is not text")
    return Relation(
        found["ticket_id"],
        found["kind"],
        found["target"],
        found["note"],
        found["author"],
        found["at"],
    )


def with_relation(data: bytes | None, relation: Relation) -> bytes:
    """Return the relations.json `data` (None: there is none) with `relation` added.

    What stands there is kept as it is, unknown keys too. Raises TicketError: `ticket.relations`
    where the file is damaged, `ticket.conflict` where the relation stands there already.
    """
    known = () if data is None else parse_relations(data)
    parse_id(relation.target)
    if any((one.kind, one.target) == (relation.kind, relation.target) for one in known):
        raise TicketError("ticket.conflict", f"it is {relation.kind} {relation.target} already")
    document: dict[str, Any] = {"version": 1, "relations": []}
    if data is not None:
        document = json.loads(data)
    document["relations"].append(
        {
            "ticket_id": relation.ticket,
            "kind": relation.kind,
            "target": relation.target,
            **({"note": relation.note} if relation.note else {}),
            "author": relation.author,
            "at": relation.at,
        }
    )
    return encoded(json.dumps(document, ensure_ascii=False, indent=2)) + b"\n"


@dataclass(frozen=True, slots=True)
class Linked:
    """All that is known of one item's relations, those that others wrote among them."""

    depends_on: tuple[str, ...]
    blocks: tuple[str, ...]
    related: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    """Relations of kinds that Yoi does not know: kind and target."""
    cycle: tuple[str, ...]
    """The dependencies that lead from the item back to itself; empty where there are none."""


class RelationGraph:
    """What the relations of all items say, read once and asked for many items."""

    def __init__(self, everything: Iterable[Relation]) -> None:
        self._depends: dict[str, dict[str, None]] = {}
        self._blocks: dict[str, dict[str, None]] = {}
        self._related: dict[str, dict[str, None]] = {}
        self._others: dict[str, list[tuple[str, str]]] = {}
        for one in everything:
            if one.kind == DEPENDS_ON:
                self._depends.setdefault(one.ticket, {})[one.target] = None
                self._blocks.setdefault(one.target, {})[one.ticket] = None
            elif one.kind == RELATED:
                self._related.setdefault(one.ticket, {})[one.target] = None
                self._related.setdefault(one.target, {})[one.ticket] = None
            else:
                self._others.setdefault(one.ticket, []).append((one.kind, one.target))
        self._in_cycles = self._untrimmed()

    def of(self, ticket: TicketId) -> Linked:
        """Return what is known of `ticket`."""
        return Linked(
            self.depends_on(ticket),
            tuple(self._blocks.get(ticket, ())),
            tuple(self._related.get(ticket, ())),
            tuple(self._others.get(ticket, ())),
            self._cycle(ticket),
        )

    def depends_on(self, ticket: TicketId) -> tuple[str, ...]:
        """Return what `ticket` depends on."""
        return tuple(self._depends.get(ticket, ()))

    def _untrimmed(self) -> frozenset[str]:
        """Return all items of cycles; among them may be some that only lead from one to another."""
        left = set(self._depends) & set(self._blocks)
        before, after = self._blocks, self._depends
        waiting = list(left)
        while waiting:
            name = waiting.pop()
            if name in left and not (
                any(one in left for one in before[name]) and any(one in left for one in after[name])
            ):
                left.remove(name)
                waiting += [one for one in (*before[name], *after[name]) if one in left]
        return frozenset(left)

    def _cycle(self, start: str) -> tuple[str, ...]:
        """Return the shortest way of dependencies from `start` back to it, or nothing."""
        if start not in self._in_cycles:
            return ()
        came: dict[str, str] = {}
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            for target in self._depends.get(here, ()):
                if target == start:
                    way = [start]
                    while here != start:
                        way.append(here)
                        here = came[here]
                    return (start, *reversed(way))
                if target not in came and target in self._in_cycles:
                    came[target] = here
                    waiting.append(target)
        return ()


def _damage(message: str) -> TicketError:
    return TicketError("ticket.relations", f"artifacts/relations.json {message}")
