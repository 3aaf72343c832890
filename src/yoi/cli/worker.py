"""`yoi worker`: the agents of a running host, asked over its control socket."""

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.elsewhere import ELSEWHERE
from yoi.cli.exits import Exit
from yoi.cli.host_calls import ask
from yoi.cli.options import Json, JsonLines, Workspace, workspace_folder
from yoi.cli.output import Output
from yoi.cli.pending import mention_pending
from yoi.cli.worker_following import following, items_of, messages_of, result_of
from yoi.display import shell_word
from yoi.errors import ControlError, UsageError

if TYPE_CHECKING:
    from yoi.cli.questions import Questions
    from yoi.cli.worker_history import Conversation
    from yoi.cli.worker_stream import WorkerStream

app = typer.Typer(help="See and steer the workers of the running host.", rich_markup_mode=None)


class Scope(StrEnum):
    """What an approval covers."""

    ONCE = "once"
    RUN = "run"
    EXACT = "exact"
    MATCHING = "matching"


Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `yoi worker list`.")]
Words = Annotated[str, typer.Argument(metavar="TEXT", help="The message.")]


@app.command("list")
def list_(workspace: Workspace = None, as_json: Json = False) -> None:
    """List the workers of the running host."""
    from yoi.cli import worker_view

    folder = workspace_folder(workspace)
    output = Output("worker list", as_json)
    workers = worker_view.parse_all(ask(folder, "worker.list"))
    pending = mention_pending(folder, output)
    output.show(
        {"workers": workers, "pending": pending},
        lambda: worker_view.overview(workers, ELSEWHERE.machines),
    )


