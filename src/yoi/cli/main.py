"""`yoi`: joins the commands and turns what they raise into words and an exit status.

Only cheap modules are imported here; each command imports the rooms it needs when it runs.
"""

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from yoi.cli import (
    backend,
    console,
    demo,
    doctor,
    plugin,
    runtime,
    schemas,
    secret,
    serve,
    service,
    ticket,
    token,
    trust,
    watch,
    worker,
)
from yoi.cli.exits import Exit
from yoi.cli.failures import defect, from_typer, report
from yoi.errors import YoiError
from yoi.version import __version__

app = typer.Typer(
    name="yoi",
    help="Run WebSocket integrations that nobody has to trust.",
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)
app.add_typer(plugin.app, name="plugin")
app.command("serve")(serve.serve)
app.command("runtime")(runtime.runtime)
app.command("backend")(backend.backend)
app.command("console")(console.console)
app.add_typer(service.app, name="service")
app.add_typer(worker.app, name="worker")
app.add_typer(ticket.app, name="ticket")
app.command("watch")(watch.watch)
app.add_typer(secret.app, name="secret")
app.add_typer(token.app, name="token")
app.command("trust")(trust.trust)
app.command("demo")(demo.demo)
app.command("schema")(schemas.schema)
app.command("doctor")(doctor.doctor)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"yoi {__version__}")
        raise typer.Exit


@app.callback()
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
    as_json = _wants_json(arguments)
    try:
        answer = typer.main.get_command(app).main(arguments, prog_name="yoi", standalone_mode=False)
        sys.stdout.flush()
        return answer if isinstance(answer, int) else Exit.OK
    except YoiError as exc:
        return report(exc, as_json=as_json)
    except typer.TyperException as exc:
        return report(from_typer(exc, _named(arguments)), as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # Whoever read us has seen enough (typer makes a SystemExit of a broken pipe, and of nothing
        # else here). Nothing more may be written, not even at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as exc:
        if os.environ.get("YOI_TRACEBACK"):
            raise
        return report(defect(exc), as_json=as_json)


def main() -> None:
    """Run the process's own command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character must not end the command.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def _wants_json(arguments: Sequence[str]) -> bool:
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before


def _named(arguments: Sequence[str]) -> str:
    """Return `yoi` and the command words that exist, for the hint."""
    words = ["yoi"]
    level: object = typer.main.get_command(app)
    for word in arguments:
        found = getattr(level, "commands", {}).get(word)
        if found is None:
            break
        words.append(word)
        level = found
    return " ".join(words)
