"""`yoi secret`: put values into the workspace's secret store. No command ever prints one."""

import getpass
import io
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli import authorizing
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.errors import UsageError
from yoi.limits import LIMITS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.secrets import SecretEntry, SecretStore

app = typer.Typer(help="Keep tokens where no plugin can read them.", rich_markup_mode=None)
app.command("authorize")(authorizing.authorize)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '-', '_' and '.'.")]


class TerminalPrompt:
    """Asks a person on the terminal itself, so that standard input may carry a value."""

    def passphrase(self) -> str:
        """Return the passphrase of the store."""
        return _hidden("Passphrase of the secret store: ")

    def new_passphrase(self) -> str:
        """Return a passphrase that was typed twice alike."""
        first = _hidden("New passphrase for the secret store: ")
        if _hidden("The same again: ") != first:
            raise UsageError("usage.arguments", "the two passphrases differ; nothing was stored")
        return first


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

    # Before anything is asked for: nobody types a token to learn that the name is wrong.
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


def open_workspace_store(folder: Path) -> "SecretStore":
    """Return the secret store of the workspace `folder`, as far as it was decided."""
    from yoi.decisions.secrets import secret_settings
    from yoi.secrets import open_store

    return open_store(folder, secret_settings(folder), TerminalPrompt())


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
            hint=f"yoi secret set {name} --stdin < FILE",
        )
    return _hidden(f"Value of {name}: ")


def _hidden(words: str) -> str:
    """Return what is typed on the terminal without echo; without a terminal, nothing is read."""
    try:
        with warnings.catch_warnings():
            # Otherwise getpass goes on with an echo, or takes the value on stdin for the answer.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(words)
    except getpass.GetPassWarning:
        raise UsageError(
            "usage.arguments",
            "there is no terminal on which a passphrase could be typed unseen",
            hint='a host without people uses a key file: [secrets] unlock = "key-file"',
        ) from None
    except EOFError:
        raise UsageError("usage.aborted", "nothing was typed") from None


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
