"""`yoi mcp`: the tools of MCP servers for workers, and those of plugins for MCP clients."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.display import shell_word
from yoi.errors import McpError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def serve(context: typer.Context, workspace: Workspace = None) -> None:
    """Let an MCP client use what this workspace offers, over standard input and output.

    The client starts this command; it asks the running host. `[[mcp.tools]]` and `[[mcp.events]]`
    of yoi.toml say what is offered.
    """
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from yoi.cli.host_calls import ask
    from yoi.mcp.library import loaded

    folder = workspace_folder(workspace)
    loaded()
    # Before the first word of MCP: a client shows what is said here when the start fails.
    offered = ask(folder, "mcp.offered")
    if not offered and not ask(folder, "mcp.resources"):
        words = "nothing is offered to MCP clients: [[mcp.tools]] in .yoi/yoi.toml, then: yoi trust"
        Output("mcp", False).note(words, "yellow")
    from yoi.mcp.serving import serve as speak

    asyncio.run(speak(partial(ask, folder)))


Server = Annotated[str, typer.Argument(metavar="SERVER", help="A name from `yoi mcp servers`.")]
_STYLES = {"running": "green", "waiting": "yellow", "stopped": "red"}


@app.command("servers")
def servers(workspace: Workspace = None, as_json: Json = False) -> None:
    """List the MCP servers of the running host and how their tools stand."""
    from yoi.cli.host_calls import ask
    from yoi.cli.pending import mention_pending

    folder = workspace_folder(workspace)
    output = Output("mcp servers", as_json)
    found = ask(folder, "mcp.servers")
    pending = mention_pending(folder, output)
    output.show({"servers": found, "pending": pending}, lambda: _overview(found))


@app.command("approve")
def approve(
    server: Server,
    tools: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOOL]...", help="Only these; else all that can be used."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print what they say and the digest; decide nothing.")
    ] = False,
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest", metavar="D", help="Approve without asking what `--show` printed with D."
        ),
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Read what a server says of its tools, and let workers use them as they are now.

    A tool that says something else later is not offered until it is approved again.
    """
    from yoi.cli.host_calls import ask
    from yoi.cli.reloading import reload_host
    from yoi.mcp.approving import approve as record

    if show and digest is not None:
        raise UsageError("usage.arguments", "--show and --digest exclude each other")
    folder = workspace_folder(workspace)
    output = Output("mcp approve", as_json)
    answer = ask(folder, "mcp.server", name=server)
    standing = {one["name"]: one["standing"] for one in answer["server"]["tools"]}
    chosen = _chosen(server, answer["tools"], standing, tools or [])
    found = _digest(server, chosen)
    if show:
        output.show(
            {"server": server, "digest": found, "tools": _told(chosen, standing)},
            lambda: _review(server, chosen, standing, found),
        )
        return
    if digest is not None and digest != found:
        raise McpError(
            "mcp.changed",
            f"what {server} says of its tools is not what was shown: its digest is {found}",
            hint=f"yoi mcp approve {shell_word(server)} --show",
        )
    if digest is None:
        from yoi.cli.asking import check_can_ask, confirm

        check_can_ask(
            as_json=as_json,
            hint=f"read it with: yoi mcp approve {shell_word(server)} --show; then: "
            f"yoi mcp approve {shell_word(server)} --digest D",
        )

        output.before(lambda: _review(server, chosen, standing, found))
        confirm("Let workers use these tools?")
    pins = {} if not tools else _kept(folder, server)
    pins |= {one["name"]: one["digest"] for one in chosen}
    entry = record(folder, server, pins)
    host = reload_host(folder, [entry])
    output.show(
        {"server": server, "approved": sorted(pins), "host": host},
        lambda: _done(server, pins, host),
    )


