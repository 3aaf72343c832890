"""`yoi watch`: follow a worker, a service or the work items live, or see all there are."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.options import JsonLines, Workspace, workspace_folder
from yoi.cli.output import Output, console
from yoi.display import shell_word
from yoi.errors import ControlError, ObserveError, UsageError

if TYPE_CHECKING:
    from yoi.cli.watch_locations import Location
    from yoi.client import RuntimeListing

_HINTS = {
    "observe.unauthorized": "make a token on the server's machine: yoi token create",
    "observe.not_found": "see what there is: yoi watch, without a name",
    "observe.cursor": "leave --cursor away: a fresh snapshot comes first",
    "observe.tls": "trust your own authority with --ca FILE; use the name of the certificate",
}


def watch(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A worker, service:NAME or tickets; otherwise all."),
    ] = None,
    workspace: Workspace = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="A backend elsewhere, http:// or https://."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Its token, the file's only line."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", metavar="FILE", help="Certificates (PEM) to trust instead."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", metavar="ID", help="Which runtime, if there are several."),
    ] = None,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="CURSOR", help="Go on after this position, exactly."),
    ] = None,
    every: Annotated[
        float,
        typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Without NAME: how often to look."),
    ] = 1.0,
    count: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Without NAME: stop after N looks; in a pipe after one."
        ),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Follow a worker, a service or the work items live through every loss of connection.

    Without --url it is what `yoi serve` runs in the workspace. It goes on until interrupted;
    Ctrl-C ends it with status 0.
    """
    if (url is None) != (token_file is None):
        raise UsageError(
            "usage.arguments",
            "a backend elsewhere needs --url and --token-file",
            hint="yoi watch --url https://HOST --token-file FILE",
        )
    if cursor is not None and name is None:
        raise UsageError(
            "usage.arguments",
            "a cursor is a position of one worker, service or board",
            hint="yoi watch NAME --cursor CURSOR",
        )
    from yoi.cli.watch_locations import RemoteLocation, WorkspaceLocation, instead

    output = Output("watch", as_json)
    location: Location | None = None
    try:
        if url is None or token_file is None:
            location = WorkspaceLocation(workspace_folder(workspace), ca, runtime)
        else:
            location = RemoteLocation(url, token_file, ca, runtime)
        if name is None:
            once = None if console().is_terminal else 1
            _all(location, output, every, count or once)
        else:
            _one(location, name, cursor, output)
    except ObserveError as exc:
        hint = exc.hint or _HINTS.get(exc.code)
        if exc.code == "observe.not_found" and location is not None and name is not None:
            hint = instead(location, name) or hint
        raise ObserveError(exc.code, exc.message, hint=hint, **exc.fields) from None


def _one(location: "Location", name: str, cursor: str | None, output: Output) -> None:
    import asyncio

    from yoi.cli import watch_view
    from yoi.client import observe

    target = location.target(name)
    screen = watch_view.Screen(output, target.subject)
    watch = observe(
        target, cursor=cursor, tls=location.tls, locate=location.locator(target.subject)
    )

    async def follow() -> None:
        async with watch:
            async for value in watch:
                screen.show(value)

    try:
        asyncio.run(follow())
    except KeyboardInterrupt:  # how a person ends it
        screen.settle()
        if watch.cursor is not None:
            output.note(watch_view.resume_hint(_command(), watch.cursor))


def _all(location: "Location", output: Output, every: float, count: int | None) -> None:
    from yoi.cli import watch_view
    from yoi.cli.watching import follow

    last: list[list[RuntimeListing]] = []

    def look() -> tuple[list["RuntimeListing"], str]:
        try:
            last[:] = [location.runtimes()]
        except (ControlError, ObserveError) as exc:
            if not last or exc.code not in ("control.unreachable", "observe.unreachable"):
                raise
            return last[0], exc.message
        return last[0], ""

    follow(
        look,
        lambda seen: watch_view.overview(*seen),
        output,
        every,
        count,
        lambda seen: {"runtimes": seen[0], "trouble": seen[1] or None},
    )


def _command() -> str:
    """Return this command line without its cursor."""
    words = ["yoi", *sys.argv[1:]]
    kept, skip = [], False
    for word in words:
        if not skip and word != "--cursor" and not word.startswith("--cursor="):
            kept.append(word)
        skip = word == "--cursor"
    return " ".join(map(shell_word, kept))
