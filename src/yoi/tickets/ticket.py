"""One work item as its files say it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yoi.errors import TicketError
from yoi.tickets.front_matter import FrontMatter, Value
from yoi.tickets.ids import TicketId

_ACCEPTANCE = re.compile(
    r"^#{1,6}[ \t]+.*(acceptance|done when|受け入れ条件|受入条件|完了条件)", re.IGNORECASE
)
_HEADING = re.compile(r"^#{1,6}[ \t]")


@dataclass(frozen=True, slots=True)
class Ticket:
    """An item that can be read. Text in it was written by anybody: it is data on every screen."""

    id: TicketId
    head: FrontMatter
    has_resolution: bool
    digest: str
    """`sha256:` and hex of item.md as it was read."""

    @property
    def title(self) -> str:
        """Return its title; its id where it has none."""
        return self.text("title") or self.id

    @property
    def state(self) -> str:
        """Return its state as the file says it, known or not."""
        return state_of(self.head.values)

    @property
    def body(self) -> str:
        """Return its text."""
        return self.head.body

    def must_be(self, digest: str | None) -> None:
        """Raise TicketError (`ticket.changed`) unless item.md is the one of `digest`; None: any."""
        if digest is not None and digest != self.digest:
            raise TicketError(
                "ticket.changed",
                f"{self.id} is not what was read: its digest is {self.digest} now",
                hint=f"yoi ticket show {self.id}",
                digest=self.digest,
            )

    def text(self, key: str) -> str:
        """Return the front matter's text of `key`; empty where it has none."""
        value: Value = self.head.values.get(key)
        return value if isinstance(value, str) else ""

    @property
    def has_acceptance(self) -> bool:
        """Whether the text has acceptance criteria: a heading of that name with text below it."""
        rows = iter(self.body.splitlines())
        for row in rows:
            if _ACCEPTANCE.match(row):
                for below in rows:
                    if _HEADING.match(below):
                        break
                    if below.strip():
                        return True
        return False

    def to_json(self) -> dict[str, Any]:
        """Return the item's front matter as JSON values, unknown keys too."""
        return {
            "id": self.id,
            "title": self.title,
            "state": self.state,
            "front_matter": dict(self.head.values),
            "has_acceptance": self.has_acceptance,
            "has_resolution": self.has_resolution,
            "digest": self.digest,
        }


def state_of(values: Mapping[str, Value]) -> str:
    """Return the state that a front matter says, known or not."""
    value = values.get("state")
    # A list is no state, and must not pass for an item that says none.
    return f"[{', '.join(value)}]" if isinstance(value, list) else value or "planning"


@dataclass(frozen=True, slots=True)
class Damaged:
    """An item that cannot be read, and why. It is listed, never hidden and never repaired."""

    name: str
    code: str
    message: str
    line: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the damage as JSON values."""
        return {
            "id": self.name,
            "damaged": True,
            "code": self.code,
            "message": self.message,
            "line": self.line,
        }
