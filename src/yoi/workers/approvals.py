"""What a person decides about a call that waits: read strictly, wherever it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yoi.errors import WorkerError
from yoi.limits import LIMITS
from yoi.permissions.match import Match
from yoi.permissions.match_table import MATCH
from yoi.toml import Bad, Choice, Fault, Faults, Flag, Key, Row, Rows, TableSpec, Whole, joined
from yoi.workers import items as it


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A decision about the question at item `question`, and about later calls within `scope`."""

    question: int
    approved: bool
    scope: it.Scope = "once"
    matches: tuple[Match, ...] = ()
    lasts_ms: int | None = None
    """How long `exact` and `matching` cover later calls; None: `grant_ms`."""

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> "Decision":
        """Return the decision in decoded JSON. Raises WorkerError `worker.decision`."""
        faults = Faults()
        found = _DECISION.read(dict(value), "", faults)
        if isinstance(found, Bad):
            raise joined([_error(fault) for fault in faults], faults.count)
        return found


def _error(fault: Fault) -> WorkerError:
    return WorkerError("worker.decision", f"{fault.at} {fault.message}", at=fault.at)


def _decision(row: Row) -> Decision:
    scope, matches, lasts_s = row["scope"], row["matches"], row["lasts_s"]
    if (scope == "matching") != bool(matches):
        row.fault("value", "matches", 'goes with scope = "matching", which needs at least one')
    if scope != "once" and not row["approved"]:
        row.fault("value", "scope", "goes only with an approval")
    if lasts_s is not None and scope not in ("exact", "matching"):
        row.fault("value", "lasts_s", 'goes only with scope = "exact" or "matching"')
    return Decision(
        question=row["item"],
        approved=row["approved"],
        scope=scope,
        matches=matches,
        lasts_ms=None if lasts_s is None else lasts_s * 1000,
    )


_DECISION = TableSpec(
    (
        Key("item", Whole(1, 2**53 - 1), "where the question stands in the history", required=True),
        Key("approved", Flag(), "whether the call may run", required=True),
        Key(
            "scope",
            Choice(("once", "run", "exact", "matching")),
            "which later calls of the tool are covered, too",
            default="once",
        ),
        Key("matches", Rows(MATCH, LIMITS.grant_matches), "what their arguments hold", default=()),
        Key("lasts_s", Whole(1, LIMITS.grant_max_ms // 1000), "how long they are covered"),
    ),
    _decision,
    about="A decision about a call that waits.",
)