def _chosen(
    server: str,
    listed: Sequence[Mapping[str, Any]],
    standing: Mapping[str, str],
    names: Sequence[str],
) -> list[Mapping[str, Any]]:
    usable = {one["name"]: one for one in listed if not one["problem"]}
    for name in names:
        if name not in usable:
            why = standing.get(name)
            raise McpError(
                "mcp.unknown",
                f"MCP server {server} lists no tool {name!r} now"
                if why in (None, "gone")
                else f"tool {name!r} of MCP server {server} cannot be used",
                hint="yoi mcp servers",
            )
    chosen = [usable[name] for name in dict.fromkeys(names)] if names else list(usable.values())
    if not chosen:
        raise McpError(
            "mcp.unknown",
            f"MCP server {server} lists no tool that can be used now",
            hint="yoi mcp servers",
        )
    return chosen


def _kept(folder: Path, server: str) -> dict[str, str]:
    """Return the tools of `server` that yoi.toml has as approved."""
    from yoi.decisions.file import read_file
    from yoi.mcp.settings import McpSettings

    settings = McpSettings.read(read_file(folder).document)
    found = next((one for one in settings.servers if one.name == server), None)
    return {} if found is None else dict(found.tools)


def _digest(server: str, chosen: Sequence[Mapping[str, Any]]) -> str:
    said = json.dumps([server, *sorted(one["digest"] for one in chosen)])
    return "sha256:" + hashlib.sha256(b"yoi-mcp-tools-v1\0" + said.encode()).hexdigest()


def _told(chosen: Sequence[Mapping[str, Any]], standing: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{**one, "standing": standing.get(one["name"], "new")} for one in chosen]


def _review(
    server: str,
    chosen: Sequence[Mapping[str, Any]],
    standing: Mapping[str, str],
    digest: str,
) -> "RenderableType":
    from yoi.cli.layout import lines, whole

    parts: list[RenderableType] = [
        shown(f"{server} says of its tools (its own words, from outside):", style="bold")
    ]
    for one in chosen:
        how = standing.get(one["name"], "new")
        title = f"  {one['name']}: {how}"
        parts.append(shown(title, 512, "yellow" if how == "changed" else "bold"))
        words = one["title"], one["description"]
        parts += [whole(shown(f"    {text}", 16 * 1024)) for text in words if text]
        parts.append(whole(shown(f"    {json.dumps(one['input_schema'])}", 64 * 1024, "dim")))
    parts.append(whole(shown(f"digest {digest}", style="dim")))
    return lines(parts)


def _overview(found: Sequence[Mapping[str, Any]]) -> "RenderableType":
    from yoi.cli.layout import lines, table, whole

    if not found:
        return lines(
            [
                shown("no MCP servers: none is in force in this workspace"),
                shown(
                    "  hint: add [[mcp.servers]] to .yoi/yoi.toml, then: yoi trust", style="cyan"
                ),
            ]
        )
    made = table("server", "state", "software", "tools", "error", "runs")
    notes: list[RenderableType] = []
    for one in found:
        standing = [tool["standing"] for tool in one["tools"]]
        counts = ", ".join(f"{standing.count(how)} {how}" for how in dict.fromkeys(standing))
        made.add_row(
            shown(one["name"], style="bold"),
            shown(one["state"], style=_STYLES.get(one["state"], "")),
            shown(one["software"]),
            shown(counts or "none"),
            shown(f"{one['error']} [{one['error_code']}]" if one["error"] else "", 1024),
            shown(one["where"], 1024),
        )
        if one["hint"]:
            notes.append(whole(shown(f"  hint: {one['hint']}", 1024, "cyan")))
        if {"new", "changed"} & set(standing):
            notes.append(shown(f"  hint: yoi mcp approve {shell_word(one['name'])}", style="cyan"))
        notes += [
            shown(f"  {one['name']}: {tool['name']} cannot be used: {tool['problem']}", 1024)
            for tool in one["tools"]
            if tool["problem"]
        ]
    return lines([made, *notes])


def _done(server: str, pins: Mapping[str, str], host: Mapping[str, Any]) -> "RenderableType":
    from yoi.cli.layout import lines
    from yoi.cli.reloading import host_lines

    words = f"approved of {server}: {', '.join(sorted(pins))}"
    return lines([shown(words, 2048, "bold green"), *host_lines(host)])
