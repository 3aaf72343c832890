"""`yoi cluster`: the machines that share a workspace, as seen from this one."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli import publishing
from yoi.cli.exits import Exit
from yoi.cli.options import HostConfig, Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from yoi.cluster.checks import Finding as Checked
    from yoi.cluster.inspection import ClusterReport, OwnerReport
    from yoi.cluster.settings import ClusterSettings
    from yoi.journal.jetstream_server import NatsSettings

app = typer.Typer(help="The machines that share a workspace.", rich_markup_mode=None)
app.command("publish")(publishing.publish)
app.command("key")(publishing.key)
app.command("seal")(publishing.seal)


@app.callback()
def _group() -> None:
    """The machines that share a workspace."""


@app.command("status")
def status(workspace: Workspace = None, as_json: Json = False) -> None:
    """Show which machines live, how the servers are, and what a person should look at."""
    import asyncio

    report = asyncio.run(_inspected(workspace_folder(workspace)))
    Output("cluster status", as_json).show(asdict(report), lambda: _view(report))


@app.command("doctor")
def doctor(
    host_config: HostConfig = None, workspace: Workspace = None, as_json: Json = False
) -> int:
    """Try what hosts rely on: versions, settings, room, clock, fence, leases, the publication.

    What is tried is written to a log of its own, and removed. The exit status is 1 where something
    fails.
    """
    import asyncio

    from yoi.cli.doctor import render
    from yoi.cli.doctor_checks import Finding

    folder = workspace_folder(workspace)
    output = Output("cluster doctor", as_json)
    with output.working("looking at the NATS servers"):
        looked = asyncio.run(_examined(folder, host_config))
    findings = [Finding(one.name, one.level, one.message, one.fix) for one in looked]
    failed = any(one.level == "fail" for one in findings)
    output.show({"ok": not failed, "checks": findings}, lambda: render(findings))
    return Exit.FAILED if failed else Exit.OK


async def _examined(folder: "Path", host_config: "Path | None") -> "list[Checked]":
    import asyncio
    from dataclasses import replace

    from yoi.serving.host_settings import HostSettings

    settings, servers = await _settings(folder)
    from yoi.cluster.checks import examine
    from yoi.cluster.kept import Kept
    from yoi.cluster.publication import Expected

    machine = await asyncio.to_thread(HostSettings.load, host_config)
    servers = replace(servers, seal=machine.deployment_key)
    obeyed = None
    if machine.publisher is not None:
        obeyed = Expected(machine.publisher, settings.name, Kept(folder).seen())
    return await examine(settings, servers, obeyed)


async def _inspected(folder: "Path") -> "ClusterReport":
    settings, servers = await _settings(folder)
    from yoi.cluster.inspection import inspect

    return await inspect(settings, servers)


async def _settings(folder: "Path") -> "tuple[ClusterSettings, NatsSettings]":
    """Return what the workspace says of its cluster. Raises ClusterError `cluster.none`."""
    import asyncio

    from yoi.cluster.settings import ClusterSettings, missing_client
    from yoi.decisions.port import AccountDecisions

    decisions = AccountDecisions()
    why, page = "it runs on one machine", "docs/how-to/several-machines.md"
    settings = await asyncio.to_thread(ClusterSettings.needed, folder, decisions, why, page)
    try:
        from yoi.host.clustered import servers_of
    except ModuleNotFoundError as exc:
        raise missing_client(exc) from None
    return settings, await servers_of(settings, folder, decisions)


@app.command("leases")
def leases(workspace: Workspace = None, as_json: Json = False) -> None:
    """Show which machine has each service and worker, how it came there, and what runs nowhere."""
    import asyncio

    found = asyncio.run(_owned(workspace_folder(workspace)))
    rows = [asdict(one) for one in found]
    Output("cluster leases", as_json).show({"leases": rows}, lambda: _owners_view(found))


@app.command("release")
def release(
    member: Annotated[str, typer.Argument(metavar="NAME", help="service:NAME or worker:NAME")],
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Let machines run again what was taken over too often without progress."""
    import asyncio

    asyncio.run(_released(workspace_folder(workspace), member))
    Output("cluster release", as_json).show({"released": member}, lambda: f"{member} may run again")


async def _owned(folder: "Path") -> "tuple[OwnerReport, ...]":
    settings, servers = await _settings(folder)
    from yoi.cluster.inspection import owners

    return await owners(settings, servers)


async def _released(folder: "Path", member: str) -> None:
    settings, servers = await _settings(folder)
    from yoi.cluster.inspection import release as release_member

    await release_member(settings, servers, member)


def _machines(report: "ClusterReport") -> str:
    return ", ".join(f"{one.name} ({one.owns})" for one in report.machines)


def _owners_view(found: "tuple[OwnerReport, ...]") -> "RenderableType":
    from yoi.cli.layout import table
    from yoi.cli.move_words import moved

    if not found:
        return "no machine has run anything yet: yoi cluster publish, then yoi serve on a machine"
    rows = table("", "state", "machine", "since", "epoch", "")
    for one in found:
        came = moved(one.moves, one.moved)
        rows.add_row(
            *map(shown, (one.name, one.state, one.machine, one.since, str(one.epoch))),
            shown(one.barred or came, 200),
        )
    return rows


def _view(report: "ClusterReport") -> "RenderableType":
    from rich.text import Text

    from yoi.cli.layout import lines, many, pairs, size, table

    servers = table("server", "nats-server", "")
    for one in report.servers:
        servers.add_row(shown(one.url), shown(one.version or "-"), shown(one.fault or "", 200))
    used = f"{size(report.records_bytes)} of {size(report.size_bytes)}"
    kept = "" if not report.replicas else f", {many(report.replicas, 'copy', 'copies')}"
    parts: list[RenderableType] = [
        pairs(
            [
                ("machines", shown(_machines(report) or "no machine lives")),
                ("logs", shown(f"{report.logs}; {used}{kept}")),
            ]
        ),
        servers,
        *(Text.assemble(("! ", "yellow"), shown(one, 400)) for one in report.remarks),
    ]
    return lines(parts)
