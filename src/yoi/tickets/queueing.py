"""Queueing as a person decides it: the files say so, and so does this account's decision.

Only the second puts an item before a worker, and only as long as item.md stays as it was then.
"""

from collections.abc import Callable
from pathlib import Path

from yoi.core.ticket_states import TicketState
from yoi.decisions.store import DecisionStore
from yoi.errors import TrustError
from yoi.tickets.ids import TicketId
from yoi.tickets.store import Change, TicketStore
from yoi.tickets.ticket import Ticket


def queue(
    store: TicketStore,
    decisions: DecisionStore,
    workspace: Path,
    ticket: TicketId,
    by: Change,
    reason: str,
    digest: str | None = None,
) -> Ticket:
    """Queue the item and decide that it is; return it.

    One whose file says `queued` already is decided as it stands. `digest` is the one of the item.md
    that the person read (None: whatever stands there now). Raises TicketError, TrustError.
    """
    # First of all: where nothing can be decided, nothing is written.
    decisions.identity(workspace)
    now = store.ticket(ticket)
    now.must_be(digest)
    if now.state != TicketState.QUEUED:
        now = store.move(ticket, TicketState.QUEUED, by, reason=reason, digest=digest)
    decisions.queue(workspace, now.id, now.digest)
    return now


def undecided(decisions: DecisionStore, workspace: Path, ticket: Ticket) -> bool:
    """Return whether the file says `queued` and this account did not decide that as it stands.

    No worker is given such an item: a pull may have brought it, or an editor changed it. Where the
    decisions cannot be read, nothing is decided.
    """
    if ticket.state != TicketState.QUEUED:
        return False
    try:
        return decisions.queued(workspace).get(ticket.id) != ticket.digest
    except TrustError:
        return True


def withdrawing(decisions: DecisionStore, workspace: Path) -> Callable[[Ticket], None]:
    """Return what `TicketStore.move` calls before an item leaves its state: no more decided."""

    def withdraw(ticket: Ticket) -> None:
        digest = decisions.queued(workspace).get(ticket.id)
        if digest is not None:
            decisions.unqueue(workspace, ticket.id, digest)

    return withdraw
