"""`yoi console`: an address that lets a browser in, once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.errors import ControlError


def ask_backend(folder: Path, method: str) -> Any:
    """Return what the backend of a workspace answers: that of `yoi serve`, or `yoi backend`.

    Raises ControlError `control.unreachable` when neither runs.
    """
    from yoi.control.client import ask_part
    from yoi.control.wire import BACKEND, HOST

    for part in (HOST, BACKEND):
        try:
            return ask_part(part, folder, method, {})
        except ControlError as exc:
            # A runtime without a backend answers, but knows no such method.
            if exc.code not in ("control.unreachable", "control.refused"):
                raise
    raise ControlError(
        "control.unreachable",
        f"nothing in {folder} can be watched now",
        hint="start it with: yoi serve\nor, for runtimes elsewhere: yoi backend",
    )


def console(
    workspace: Workspace = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open it in this machine's browser.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print an address of the web console that works once, for a short while."""
    answer = ask_backend(workspace_folder(workspace), "observation.console")
    url = str(answer["url"])
    if open_it:
        import webbrowser

        webbrowser.open(url)
    Output("console", as_json).show({"url": url}, lambda: shown(url, 1024))
