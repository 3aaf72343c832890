"""`yoi cluster`: the machines that share a workspace, as seen from this one."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from yoi.cli import publishing
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from yoi.cluster.inspection import ClusterReport

app = typer.Typer(help="Several machines, one of which runs.", rich_markup_mode=None)
app.command("publish")(publishing.publish)
app.command("key")(publishing.key)


@app.callback()
def _group() -> None:
    """Several machines, one of which runs."""


@app.command("status")
def status(workspace: Workspace = None, as_json: Json = False) -> None:
    """Show which host runs, how the servers are, and what a person should look at."""
    import asyncio

    report = asyncio.run(_inspected(workspace_folder(workspace)))
    Output("cluster status", as_json).show(asdict(report), lambda: _view(report))


async def _inspected(folder: "Path") -> "ClusterReport":
    import asyncio

    from yoi.cluster.settings import ClusterSettings, missing_client
    from yoi.decisions.port import AccountDecisions

    decisions = AccountDecisions()
    settings = await asyncio.to_thread(ClusterSettings.load, folder, decisions)
    if settings is None:
        raise ClusterError(
            "cluster.none",
            "this workspace has no [cluster] in force: it runs on one machine",
            hint="docs/how-to/several-machines.md; after an edit: yoi trust",
        )
    try:
        from yoi.cluster.inspection import inspect
        from yoi.host.clustered import servers_of
    except ModuleNotFoundError as exc:
        raise missing_client(exc) from None
    return await inspect(settings, await servers_of(settings, folder, decisions))


def _view(report: "ClusterReport") -> "RenderableType":
    from rich.text import Text

    from yoi.cli.layout import lines, pairs, table

    servers = table("server", "nats-server", "")
    for one in report.servers:
        servers.add_row(shown(one.url), shown(one.version or "-"), shown(one.fault or "", 200))
    used = f"{report.records_bytes} of {report.size_bytes} bytes, {report.replicas} copies"
    parts: list[RenderableType] = [
        pairs(
            [
                ("runs on", shown(report.holder or "nobody has the lease")),
                ("logs", shown(f"{report.logs}; {used}")),
            ]
        ),
        servers,
        *(Text.assemble(("! ", "yellow"), shown(one, 400)) for one in report.remarks),
    ]
    return lines(parts)
