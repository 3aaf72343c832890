"""One row of the review."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from yoi.display import ELLIPSIS

_CUT = "too long to be shown whole: read it in plugin.toml before you agree"


class ReviewState(StrEnum):
    """How one row stands; being broad is beside this, because any row may be."""

    COVERED = "covered"
    PARTLY_COVERED = "partly_covered"
    GRANT_ONLY = "grant_only"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRow:
    """One permission or target: a bounded, escaped label and what a person should know."""

    label: str
    kind: str
    """`permission`, `websocket`, `request`, `memory`, `capture` or `secret`."""
    requested: bool
    granted: bool
    state: ReviewState
    broad: tuple[str, ...]
    """Why it is broad access, one sentence each; empty when it is not."""
    explanation: str

    def __post_init__(self) -> None:
        """Have a label that was cut read twice: what it does not show is granted too."""
        if self.label.endswith(ELLIPSIS):
            object.__setattr__(self, "broad", (*self.broad, _CUT))

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "label": self.label,
            "kind": self.kind,
            "requested": self.requested,
            "granted": self.granted,
            "state": self.state.value,
            "broad": list(self.broad),
            "explanation": self.explanation,
        }
