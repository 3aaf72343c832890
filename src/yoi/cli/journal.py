"""`yoi journal`: the logs of a workspace, moved between its file and the servers of a cluster."""

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.options import HostConfig, Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.journal.copying import Copied

app = typer.Typer(help="The logs of a workspace: where they are kept.", rich_markup_mode=None)


class Place(StrEnum):
    """Where logs are kept."""

    JETSTREAM = "jetstream"
    SQLITE = "sqlite"


@app.callback()
def _group() -> None:
    """The logs of a workspace: where they are kept."""


@app.command("copy")
def copy(
    to: Annotated[
        Place,
        typer.Option(
            "--to",
            help="jetstream: from this workspace's .yoi/journal.db to the servers of [cluster]; "
            "sqlite: back.",
        ),
    ],
    host_config: HostConfig = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Copy every log of a workspace, compare the copy with its source, and say what arrived.

    No host may run meanwhile. The source stays as it is; a copy that was interrupted is started
    again by the same command.
    """
    import asyncio

    from yoi.cluster.settings import missing_client
    from yoi.decisions.port import AccountDecisions
    from yoi.serving.host_settings import HostSettings

    try:
        from yoi.host.journal_copy import To, copy_journal
    except ModuleNotFoundError as exc:
        raise missing_client(exc) from None
    folder = workspace_folder(workspace)
    output = Output("journal copy", as_json)
    seal = HostSettings.load(host_config).deployment_key
    with output.working(f"copying the logs to {to.value}"):
        made = asyncio.run(copy_journal(folder, To(to.value), AccountDecisions(), seal))
    output.show({"to": to.value, **asdict(made)}, lambda: _view(made, to))


def _view(made: "Copied", to: Place) -> "RenderableType":
    from yoi.cli.layout import lines, pairs

    following = (
        "now start the hosts: yoi serve"
        if to is Place.JETSTREAM
        else "now take [cluster] out of .yoi/yoi.toml, then: yoi serve"
    )
    return lines(
        [
            pairs(
                [
                    ("copied to", shown(to.value)),
                    ("logs", shown(made.logs)),
                    ("records", shown(f"{made.records}, {made.size_bytes} bytes")),
                    ("compared", shown(made.digest)),
                ]
            ),
            shown(following),
        ]
    )