@app.command("show")
def show(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Show one worker: state, model, what waits for a person, tokens, alerts."""
    from yoi.cli import worker_view

    worker = worker_view.parse(ask(workspace_folder(workspace), "worker.status", name=name))
    Output("worker show", as_json).show({"worker": worker}, lambda: worker_view.details(worker))


@app.command("run")
def run(name: Name, text: Words, workspace: Workspace = None, as_json: JsonLines = False) -> int:
    """Send a message and follow the worker live until it has answered.

    On a terminal it asks you about a call that waits for a person. Exits with 1 when the run
    failed, was cancelled or reached a limit.
    """
    from yoi.cli.worker_stream import WorkerStream

    folder = workspace_folder(workspace)
    output = Output("worker run", as_json)
    stream = WorkerStream(output, name)
    with following(folder, name) as (_, events):
        seq = ask(folder, "worker.send", name=name, text=text)["seq"]
        questions = _questions(folder, name, stream, output)
        for event in events:
            stream.hear(event)
            if questions is not None:
                questions.hear(event)
            if event["event"] == "run_end" and event["data"]["result"] != "paused":
                result = result_of(folder, name, seq)
                if result is not None:
                    return Exit.OK if result == "finished" else Exit.FAILED
    raise ControlError("control.unreachable", "the worker stopped before it had answered")


@app.command("send")
def send(name: Name, text: Words, workspace: Workspace = None, as_json: Json = False) -> None:
    """Send a message and do not wait for the answer."""
    from yoi.cli import worker_view

    sent = ask(workspace_folder(workspace), "worker.send", name=name, text=text)
    Output("worker send", as_json).show(
        {"name": name, "seq": sent["seq"]}, lambda: worker_view.sent(name, sent["seq"])
    )


@app.command("pause")
def pause(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Let the worker start nothing more; what is under way finishes."""
    _act("pause", name, workspace, as_json)


@app.command("resume")
def resume(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Let a paused worker go on."""
    _act("resume", name, workspace, as_json)


@app.command("cancel")
def cancel(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """End the worker's run now."""
    _act("cancel", name, workspace, as_json)


@app.command("compact")
def compact(
    name: Name,
    words: Annotated[
        str, typer.Option("--words", metavar="TEXT", help="What the summary must keep, or how.")
    ] = "",
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Have the model sum up the worker's history, as a new item of it.

    To redo a summary with other words: `yoi worker uncompact`, then this with --words.
    """
    _act("compact", name, workspace, as_json, words=words)


@app.command("uncompact")
def uncompact(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Undo the worker's last summary: its model reads what the summary replaced again."""
    from yoi.cli import worker_view

    undone = ask(workspace_folder(workspace), "worker.uncompact", name=name)
    Output("worker uncompact", as_json).show(
        {"name": name, "seq": undone["seq"]}, lambda: worker_view.undone(name, undone["seq"])
    )


@app.command("restore")
def restore(
    name: Name,
    item: Annotated[int, typer.Argument(min=1, metavar="ITEM", help="The item's place.")],
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Send the text of an item again that was set aside."""
    from yoi.cli import worker_view

    ask(workspace_folder(workspace), "worker.restore", name=name, item=item)
    Output("worker restore", as_json).show(
        {"name": name, "item": item}, lambda: worker_view.restored(name, item)
    )


@app.command("approve")
def approve(
    name: Name,
    call_id: Annotated[
        str | None, typer.Argument(metavar="[CALL]", help="Which call, if several wait.")
    ] = None,
    deny: Annotated[bool, typer.Option("--deny", help="Refuse the call instead.")] = False,
    scope: Annotated[
        Scope,
        typer.Option(
            "--for",
            help="Cover later calls too: of this tool in this run, or, for 8 hours, this exact "
            "call or those that every --match fits.",
        ),
    ] = Scope.ONCE,
    match: Annotated[
        list[str] | None,
        typer.Option(
            "--match",
            metavar="MATCH",
            help="What the arguments of later calls must hold, as TOML: "
            '\'at = "/channel", equals = "general"\'; or one_of = [...], or prefix = "..."; '
            "repeatable, with --for matching.",
        ),
    ] = None,
    lasts: Annotated[
        str | None,
        typer.Option("--lasts", metavar="TIME", help="Instead of 8 hours: 30m, 2h, 7d."),
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Decide about a tool call that waits for a person."""
    from yoi.cli import deciding, worker_view

    folder = workspace_folder(workspace)
    decision = deciding.decision(scope, match or (), lasts, deny=deny)
    waiting = worker_view.parse(ask(folder, "worker.status", name=name)).approvals
    chosen = [call for call in waiting if call_id in (None, call.id)]
    if len(chosen) != 1:
        raise UsageError(
            "usage.arguments",
            f"{len(waiting)} calls of {name} wait" if len(chosen) > 1 else "no such call waits",
            hint=f"yoi worker show {shell_word(name)}",
        )
    ask(folder, "worker.approve", name=name, item=chosen[0].item, **decision)
    Output("worker approve", as_json).show(
        {"name": name, "call": chosen[0], "approved": not deny, "scope": str(scope)},
        lambda: worker_view.decided(chosen[0], approved=not deny),
    )


@app.command("approvals")
def approvals(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of this worker only.")
    ] = None,
    revoke: Annotated[
        int | None,
        typer.Option("--revoke", min=1, metavar="ITEM", help="Take back the grant of that item."),
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """List the calls that wait for a person and the grants in force, or take one back."""
    from yoi.cli import worker_view

    folder = workspace_folder(workspace)
    if revoke is not None:
        if name is None:
            raise UsageError("usage.arguments", "--revoke needs the worker's NAME")
        ask(folder, "worker.revoke", name=name, item=revoke)
    workers = (
        worker_view.parse_all(ask(folder, "worker.list"))
        if name is None
        else [worker_view.parse(ask(folder, "worker.status", name=name))]
    )
    Output("worker approvals", as_json).show(
        {
            "workers": [
                {"name": one.name, "waiting": one.approvals, "grants": one.grants}
                for one in workers
            ],
            "revoked": revoke,
        },
        lambda: worker_view.approvals(workers),
    )


@app.command("pair")
def pair(
    name: Name,
    plugin: Annotated[
        str | None, typer.Option("--plugin", help="Through which plugin, if several read a code.")
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Print a code: who says it first in a chat that the worker hears is listened to from then on.

    It works once, for 10 minutes and 5 tries, where the plugin's sender rule has a `pair`.
    """
    from yoi.cli import worker_view

    made = ask(workspace_folder(workspace), "worker.pair", name=name, plugin=plugin)
    output = Output("worker pair", as_json)
    output.show(made, lambda: worker_view.code(made))
    output.note(worker_view.pairing_words(name, made))


@app.command("senders")
def senders(
    name: Name,
    forget: Annotated[
        str | None,
        typer.Option("--forget", metavar="SENDER", help="Listen to that paired sender no more."),
    ] = None,
    plugin: Annotated[str | None, typer.Option("--plugin", help="Whose sender to forget.")] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """List who may speak to the worker: senders listed in yoi.toml, and those paired by a code."""
    from yoi.cli import worker_view

    folder = workspace_folder(workspace)
    if (forget is None) != (plugin is None):
        raise UsageError("usage.arguments", "--forget and --plugin go together")
    if forget is not None:
        ask(folder, "worker.forget_sender", plugin=plugin, sender=forget)
    found = ask(folder, "worker.senders", name=name)
    Output("worker senders", as_json).show(
        {"name": name, "plugins": found, "forgot": forget},
        lambda: worker_view.senders(name, found),
    )


@app.command("history")
def history(
    name: Name,
    after: Annotated[int, typer.Option(min=0, metavar="PLACE", help="Start after this item.")] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens next.")
    ] = False,
    as_sent: Annotated[
        bool, typer.Option("--as-sent", help="Print what its model would be asked now instead.")
    ] = False,
    workspace: Workspace = None,
    as_json: JsonLines = False,
) -> None:
    """Print a worker's history as a conversation, oldest first; --json prints each item of it."""
    from yoi.cli.worker_history import Conversation
    from yoi.cli.worker_stream import WorkerStream

    folder = workspace_folder(workspace)
    output = Output("worker history", as_json)
    if as_sent:
        if follow or after:
            raise UsageError("usage.arguments", "--as-sent goes with neither --follow nor --after")
        from yoi.cli import worker_view

        for message in messages_of(folder, name):
            output.line(message, lambda m=message: worker_view.message(m))  # type: ignore[misc]
        return
    told = Conversation()
    if not follow:
        for item in items_of(folder, name, after):
            _tell(output, told, item)
        return
    stream = WorkerStream(output, name)
    with contextlib.suppress(KeyboardInterrupt), following(folder, name) as (_, events):
        for item in items_of(folder, name, after):
            _tell(output, told, item)
        for event in events:
            stream.hear(event)


def _tell(output: Output, told: "Conversation", item: dict[str, Any]) -> None:
    shape = told.item(item)
    if output.as_json or shape is not None:
        output.line(item, lambda: shape or "")


def _questions(
    folder: Path, name: str, stream: "WorkerStream", output: Output
) -> "Questions | None":
    """Return what asks the person at this terminal about calls that wait; None for a program."""
    import sys

    if output.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    from yoi.cli.questions import Questions

    return Questions(lambda decision: ask(folder, "worker.approve", name=name, **decision), stream)


def _act(verb: str, name: str, workspace: Path | None, as_json: bool, **more: str) -> None:
    from yoi.cli import worker_view

    folder = workspace_folder(workspace)
    ask(folder, f"worker.{verb}", name=name, **more)
    current = worker_view.parse(ask(folder, "worker.status", name=name))
    Output(f"worker {verb}", as_json).show(
        {"name": name, "status": current.status}, lambda: worker_view.asked(name, verb)
    )
