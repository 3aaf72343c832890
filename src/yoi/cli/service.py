"""`yoi service`: what runs in the host of a workspace, asked over its control socket."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.elsewhere import ELSEWHERE
from yoi.cli.host_calls import ask
from yoi.cli.machine_words import mention_host
from yoi.cli.options import Json, JsonLines, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.cli.pending import mention_pending
from yoi.display import shell_argument, shell_word
from yoi.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from yoi.protocol.status import ServiceStatus

app = typer.Typer(help="See and steer the services of the running host.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `yoi service list`.")]


@app.command("list")
def list_(workspace: Workspace = None, as_json: Json = False) -> None:
    """List the services of the running host."""
    from yoi.cli import service_view

    folder = workspace_folder(workspace)
    host = ask(folder, "host.status")
    statuses = service_view.parse_all(ask(folder, "service.list"))
    output = Output("service list", as_json)
    mention_host(host, output)
    mention_pending(folder, output)
    output.show(
        {"workspace": str(folder), "host": host, "services": statuses},
        lambda: _overview(statuses, host),
    )


def _overview(statuses: "Sequence[ServiceStatus]", host: dict[str, Any]) -> "RenderableType":
    from yoi.cli import service_view

    if not statuses and host.get("starting"):
        return shown("no services yet")
    return service_view.overview(statuses, ELSEWHERE.machines)


@app.command("status")
def status_(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Show one service: lifecycle, queue, counters, connections, what was refused."""
    from yoi.cli import service_view

    folder = workspace_folder(workspace)
    output = Output("service status", as_json)
    host = ask(folder, "host.status")
    # Before a service that is not there yet is an error.
    mention_host(host, output)
    current = service_view.parse(ask(folder, "service.status", name=name))
    pending = mention_pending(folder, output)
    output.show(
        {"service": current, "host": host, "pending": pending},
        lambda: service_view.details(current),
    )


@app.command("watch")
def watch(
    workspace: Workspace = None,
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="How often to look.")
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after N looks.")
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Follow the services of the running host until interrupted."""
    from yoi.cli import service_view
    from yoi.cli.watching import follow

    folder = workspace_folder(workspace)

    def look() -> Any:
        return service_view.parse_all(ask(folder, "service.list"))

    follow(
        look,
        lambda found: service_view.overview(found, ELSEWHERE.machines),
        Output("service watch", as_json),
        every,
        count,
        lambda found: {"services": found, **ELSEWHERE.document()},
    )


@app.command("restart")
def restart(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Replace a service's instance; also releases it from quarantine."""
    _act("restart", name, workspace, as_json)


@app.command("reconnect")
def reconnect(
    name: Name,
    connection: Annotated[
        str | None,
        typer.Argument(metavar="[CONNECTION]", help="Which one; without it, each of the service."),
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Dial a service's connections now, whatever they wait for or stopped at."""
    from yoi.cli import service_view

    answer = ask(workspace_folder(workspace), "service.reconnect", name=name, connection=connection)
    names = [str(one) for one in answer["connections"]]
    Output("service reconnect", as_json).show(
        {"name": name, "connections": names}, lambda: service_view.reconnected(name, names)
    )


@app.command("stop")
def stop(name: Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Drain and stop a service until it is restarted or the host is."""
    _act("stop", name, workspace, as_json)


@app.command("dead-letters")
def dead_letters(
    name: Name,
    event_id: Annotated[
        str | None, typer.Argument(metavar="[EVENT_ID]", help="Show this event in full.")
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """List the events that were given up, or show one of them in full.

    Where no host runs, those of ingresses with durability = "disk" are read from the log.
    """
    from yoi.cli import dead_letter_view
    from yoi.cli.dead_letters import listed

    letters, running = listed(workspace_folder(workspace), name)
    output = Output("service dead-letters", as_json)
    if not running:
        output.note("no host runs here: this is what the log holds")
    if event_id is None:
        output.show(
            {"name": name, "dead_letters": letters, "host_runs": running},
            lambda: dead_letter_view.letter_table(name, letters),
        )
        return
    found = next((letter for letter in letters if letter.event_id == event_id), None)
    if found is None:
        raise UsageError(
            "usage.arguments",
            f"{name} has no dead letter {event_id!r}",
            hint=f"yoi service dead-letters {shell_word(name)}",
        )
    output.show(
        {"name": name, "dead_letter": found, "host_runs": running},
        lambda: dead_letter_view.letter(found),
    )


@app.command("replay")
def replay(
    name: Name,
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[EVENT_ID]...", help="Which events.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every dead letter, oldest first.")] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Deliver dead letters again, each as its first attempt.

    Where no host runs, that is written into the log, and the next host delivers them.
    """
    from yoi.cli import dead_letter_view
    from yoi.cli.dead_letters import act

    folder = workspace_folder(workspace)
    done, running = act(folder, "replay", name, event_ids or (), every=every)
    told = dead_letter_view.replayed if running else dead_letter_view.to_be_replayed
    Output("service replay", as_json).show(
        {"name": name, "replayed": done, "host_runs": running}, lambda: told(name, done)
    )


@app.command("discard")
def discard(
    name: Name,
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[EVENT_ID]...", help="Which events.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Throw dead letters away: they are never delivered. Needs no running host."""
    from yoi.cli import dead_letter_view
    from yoi.cli.dead_letters import act

    folder = workspace_folder(workspace)
    done, running = act(folder, "discard", name, event_ids or (), every=every)
    Output("service discard", as_json).show(
        {"name": name, "discarded": done, "host_runs": running},
        lambda: dead_letter_view.discarded(name, done),
    )


@app.command("call")
def call(
    name: Name,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="A tool of the plugin.")],
    arguments: Annotated[
        str, typer.Argument(metavar="[JSON]", help="The tool's input, a JSON object.")
    ] = "{}",
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Call a tool of a running plugin once, and print what it returns."""
    from yoi.cli import service_view

    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(
            "usage.arguments",
            "the tool's input must be a JSON object",
            hint=f"yoi service call {shell_word(name)} {shell_argument(tool)} "
            '\'{"key": "value"}\'',
        )
    answer = ask(workspace_folder(workspace), "service.call", name=name, tool=tool, input=value)
    Output("service call", as_json).show(
        {"name": name, "tool": tool, "output": answer}, lambda: service_view.tool_output(answer)
    )


def _act(verb: str, name: str, workspace: Path | None, as_json: bool) -> None:
    from yoi.cli import service_view

    folder = workspace_folder(workspace)
    output = Output(f"service {verb}", as_json)
    # The host answers before a client loses patience; what takes longer goes on by itself.
    with output.working(f"{verb} {name}"):
        ask(folder, f"service.{verb}", name=name)
        current = service_view.parse(ask(folder, "service.status", name=name))
    output.show(
        {"name": name, "lifecycle": current.lifecycle, "last_error": current.last_error},
        lambda: service_view.now_is(current),
    )
