"""The tools with which a worker reads and changes work items, as its profile grants them.

What they answer is text from outside, whatever an author in a file says (origin `tickets`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from yoi.core.ticket_states import TicketState
from yoi.decisions.port import QueueDecisions
from yoi.errors import TicketError
from yoi.limits import Limits
from yoi.tickets.store import Change, TicketStore
from yoi.tickets.thread import ThreadEvent
from yoi.tickets.ticket import Damaged, Ticket
from yoi.types import Clock
from yoi.workers.items import Origin, ToolSpec
from yoi.workers.profile import WorkerProfile
from yoi.workers.rules import TicketRule
from yoi.workers.text import clipped
from yoi.workers.tools import Tool

T = TypeVar("T")
OnThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function that blocks on a thread of its own."""
_KINDS = ("comment", "plan", "decision", "implementation_report")
_TEXT = {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class TicketTools:
    """Makes the tools; `decisions` say which queued items a worker may take."""

    workspace: Path
    store: TicketStore
    decisions: QueueDecisions
    clock: Clock
    limits: Limits
    on_thread: OnThread

    def of(self, profile: WorkerProfile) -> Sequence[Tool]:
        """Return the tools that `profile` grants."""
        rule = profile.tickets
        if rule is None:
            return ()
        acting = _Acting(self, f"worker:{profile.name}", rule)
        offered: list[tuple[str, str, Mapping[str, Any], list[str], Callable[..., Any]]] = [
            (
                "list",
                "List the work items, newest last; with `state` only those in it.",
                {"state": {"type": "string", "enum": [one.value for one in TicketState]}},
                [],
                acting.list,
            ),
            (
                "show",
                "Show one work item: its text, what it depends on, the end of its thread.",
                {"id": _TEXT},
                ["id"],
                acting.show,
            ),
            (
                "comment",
                "Add a report, a plan, a decision or a comment to a work item's thread.",
                {"id": _TEXT, "text": _TEXT, "kind": {"type": "string", "enum": list(_KINDS)}},
                ["id", "text"],
                acting.comment,
            ),
            (
                "create",
                "Make a work item, in state planning.",
                {"title": _TEXT, "text": _TEXT},
                ["title", "text"],
                acting.create,
            ),
        ]
        if rule.to:
            offered.append(
                (
                    "move",
                    "Change a work item's state. Take a queued one with `inprogress` before you "
                    "work on it; `text` is your report; closing needs `resolution`.",
                    {
                        "id": _TEXT,
                        "to": {"type": "string", "enum": list(rule.to)},
                        "text": {"type": "string"},
                        "resolution": {"type": "string"},
                    },
                    ["id", "to"],
                    acting.move,
                )
            )
        return [self._tool(rule, *one) for one in offered]

    def _tool(
        self,
        rule: TicketRule,
        name: str,
        description: str,
        properties: Mapping[str, Any],
        required: list[str],
        act: Callable[..., Any],
    ) -> Tool:
        async def call(arguments: dict[str, Any]) -> Any:
            return await self.on_thread(lambda: act(**arguments))

        spec = ToolSpec(
            name=f"ticket_{name}",
            description=description,
            input_schema={
                "type": "object",
                "properties": dict(properties),
                "required": required,
                "additionalProperties": False,
            },
            approval=rule.approvals[name],
            origin=Origin(kind="tickets", tool=name),
        )
        return Tool(spec, call)


@dataclass(frozen=True, slots=True)
class _Acting:
    """One worker at the work items. Every method blocks and raises TicketError."""

    tools: TicketTools
    author: str
    rule: TicketRule

    def list(self, state: str | None = None) -> dict[str, Any]:
        """Return the newest items in `state`."""
        store, most = self.tools.store, self.tools.limits.ticket_shown_items
        names = store.names()
        if state is not None:
            names = [name for name in names if store.state(name) in (None, state)]
        shown = [_row(one) for one in store.each(names[-most:])]
        return {"items": shown, "left_out": len(names) - len(shown)}

    def show(self, id: str) -> dict[str, Any]:
        """Return one item, its newest events as far as they have room."""
        store, limits = self.tools.store, self.tools.limits
        ticket = store.ticket(id)
        thread = store.thread(ticket.id, limits.ticket_shown_events)
        shown: list[dict[str, Any]] = []
        room = limits.tool_output_bytes // 3
        for event in reversed(thread.events):
            row = self._event(event)
            room -= sum(len(text.encode()) for text in row.values())
            if room < 0:
                break
            shown.insert(0, row)
        return {
            **_row(ticket),
            "text": self._text(ticket.body),
            "depends_on": [
                {"id": name, "state": state or "unknown"}
                for name, state in store.blockers(ticket.id)
            ],
            "resolution": self._text(store.resolution(ticket.id)),
            "events_left_out": thread.count - len(shown),
            "events": shown,
        }

    def comment(self, id: str, text: str, kind: str = "comment") -> dict[str, Any]:
        """Add to the thread of an item."""
        ticket = self.tools.store.ticket(id)
        self.tools.store.comment(ticket.id, text, self._by(), kind)
        return {"id": ticket.id, "added": kind}

    def create(self, title: str, text: str) -> dict[str, Any]:
        """Make an item."""
        return _row(self.tools.store.new(title, text, self._by()))

    def move(self, id: str, to: str, text: str = "", resolution: str = "") -> dict[str, Any]:
        """Change the state of an item; a queued one is taken by one worker only."""
        wanted = TicketState(to)
        taking = wanted is TicketState.INPROGRESS
        moved = self.tools.store.move(
            self.tools.store.ticket(id).id,
            wanted,
            self._by(),
            reason="worker",
            text=text,
            resolution=resolution,
            only_from=TicketState.QUEUED if taking else None,
            assignee=self.author if taking else None,
            before=self._take if taking else self._own,
        )
        return _row(moved)

    def _take(self, ticket: Ticket) -> None:
        """Withdraw the decision that let the item be taken: it is good for once.

        Before the files change: what fails or crashes behind this is to be queued again.
        """
        if not self.tools.decisions.taken(self.tools.workspace, ticket.id, ticket.digest):
            raise TicketError(
                "ticket.transition",
                f"{ticket.id} is not queued by a person of this account as it stands now",
                hint=f"yoi ticket queue {ticket.id}",
                state=ticket.state,
            )

    def _own(self, ticket: Ticket) -> None:
        """Refuse an item that another worker has taken."""
        holder = ticket.text("assignee")
        if ticket.state == TicketState.INPROGRESS and holder != self.author:
            raise TicketError(
                "ticket.transition", f"{ticket.id} is in the hands of another", state=ticket.state
            )

    def _event(self, event: ThreadEvent) -> dict[str, str]:
        rest = {"text": self._text(event.text)}
        return {"kind": event.kind, "author": event.author, "at": event.at, **rest}

    def _text(self, text: str) -> str:
        return clipped(text.strip(), self.tools.limits.ticket_shown_bytes)[0]

    def _by(self) -> Change:
        return Change.now(self.author, self.tools.clock)


def _row(one: Ticket | Damaged) -> dict[str, Any]:
    if isinstance(one, Damaged):
        return {"id": one.name, "damaged": one.message}
    return {
        "id": one.id,
        "title": one.title,
        "state": one.state,
        "assignee": one.text("assignee"),
    }
