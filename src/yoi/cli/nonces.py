"""`yoi secret nonces`: which numbers the signatures of a key were made with, and where to go on."""

from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType


def nonces(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The key's name in the store.")],
    beyond: Annotated[
        int | None,
        typer.Option(
            "--beyond",
            metavar="N",
            help="Only numbers over N from now on: one that the server has taken.",
        ),
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Show the numbers of a key that signs, or say where they go on after they were lost."""
    from yoi.decisions.nonces import nonce_store
    from yoi.secrets.store import check_name

    check_name(name)
    store = nonce_store(workspace_folder(workspace))
    if beyond is not None:
        store.begin(name, beyond)
    used = {
        entry.rpartition(".")[2]: kept
        for entry, kept in store.used().items()
        if entry.rpartition(".")[0] == name
    }
    Output("secret nonces", as_json).show(
        {
            "name": name,
            "nonces": [
                {"unit": unit, "workspace": own, "account": witness}
                for unit, (own, witness) in used.items()
            ],
        },
        lambda: _table(name, used),
    )


def _table(name: str, used: "Mapping[str, tuple[int | None, int | None]]") -> "RenderableType":
    from yoi.cli.layout import table

    if not used:
        return shown(f"{name} has signed nothing with a number yet.")
    grid = table("unit", ">below, by the workspace", ">by the account")
    for unit, kept in used.items():
        grid.add_row(shown(unit), *(shown("lost" if one is None else one) for one in kept))
    return grid
