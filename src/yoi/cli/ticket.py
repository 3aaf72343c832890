"""`yoi ticket`: work items of a workspace, as files that people read."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.editor import written_text
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output
from yoi.core.ticket_states import Verdict
from yoi.display import shell_word
from yoi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yoi.decisions.store import DecisionStore
    from yoi.tickets.front_matter import Value
    from yoi.tickets.store import Change, TicketStore
    from yoi.tickets.ticket import Damaged, Ticket

app = typer.Typer(help="Work items: what is to be done, and its thread.", rich_markup_mode=None)

Id = Annotated[str, typer.Argument(metavar="ID", help="An id from `yoi ticket list`.")]
Author = Annotated[
    str | None,
    typer.Option("--author", metavar="NAME", help="Who says so (default: the account's name)."),
]
Words = Annotated[
    str | None,
    typer.Option("--message", "-m", metavar="TEXT", help="The text; without it $EDITOR asks."),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="WORD", help="One line, kept with the event.")
]
_EMPTY = """# {title}

## Background

## Requirements

## Acceptance

- """


@app.command("new")
def new(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="One line.")],
    message: Words = None,
    assignee: Annotated[str | None, typer.Option("--assignee", metavar="NAME")] = None,
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Make an item, in state planning."""
    store = _store(workspace)
    title = store.checked_title(title)
    with written_text(message, _EMPTY.format(title=title), "item") as body:
        made = store.new(title, body, _by(author), assignee)
    _tell("ticket new", made, "made", as_json)


@app.command("list")
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="Only these; may be given several times."),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="WORDS", help="Only items that hold this.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, metavar="N")] = 100,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """List the items, newest last; damaged ones too, with the line."""
    from yoi.cli import ticket_view
    from yoi.tickets.ticket import Damaged

    store = _store(workspace)
    names = store.names()
    if state:
        # Only the heads are read; what cannot be read is listed as damaged.
        names = [name for name in names if store.state(name) in (None, *state)]
    if text is None:
        left_out, shown = max(0, len(names) - most), store.each(names[-most:])
    else:
        wanted = [
            one
            for one in store.each(names)
            if isinstance(one, Damaged) or text.casefold() in (one.title + one.body).casefold()
        ]
        left_out, shown = max(0, len(wanted) - most), wanted[-most:]
    waiting = _undecided(workspace, [one for one in shown if not isinstance(one, Damaged)])
    Output("ticket list", as_json).show(
        {
            "tickets": [
                {**one.to_json(), **({"in_force": False} if _name(one) in waiting else {})}
                for one in shown
            ],
            "left_out": left_out,
        },
        lambda: ticket_view.overview(shown, left_out, waiting),
    )


@app.command("show")
def show(
    ticket: Id,
    events: Annotated[
        int, typer.Option("--events", min=0, max=10_000, metavar="N", help="The last N events.")
    ] = 20,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Show one item: its text, its relations, the end of its thread."""
    from yoi.cli import ticket_view

    seen = ticket_view.Seen.of(_store(workspace), ticket, events)
    waiting = _undecided(workspace, [seen.ticket])
    Output("ticket show", as_json).show(
        {**seen.to_json(), **({"in_force": False} if waiting else {})},
        lambda: ticket_view.details(seen, waiting),
    )


