"""Who may speak through a plugin: the rules as the operator writes them."""

import hashlib
import json
from dataclasses import dataclass, field
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
    pair: JsonPointer | None = None
    """Where a stranger may say a pairing code; None: no stranger is let in by a code."""

    key: str = field(init=False, repr=False, compare=False)
    """What tells the rule apart from one that reads other messages or senders."""

    def __post_init__(self) -> None:
        # Once: a paired sender is looked up by it at each message.
        about = {"when": self.when.to_table(), "at": str(self.at)}
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        object.__setattr__(self, "key", digest.hexdigest()[:16])

    def to_table(self) -> dict[str, Any]:
        """Return the TOML-able table; reading it gives an equal rule."""
        table = {"when": self.when.to_table(), "at": str(self.at), "in": list(self.listed)}
        return table if self.pair is None else {**table, "pair": str(self.pair)}
