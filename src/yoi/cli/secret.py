"""`yoi secret`: put values into the workspace's secret store. No command ever prints one."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli import authorizing, nonces
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.cli.secret_store import hidden, open_workspace_store
from yoi.display import shell_word
from yoi.errors import UsageError
from yoi.limits import LIMITS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.secrets import SecretEntry, SecretStore

app = typer.Typer(help="Keep tokens where no plugin can read them.", rich_markup_mode=None)
app.command("authorize")(authorizing.authorize)
app.command("nonces")(nonces.nonces)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '-', '_' and '.'.")]


@app.command("set")
def set_(
    name: _Name,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the value from standard input, not from a prompt.")
    ] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Store a secret, or give it a new value. The value is asked for without being shown."""
    from yoi.secrets.store import check_name, check_value

    # Before anything is asked for: a person must not type a token to learn that the name is wrong.
    check_name(name)
    store = _store(workspace)
    value = check_value(name, _from_stdin() if stdin else _from_prompt(name))
    version = store.set(name, value)
    Output("secret set", as_json).show(
        {"name": name, "version": version, "stored": True}, lambda: shown(f"stored {name}")
    )


@app.command("list")
def list_(workspace: Workspace = None, as_json: Json = False) -> None:
    """List the names in the store, and when each value was last changed."""
    entries = _store(workspace).entries()
    Output("secret list", as_json).show(
        {
            "secrets": [
                {"name": one.name, "version": one.version, "changed_at": one.changed_at}
                for one in entries
            ]
        },
        lambda: _table(entries),
    )


@app.command("remove")
def remove(name: _Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Forget a secret. Plugins that were granted it are told that it is missing."""
    _store(workspace).remove(name)
    Output("secret remove", as_json).show(
        {"name": name, "removed": True}, lambda: shown(f"removed {name}")
    )


def _store(workspace: Path | None) -> "SecretStore":
    return open_workspace_store(workspace_folder(workspace))


def _table(entries: "tuple[SecretEntry, ...]") -> "RenderableType":
    from yoi.cli.layout import moment, table

    if not entries:
        return shown("No secrets yet. Store one with: yoi secret set NAME")
    grid = table("name", "changed (UTC)", ">version")
    for one in entries:
        grid.add_row(shown(one.name), shown(moment(one.changed_at)), shown(one.version))
    return grid


def _from_prompt(name: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError(
            "usage.arguments",
            "there is no terminal to ask on",
            hint=f"yoi secret set {shell_word(name)} --stdin < FILE",
        )
    return hidden(f"Value of {name}: ")


def _from_stdin() -> str:
    """Return standard input without one line end at its end; a PEM key keeps its lines."""
    source = sys.stdin.buffer if isinstance(sys.stdin, io.TextIOWrapper) else None
    most = LIMITS.secret_value_bytes + 2
    data = source.read(most + 1) if source is not None else sys.stdin.read(most + 1).encode()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError("usage.arguments", "standard input is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