@app.command("edit")
def edit(
    ticket: Id,
    title: Annotated[str | None, typer.Option("--title", metavar="TITLE")] = None,
    assignee: Annotated[
        str | None, typer.Option("--assignee", metavar="NAME", help="Empty: nobody.")
    ] = None,
    message: Words = None,
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Change the title, the assignee or the text; without options $EDITOR opens the text."""
    store = _store(workspace)
    now = store.ticket(ticket)
    changes: dict[str, Value] = {}
    if title is not None:
        changes["title"] = title
    if assignee is not None:
        changes["assignee"] = assignee or None
    if message is not None or not changes:
        with written_text(message, now.body.strip("\n"), "item") as text:
            body = "\n" + text.strip("\n") + "\n"
            made = store.edit(now.id, _by(author), changes=changes, body=body)
    else:
        made = store.edit(now.id, _by(author), changes=changes, body=None)
    _tell("ticket edit", made, "changed", as_json)


@app.command("comment")
def comment(
    ticket: Id,
    message: Words = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="KIND", help="comment, decision, plan, implementation_report, ..."
        ),
    ] = "comment",
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Add to the thread; the item itself stays as it is."""
    if not kind.replace("_", "").isalnum() or kind in ("create", "state_changed", "review"):
        raise UsageError(
            "usage.arguments",
            f"{kind!r} is not a kind of comment",
            hint="one word such as decision; states and reviews have commands of their own",
        )
    store = _store(workspace)
    made = store.ticket(ticket)
    with written_text(message, "", kind) as text:
        store.comment(made.id, text, _by(author), kind)
    _tell("ticket comment", made, "commented", as_json)


@app.command("review")
def review(
    ticket: Id,
    verdict: Annotated[Verdict, typer.Argument(metavar="approve|request_changes")],
    message: Words = None,
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Add a review to the thread."""
    store = _store(workspace)
    made = store.ticket(ticket)
    with written_text(message, "", "review") as text:
        store.review(made.id, verdict, text, _by(author))
    _tell("ticket review", made, "reviewed", as_json)


@app.command("relate")
def relate(
    ticket: Id,
    kind: Annotated[str, typer.Argument(metavar="depends_on|related")],
    target: Annotated[str, typer.Argument(metavar="OTHER", help="The other item's id.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT")] = "",
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Say that an item depends on another one, or is related to it."""
    store = _store(workspace)
    made = store.ticket(ticket)
    store.relate(made.id, kind, target, note, _by(author))
    _tell("ticket relate", made, f"{kind} {target}", as_json)


@app.command("state")
def state(
    ticket: Id,
    to: Annotated[
        str, typer.Argument(metavar="STATE", help="planning, ready, inprogress, done, ...")
    ],
    reason: Reason = "by hand",
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT")] = "",
    resolution: Annotated[
        str, typer.Option("--resolution", metavar="TEXT", help="What came of it; closing needs it.")
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="A dependency that is not here blocks, too.")
    ] = False,
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Change the state, along the table; a refusal names what is missing."""
    from yoi.core.ticket_states import TicketState
    from yoi.tickets.queueing import withdrawing

    try:
        wanted = TicketState(to)
    except ValueError:
        raise UsageError(
            "usage.arguments",
            f"{to!r} is not a state",
            hint=f"yoi ticket state {shell_word(ticket)} {'|'.join(TicketState)}",
        ) from None
    if wanted is TicketState.QUEUED:
        queue(ticket, reason=reason, author=author, workspace=workspace, as_json=as_json)
        return
    made = _store(workspace).move(
        _store(workspace).ticket(ticket).id,
        wanted,
        _by(author),
        reason=reason,
        text=message,
        resolution=resolution,
        unknown_blocks=strict,
        before=withdrawing(_decisions(), workspace_folder(workspace)),
    )
    _tell("ticket state", made, f"is {made.state}", as_json)


@app.command("queue")
def queue(
    ticket: Id,
    reason: Reason = "queued",
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest",
            metavar="DIGEST",
            help="Queue only what was read: the digest that `yoi ticket show` prints.",
        ),
    ] = None,
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Put an item before the workers that take queued items, as it stands now.

    Any later edit of item.md takes that back. For an item whose file says `queued`
    already, such as one from a pull, this decides that it is.
    """
    from yoi.tickets.queueing import queue as decide

    store = _store(workspace)
    made = decide(
        store,
        _decisions(),
        workspace_folder(workspace),
        store.ticket(ticket).id,
        _by(author),
        reason,
        digest,
    )
    _tell("ticket queue", made, "is queued", as_json)


@app.command("close")
def close(
    ticket: Id,
    resolution: Annotated[
        str | None,
        typer.Option("--resolution", metavar="TEXT", help="Without it $EDITOR asks."),
    ] = None,
    reason: Reason = "closed",
    author: Author = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Close an item with its resolution."""
    store = _store(workspace)
    kept = store.ticket(ticket).has_resolution and resolution is None
    with written_text("" if kept else resolution, "", "resolution") as text:
        state(
            ticket,
            "closed",
            reason=reason,
            resolution=text,
            author=author,
            workspace=workspace,
            as_json=as_json,
        )


@app.command("doctor")
def doctor(
    ticket: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Say what is damaged or odd, with the line, and what would settle it. Repairs nothing."""
    from yoi.cli import ticket_view
    from yoi.tickets.doctor import examine
    from yoi.tickets.queueing import undecided

    folder, decisions = workspace_folder(workspace), _decisions()
    oddities = examine(_store(workspace), lambda one: undecided(decisions, folder, one))
    found = [one for one in oddities if ticket in (None, one.ticket)]
    Output("ticket doctor", as_json).show({"oddities": found}, lambda: ticket_view.oddities(found))


def _tell(command: str, ticket: "Ticket", what: str, as_json: bool) -> None:
    """Print what a command did to `ticket`."""
    from yoi.cli import ticket_view

    Output(command, as_json).show(
        {"ticket": ticket.to_json()}, lambda: ticket_view.moved(ticket, what)
    )


def _store(workspace: Path | None) -> "TicketStore":
    from yoi.limits import LIMITS
    from yoi.tickets.store import TicketStore
    from yoi.types import SystemClock

    return TicketStore(workspace_folder(workspace), SystemClock(), LIMITS)


def _name(ticket: "Ticket | Damaged") -> str:
    from yoi.tickets.ticket import Damaged

    return ticket.name if isinstance(ticket, Damaged) else ticket.id


def _undecided(workspace: Path | None, tickets: "Iterable[Ticket]") -> frozenset[str]:
    """Return the ids of those that no worker is given although their files say queued."""
    from yoi.tickets.queueing import undecided

    folder, decisions = workspace_folder(workspace), _decisions()
    return frozenset(one.id for one in tickets if undecided(decisions, folder, one))


def _decisions() -> "DecisionStore":
    from yoi.decisions.store import DecisionStore

    return DecisionStore.of_account()


def _by(author: str | None) -> "Change":
    from yoi.tickets.store import Change
    from yoi.types import SystemClock

    return Change.now(author or getpass.getuser(), SystemClock())
