"""The states of a work item, how they follow each other, and what each step asks for.

| from | to |
|---|---|
| planning | ready, closed |
| ready | queued, planning, closed |
| queued | inprogress, ready, planning |
| inprogress | done, queued, planning, closed |
| done | closed, inprogress |
| closed | planning |
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a review comes to."""

    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"


class TicketState(StrEnum):
    """Where a work item stands. Another word in a file is shown, and no step leads from it."""

    PLANNING = "planning"
    READY = "ready"
    QUEUED = "queued"
    INPROGRESS = "inprogress"
    DONE = "done"
    CLOSED = "closed"


_S = TicketState
TRANSITIONS: dict[TicketState, frozenset[TicketState]] = {
    _S.PLANNING: frozenset({_S.READY, _S.CLOSED}),
    _S.READY: frozenset({_S.QUEUED, _S.PLANNING, _S.CLOSED}),
    _S.QUEUED: frozenset({_S.INPROGRESS, _S.READY, _S.PLANNING}),
    _S.INPROGRESS: frozenset({_S.DONE, _S.QUEUED, _S.PLANNING, _S.CLOSED}),
    _S.DONE: frozenset({_S.CLOSED, _S.INPROGRESS}),
    _S.CLOSED: frozenset({_S.PLANNING}),
}
SETTLED = frozenset({_S.DONE, _S.CLOSED})
"""States in which an item blocks no other."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the conditions look at."""

    has_acceptance: bool
    """Whether the text has acceptance criteria."""
    has_resolution: bool
    """Whether there is a resolution that is not empty."""
    queued_by: str | None
    """Who queues it."""
    blockers: tuple[tuple[str, str | None], ...]
    """What it depends on: id, and the state there; None where that item is not here."""


def refusal(now: str, to: TicketState, facts: Facts, *, unknown_blocks: bool) -> str | None:
    """Return why an item in state `now` may not go to `to`, naming what is missing; None: it may.

    `unknown_blocks` says whether a dependency that is not here keeps an item from being begun.
    """
    try:
        state = TicketState(now)
    except ValueError:
        return f'its state is "{now}", which is none of {", ".join(TicketState)}'
    if to not in TRANSITIONS[state]:
        allowed = ", ".join(sorted(TRANSITIONS[state]))
        return f"it is {state}; from there it goes to: {allowed}"
    if to is TicketState.READY and not facts.has_acceptance:
        return 'its text has no acceptance criteria: write them under "## Acceptance"'
    if to is TicketState.QUEUED and not facts.queued_by:
        return "nobody is named who queues it"
    if to is TicketState.INPROGRESS and (blocked := _open(facts.blockers, unknown_blocks)):
        return f"it depends on what is not done: {', '.join(blocked)}"
    if to is TicketState.CLOSED and not facts.has_resolution:
        return "it has no resolution: give one"
    return None


def _open(blockers: Iterable[tuple[str, str | None]], unknown_blocks: bool) -> list[str]:
    found = []
    for name, state in blockers:
        if state is None:
            if unknown_blocks:
                found.append(f"{name} (unknown)")
        elif state not in SETTLED:
            found.append(f"{name} ({state})")
    return found
