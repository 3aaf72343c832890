"""`yoi cluster publish` and `yoi cluster key`: what was decided here, for other machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.options import HostConfig, Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.types import SystemClock, rfc3339_ms

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.host.publishing import Made
    from yoi.secrets.publisher import PublicKey, PublisherKey

_Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="The key that signs; made where it is missing (default: publisher.key of the "
        "account's publications).",
    ),
]


def publish(
    key_file: _Key = None,
    days: Annotated[
        int,
        typer.Option("--days", min=1, max=366, help="For how many days machines go by it."),
    ] = 30,
    taking_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="This workspace decides from now on, instead of the one that published before.",
        ),
    ] = False,
    host_config: HostConfig = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Publish the plugins and workers that are in force here, signed, to the [cluster].

    Machines whose host.toml names the key run them, and nothing else, within seconds; what is not
    in force here any more stops there.
    """
    import asyncio

    from yoi.cluster.settings import missing_client
    from yoi.decisions.port import AccountDecisions
    from yoi.serving.host_settings import HostSettings

    try:
        from yoi.host.publishing import publish as published
        from yoi.host.publishing import take_over
    except ModuleNotFoundError as exc:
        raise missing_client(exc) from None
    folder = workspace_folder(workspace)
    output = Output("cluster publish", as_json)
    signing = _signing_key(key_file)
    sealing = HostSettings.load(host_config).deployment_key
    now_ms = SystemClock().wall_ms()
    with output.working("publishing"):
        if taking_over:
            asyncio.run(take_over(folder, AccountDecisions(), signing))
        made = asyncio.run(published(folder, AccountDecisions(), signing, sealing, now_ms, days))
    found = made.publication
    output.show(
        {
            "deployment": found.deployment,
            "name": found.name,
            "serial": found.serial,
            "expires_at": rfc3339_ms(found.expires_at_ms),
            "entries": sorted(found.entries),
            "packages": [one.digest for one in found.packages],
            "pending": made.pending,
            "secrets": made.secrets,
            "own_secrets": made.own_secrets,
            "publisher": str(signing.public),
        },
        lambda: _view(made, signing.public),
    )
    if made.own_secrets:
        output.note(f"each machine needs these in its own store: {', '.join(made.own_secrets)}")
    if made.pending:
        output.note(f"not published, because not decided here: {', '.join(made.pending)}", "yellow")
        output.note("  review it with: yoi trust; then publish again")


def seal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the key is made.")],
    as_json: Json = False,
) -> None:
    """Make the key that all machines of a deployment share, where FILE is not there yet.

    It seals the published secrets and the records of all logs. Bring it to every machine yourself,
    never over the NATS servers.
    """
    from yoi.secrets.deployment import DeploymentKey

    made = DeploymentKey.create(file)
    Output("cluster seal", as_json).show(
        {"key_file": str(file.absolute()), "id": made.id},
        lambda: _lines("[cluster]", f'key_file = "{file.absolute()}"'),
    )


def key(key_file: _Key = None, as_json: Json = False) -> None:
    """Print the public key that machines obey, with the lines for their host.toml."""
    public = _signing_key(key_file).public
    Output("cluster key", as_json).show(
        {"publisher": str(public)}, lambda: _lines("[cluster]", f'publisher = "{public}"')
    )


def _signing_key(path: Path | None) -> "PublisherKey":
    from yoi.cluster.kept import state_folder
    from yoi.secrets.publisher import PublisherKey

    return PublisherKey.read(path or state_folder() / "publisher.key")


def _view(made: "Made", public: "PublicKey") -> "RenderableType":
    from yoi.cli.layout import lines, pairs
    from yoi.decisions.words import entry_words

    found = made.publication
    return lines(
        [
            pairs(
                [
                    ("published", shown(f"{found.name}, serial {found.serial}")),
                    ("until", shown(rfc3339_ms(found.expires_at_ms))),
                    ("signed by", shown(public)),
                    ("packages", shown(len(found.packages))),
                    ("secrets, sealed", shown(", ".join(made.secrets) or "none")),
                ]
            ),
            *(shown(f"  {entry_words(name)}") for name in sorted(found.entries)),
        ]
    )


def _lines(*rows: str) -> "RenderableType":
    from yoi.cli.layout import lines

    return lines([shown(row, 1024) for row in rows])
