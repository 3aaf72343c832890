"""`yoi`: joins the commands and turns what they raise into words and an exit status.

Only cheap modules are imported here. A command line loads the module of its own command, which
imports the rooms it needs when it runs.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from yoi.cli.elsewhere import ELSEWHERE
from yoi.cli.exits import Exit
from yoi.cli.failures import defect, from_typer, no_completion, report, unwritten
from yoi.cli.hints import in_workspace, typed_workspace
from yoi.cli.streams import Unwritten, open_streams
from yoi.errors import YoiError
from yoi.version import __version__

_COMMANDS = {
    "plugin": "yoi.cli.plugin:app",
    "serve": "yoi.cli.serve:serve",
    "runtime": "yoi.cli.runtime:app",
    "backend": "yoi.cli.backend:backend",
    "console": "yoi.cli.console:console",
    "service": "yoi.cli.service:app",
    "worker": "yoi.cli.worker:app",
    "ticket": "yoi.cli.ticket:app",
    "mcp": "yoi.cli.mcp:app",
    "watch": "yoi.cli.watch:watch",
    "secret": "yoi.cli.secret:app",
    "cluster": "yoi.cli.cluster:app",
    "journal": "yoi.cli.journal:app",
    "token": "yoi.cli.token:app",
    "trust": "yoi.cli.trust:trust",
    "demo": "yoi.cli.demo:demo",
    "schema": "yoi.cli.schemas:schema",
    "doctor": "yoi.cli.doctor:doctor",
}
"""Each command and what defines it: a group of commands where that is a Typer, else a function."""

_COMPLETING = "_YOI_COMPLETE"
"""Set by the completion scripts of `yoi --install-completion`."""


def command_line(names: Iterable[str] = tuple(_COMMANDS)) -> typer.Typer:
    """Return `yoi` with the commands `names`, loading the modules of these only."""
    app = typer.Typer(
        name="yoi",
        help="Run WebSocket integrations that nobody has to trust.",
        rich_markup_mode=None,
        context_settings={"max_content_width": 100},
    )
    app.callback()(_yoi)
    for name in names:
        module, _, attribute = _COMMANDS[name].partition(":")
        defined = getattr(importlib.import_module(module), attribute)
        if isinstance(defined, typer.Typer):
            app.add_typer(defined, name=name)
        else:
            app.command(name)(defined)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        print(f"yoi {__version__}")
        raise typer.Exit


def _yoi(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit status; never raises for what it met."""
    arguments = list(arguments) or ["--help"]
    try:
        return _carry_out(arguments, as_json=_wants_json(arguments))
    except (BrokenPipeError, SystemExit):
        # The reader of our output has closed it (typer makes a SystemExit of a broken pipe, and of
        # nothing else here).
        _write_no_more()
        return Exit.OK
    except Unwritten as exc:
        # What the command did is done; its answer is lost.
        _write_no_more()
        return unwritten(exc)


def _carry_out(arguments: list[str], *, as_json: bool) -> int:
    """Carry out one command line; raises only what writing to stdout or stderr raises."""
    ELSEWHERE.forget()
    try:
        program = typer.main.get_command(command_line(_needed(arguments)))
        answer = program.main(arguments, prog_name="yoi", standalone_mode=False)
        sys.stdout.flush()
        return answer if isinstance(answer, int) else Exit.OK
    except YoiError as exc:
        workspace = typed_workspace(arguments)
        if exc.hint and workspace is not None:
            exc.hint = in_workspace(exc.hint, workspace, named_command)
        return report(exc, as_json=as_json)
    except typer.TyperException as exc:
        return report(from_typer(exc, _named(arguments)), as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except (BrokenPipeError, Unwritten):
        raise
    except Exception as exc:
        if isinstance(exc, OSError) and "--install-completion" in arguments:
            return report(no_completion(exc), as_json=as_json)
        if os.environ.get("YOI_TRACEBACK"):
            raise
        return report(defect(exc), as_json=as_json)


def _write_no_more() -> None:
    """Have what is held back go nowhere, so that not even the end of the process writes it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the process's own command line and exit."""
    # Whatever the account's umask: nothing that Yoi makes can be changed by everybody.
    os.umask(os.umask(0o077) | 0o002)
    open_streams()
    sys.exit(run(sys.argv[1:]))


def _needed(arguments: Sequence[str]) -> Iterable[str]:
    """Return the commands that `arguments` can mean: one, none for the version, or all."""
    if arguments[0] in _COMMANDS and _COMPLETING not in os.environ:
        return arguments[:1]
    return () if arguments == ["--version"] else _COMMANDS


def _wants_json(arguments: Sequence[str]) -> bool:
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before


def named_command(name: str) -> object:
    """Return what `yoi NAME` stands for; None where there is no such command."""
    if name not in _COMMANDS:
        return None
    program = typer.main.get_command(command_line([name]))
    # A single command is the program itself.
    return getattr(program, "commands", {name: program}).get(name)


def _named(arguments: Sequence[str]) -> str:
    """Return `yoi` and the command words that exist, for the hint."""
    words = ["yoi"]
    level: object = typer.main.get_command(command_line(_needed(arguments)))
    for word in arguments:
        found = getattr(level, "commands", {}).get(word)
        if found is None:
            break
        words.append(word)
        level = found
    return " ".join(words)
