"""`yoi token`: who may watch, and what of it. A token is shown once, when it is made."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.display import printable, shell_word
from yoi.errors import TokenError, UsageError
from yoi.types import rfc3339

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.serving.token_entries import TokenEntry
    from yoi.serving.tokens import TokenStore

app = typer.Typer(help="Say who may watch, and how much of it.", rich_markup_mode=None)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '-', '_' and '.'.")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LIFETIME = re.compile(r"([1-9][0-9]{0,4})([mhdw])", re.ASCII)
_LONGEST = timedelta(days=3660)


@app.command("create")
def create(
    name: _Name,
    observe: Annotated[
        list[str] | None,
        typer.Option(
            "--observe",
            metavar="PATTERN",
            help="What it may watch: *, RUNTIME/worker/NAME, */service/* (default: *); repeatable.",
        ),
    ] = None,
    redact: Annotated[
        list[str] | None,
        typer.Option(
            "--redact",
            metavar="WHAT",
            help="What is withheld from it: thinking, tool_arguments, tool_output, diagnostics, "
            "tickets; repeatable.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="COMMAND",
            help="What it may ask of the workers of `yoi serve`: approve, cancel, compact, pause, "
            "resume, revoke, send; repeatable.",
        ),
    ] = None,
    upstream: Annotated[
        bool, typer.Option("--upstream", help="For a backend that reads this runtime.")
    ] = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="For reading /metrics, and nothing else.")
    ] = False,
    expires: Annotated[
        str,
        typer.Option("--expires", metavar="TIME", help="When it ends: 12h, 30d, 8w, or never."),
    ] = "90d",
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, this once. Only its hash is kept."""
    from yoi.serving.principals import SubjectPattern
    from yoi.serving.token_entries import TokenKind, parse_redaction

    if upstream and metrics:
        raise UsageError("usage.arguments", "--upstream and --metrics do not go together")
    _check_commands(allow or ())
    kind = TokenKind.UPSTREAM if upstream else TokenKind.METRICS if metrics else TokenKind.OBSERVER
    if observe is None:
        observe = [] if metrics else ["*"]
    entry, token = _store(workspace).create(
        name,
        kind=kind,
        observe=[SubjectPattern.parse(text) for text in observe],
        redact=[parse_redaction(text) for text in redact or ()],
        commands=allow or (),
        expires_at=_end(expires),
    )
    output = Output("token create", as_json)
    output.note(_in_words(entry))
    output.show({"token": token.reveal(), **_row(entry)}, lambda: shown(token.reveal()))
    output.note("It is not shown again. " + _next(entry))


@app.command("list")
def list_(workspace: Workspace = None, as_json: Json = False) -> None:
    """List the tokens, what each may watch, and when it ends."""
    store = _store(workspace)
    store.reload()
    entries = store.entries()
    Output("token list", as_json).show(
        {"tokens": [{**_row(entry), "expired": _expired(entry)} for entry in entries]},
        lambda: _table(entries),
    )


@app.command("revoke")
def revoke(name: _Name, workspace: Workspace = None, as_json: Json = False) -> None:
    """Make a token worthless, with every session that came with it."""
    _store(workspace).revoke(name)
    Output("token revoke", as_json).show(
        {"name": name, "revoked": True}, lambda: shown(f"revoked {name}")
    )


@app.command("rotate-keys")
def rotate_keys(workspace: Workspace = None, as_json: Json = False) -> None:
    """Make new keys for cursors and sessions: browsers sign in again, watchers keep their place.

    A running process takes them when it is restarted.
    """
    from yoi.decisions.port import AccountDecisions
    from yoi.serving.keys import KeyStore, keys_file

    folder = workspace_folder(workspace)
    keys = KeyStore(keys_file(folder), owner=AccountDecisions().identity(folder)).rotate()
    output = Output("token rotate-keys", as_json)
    output.show(
        {"rotated": True, "cursor_keys": len(keys.cursors)},
        lambda: shown("made new keys; restart what runs here to use them"),
    )


def _store(workspace: Path | None) -> "TokenStore":
    from yoi.decisions.port import AccountDecisions
    from yoi.serving.tokens import TokenStore, tokens_file

    folder = workspace_folder(workspace)
    return TokenStore(tokens_file(folder), owner=AccountDecisions().identity(folder))


def _now() -> datetime:
    return datetime.now(UTC)


def _end(text: str) -> datetime | None:
    """Return the moment that `text` from now is, None for never."""
    if text == "never":
        return None
    found = _LIFETIME.fullmatch(text)
    lifetime = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if lifetime is None or lifetime > _LONGEST:
        raise TokenError(
            "token.value",
            f"{text!r} is not a time for a token to last",
            hint="write 45m, 12h, 30d, 8w (ten years at most), or never",
        )
    return _now() + lifetime


def _check_commands(names: Sequence[str]) -> None:
    from yoi.serving.principals import COMMANDS

    unknown = [name for name in names if name not in COMMANDS]
    if unknown:
        raise TokenError(
            "token.value",
            f"there is no command {printable(unknown[0], 60)!r}; there are {', '.join(COMMANDS)}",
        )


def _expired(entry: "TokenEntry") -> bool:
    return entry.expires_at is not None and entry.expires_at <= _now()


def _row(entry: "TokenEntry") -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": str(entry.kind),
        "observe": [str(pattern) for pattern in entry.observe],
        "redact": [str(one) for one in sorted(entry.redact)],
        "commands": sorted(entry.commands),
        "created_at": rfc3339(entry.created_at),
        "expires_at": None if entry.expires_at is None else rfc3339(entry.expires_at),
    }


def _in_words(entry: "TokenEntry") -> str:
    from yoi.serving.token_entries import TokenKind

    if entry.kind is TokenKind.METRICS:
        may = "may read /metrics"
    else:
        may = f"may watch {_listed(entry.observe)}"
    hidden = f", without {_listed(sorted(entry.redact))}" if entry.redact else ""
    sends = f"; commands: {_listed(sorted(entry.commands))}" if entry.commands else ""
    return f"{entry.name} {may}{hidden}{sends}; it ends: {_moment(entry)}"


def _next(entry: "TokenEntry") -> str:
    from yoi.serving.token_entries import TokenKind

    if entry.kind is TokenKind.UPSTREAM:
        return "Where the backend runs, keep it with: yoi secret set NAME"
    return f"Take it back with: yoi token revoke {shell_word(entry.name)}"


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)


def _moment(entry: "TokenEntry") -> str:
    from yoi.cli.layout import moment

    if entry.expires_at is None:
        return "never"
    words = f"{moment(rfc3339(entry.expires_at))} UTC"
    return f"{words} (over)" if _expired(entry) else words


def _table(entries: "tuple[TokenEntry, ...]") -> "RenderableType":
    from yoi.cli.layout import table

    if not entries:
        return shown("No tokens yet. Make one with: yoi token create NAME")
    grid = table("name", "kind", "may watch", "withheld", "ends")
    for entry in entries:
        grid.add_row(
            shown(entry.name),
            shown(entry.kind),
            shown(_listed(entry.observe)),
            shown(_listed(sorted(entry.redact))),
            shown(_moment(entry)),
        )
    return grid
