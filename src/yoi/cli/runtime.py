"""`yoi runtime`: the services and workers of a workspace, watched through a backend elsewhere."""

from pathlib import Path
from typing import Annotated, Any

import typer

from yoi.cli.logs import LogDetail, LogFormat, LogLevel, LogLines, configure_logs
from yoi.cli.options import HostConfig, Json, JsonLines, Verbose, Workspace, workspace_folder
from yoi.cli.output import HostOutput, Output, shown
from yoi.cli.serve import QUIET, Printer
from yoi.cli.trusting import TrustDigest, TrustWorkspace, decisions_of
from yoi.errors import ClusterError, ControlError

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def runtime(
    context: typer.Context,
    workspace: Workspace = None,
    verbose: Verbose = False,
    trust_digest: TrustDigest = None,
    trust_workspace: TrustWorkspace = False,
    as_json: JsonLines = False,
    log_format: LogLines = LogFormat.TEXT,
    log_level: LogDetail = LogLevel.INFO,
    host_config: HostConfig = None,
) -> int | None:
    """Run what is enabled in the workspace, and let backends with a token watch it.

    Where it listens, and its certificate, stand in the [runtime] table of .yoi/yoi.toml. Runs until
    SIGTERM or Ctrl-C; then drains and exits 0.
    """
    if context.invoked_subcommand is not None:
        return None
    from yoi.host import Host
    from yoi.host.process import run
    from yoi.serving.host_settings import HostSettings

    configure_logs(log_format, level=log_level)
    folder = workspace_folder(workspace)
    hidden = frozenset[str]() if verbose else QUIET
    output = HostOutput("runtime", as_json)
    printer = Printer(output, folder, hidden, "for backends")
    host = Host.runtime(
        folder,
        decisions=decisions_of(trust_digest, trust_workspace, folder, output),
        machine=HostSettings.load(host_config),
        on_diagnostic=printer.tell,
        preparing=printer.preparing,
    )
    return run(host, printer.ready)


@app.command("drain")
def drain(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="service:NAME or worker:NAME; without one, all."),
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take again what is free, after a drain of all.")
    ] = False,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Hand over what the running host owns to the other machines of its cluster.

    A service or worker that is named is handed over wherever it runs. What a unit has read is
    handled first, and nothing accepted is lost. Drained of all, the host takes nothing until --undo
    or its next start; of a unit, others may take it for a while first.
    """
    folder, output = workspace_folder(workspace), Output("runtime drain", as_json)
    given: list[str] = []
    answer: dict[str, Any] = {}
    # One unit at a time: where the next is refused, what was handed over is told already.
    for units in [[name] for name in names or []] or [[]]:
        if not given or units[0] not in given:
            answer = _ask_drain(folder, units, undo=undo)
            given += answer["handed_over"]
            if len(names or []) > 1:
                output.note(f"handed over: {', '.join(answer['handed_over'])}")
    answer = {**answer, "handed_over": sorted(given)}
    output.show(answer, lambda: _drained(answer))


def _ask_drain(folder: Path, names: list[str], *, undo: bool) -> dict[str, Any]:
    from yoi.cli.host_calls import ask

    try:
        answer: dict[str, Any] = ask(folder, "cluster.drain", units=names, undo=undo)
    except ControlError as exc:
        if exc.code != "control.refused":
            raise
        raise ClusterError(
            "cluster.none",
            "the host runs by itself: there is no machine to hand over to",
            hint="docs/how-to/several-machines.md",
        ) from None
    return answer


def _drained(answer: dict[str, Any]) -> Any:
    given = ", ".join(answer["handed_over"]) or "nothing"
    return shown(f"handed over: {given}; {answer['machine']} owns {len(answer['owns'])}", 1024)
