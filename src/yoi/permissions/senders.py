"""Who may speak through a plugin: the rules as the operator writes them."""

from dataclasses import dataclass
from typing import Any

from yoi.permissions.pointers import JsonPointer

Scalar = str | int


@dataclass(frozen=True, slots=True)
class Match:
    """What a message must hold at `at`, None for its whole text: one of `values`, or a `prefix`."""

    at: JsonPointer | None
    values: tuple[Scalar, ...] = ()
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class SenderRule:
    """Messages that fit `when` are delivered where the sender at `at` is one of `listed`."""

    when: Match
    at: JsonPointer
    listed: tuple[Scalar, ...]

    def to_table(self) -> dict[str, Any]:
        """Return the TOML-able table; reading it gives an equal rule."""
        when: dict[str, Any] = {"at": "" if self.when.at is None else str(self.when.at)}
        if self.when.prefix is not None:
            when["prefix"] = self.when.prefix
        elif len(self.when.values) == 1:
            when["equals"] = self.when.values[0]
        else:
            when["one_of"] = list(self.when.values)
        return {"when": when, "at": str(self.at), "in": list(self.listed)}
