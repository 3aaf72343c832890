"""Who may speak through a plugin: the rules as the operator writes them."""

from dataclasses import dataclass
from typing import Any

from yoi.permissions.match import Match
from yoi.permissions.pointers import JsonPointer

Scalar = str | int


@dataclass(frozen=True, slots=True)
class SenderRule:
    """Messages that fit `when` are delivered where the sender at `at` is one of `listed`."""

    when: Match
    at: JsonPointer
    listed: tuple[Scalar, ...]

    def to_table(self) -> dict[str, Any]:
        """Return the TOML-able table; reading it gives an equal rule."""
        return {"when": self.when.to_table(), "at": str(self.at), "in": list(self.listed)}
