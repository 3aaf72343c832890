"""What is pending, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from yoi.decisions.compare import Turn, Verdict
from yoi.errors import TrustError

COMMAND = "yoi trust"


def entry_words(entry: str) -> str:
    """Return an entry as a person reads it, such as `plugin echo`."""
    kind, _, name = entry.partition(":")
    return f"{kind} {name}" if name else f"[{kind}]"


def verdict_words(verdict: Verdict) -> str:
    """Return why an entry is pending, such as `new` or `wider: grants.websocket, config`."""
    if any(change.turn is Turn.NEW and not change.at for change in verdict.pending):
        return "new"
    found: dict[Turn, list[str]] = {}
    for change in verdict.pending:
        found.setdefault(change.turn, []).append(change.at)
    return "; ".join(
        f"{turn.value}: {', '.join(dict.fromkeys(places))}" for turn, places in found.items()
    )


def pending_error(verdict: Verdict) -> TrustError:
    """Return why an entry, or part of it, is not in force."""
    what = "nothing of it is in force" if verdict.in_force is None else "that is not in force"
    return TrustError(
        "trust.pending",
        f"{entry_words(verdict.entry)} in yoi.toml was not decided here "
        f"({verdict_words(verdict)}); {what}",
        hint=f"review it with: {COMMAND}",
        entry=verdict.entry,
    )


def pending_rows(pending: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return what is pending as JSON values."""
    return [
        {
            "entry": one.entry,
            "why": verdict_words(one),
            "in_force": "nothing" if one.in_force is None else "part",
        }
        for one in pending
    ]


def pending_line(pending: Sequence[Mapping[str, Any]]) -> str | None:
    """Return one line about the rows of `pending_rows`, None where there are none."""
    if not pending:
        return None
    parts = [f"{entry_words(one['entry'])} ({one['why']})" for one in pending[:8]]
    if len(pending) > len(parts):
        parts.append(f"and {len(pending) - len(parts)} more")
    return f"not in force until it is decided: {', '.join(parts)}; review it with: {COMMAND}"
