"""`yoi serve`: run the services of a workspace, and say what happens as it happens."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.logs import LogDetail, LogFormat, LogLevel, LogLines, configure_logs
from yoi.cli.options import HostConfig, JsonLines, Verbose, Workspace, workspace_folder
from yoi.cli.output import HostOutput, Output, shown
from yoi.cli.trusting import TrustDigest, TrustWorkspace, decisions_of
from yoi.cli.watching_address import watching_address

if TYPE_CHECKING:
    from rich.text import Text

    from yoi.host import Host
    from yoi.protocol.diagnostics import Diagnostic

_PATIENCE_SECONDS = 2.0
QUIET = frozenset({"notice.log"})
"""What only `--verbose` prints."""


def serve(
    workspace: Workspace = None,
    verbose: Verbose = False,
    trust_digest: TrustDigest = None,
    trust_workspace: TrustWorkspace = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            metavar="PORT",
            help="Listen at this port for once, whatever yoi.toml says; 0 takes any free one.",
        ),
    ] = None,
    as_json: JsonLines = False,
    log_format: LogLines = LogFormat.TEXT,
    log_level: LogDetail = LogLevel.INFO,
    host_config: HostConfig = None,
) -> int:
    """Run what is enabled in the workspace until SIGTERM or Ctrl-C; then drain and exit 0.

    Everything can be watched at the address it prints, and with `yoi watch`. Where it listens
    stands in the [observation] table of .yoi/yoi.toml.
    """
    configure_logs(log_format, level=log_level)
    folder = workspace_folder(workspace)
    output = HostOutput("serve", as_json)
    printer = Printer(output, folder, frozenset() if verbose else QUIET)
    from yoi.host import Host
    from yoi.host.process import run
    from yoi.serving.host_settings import HostSettings

    host = Host(
        folder,
        decisions=decisions_of(trust_digest, trust_workspace, folder, output),
        machine=HostSettings.load(host_config),
        port=port,
        on_diagnostic=printer.tell,
        preparing=printer.preparing,
    )
    return run(host, printer.ready)


class Printer:
    """Prints the lines of a running host; codes in `hidden` are left to `yoi service status`.

    `address` is what its address is for.
    """

    def __init__(
        self, output: Output, workspace: Path, hidden: frozenset[str], address: str = "watch"
    ) -> None:
        self._output = output
        self._workspace = workspace
        self._hidden = hidden
        self._address = address
        self._held: list[Diagnostic] | None = None

    def ready(self, host: "Host") -> None:
        """Print one line that says the host is up, with what runs, and where to watch it."""
        url = watching_address(host, self._output)
        names = [service.name for service in host.services]
        running = [s.name for s in host.services if s.lifecycle == "running"]
        words = f"ready: {len(running)} of {len(names)} services running in {self._workspace}"
        self._output.line(
            {
                "event": "ready",
                "workspace": str(self._workspace),
                "services": names,
                "running": running,
                "url": url,
            },
            lambda: shown(words, style="bold green" if running == names else "bold yellow"),
        )
        if url is not None and not self._output.as_json:
            self._print(shown(f"  {self._address}  {url}", 1024))
        if not names:
            self._output.note("no service is enabled here; try: yoi plugin list")

    def preparing(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a person who waits long is told what for."""
        return self._output.reassuring(
            "preparing the Python runner; a machine's first run takes about 15 s ...",
            _PATIENCE_SECONDS,
        )

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Print nothing while entered; what is told meanwhile is printed after it."""
        held: list[Diagnostic] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            for entry in held:
                self.tell(entry)

    def tell(self, entry: "Diagnostic") -> None:
        """Print one diagnostic, and its hint and the plugin's own lines below it."""
        if self._held is not None:
            self._held.append(entry)
            return
        from yoi.cli.diagnostic_view import diagnostic_line, hint_lines, trace_lines

        if self._output.as_json:
            self._output.line({"event": "diagnostic", "diagnostic": entry}, lambda: "")
        elif entry.code not in self._hidden:
            self._print(diagnostic_line(entry))
            for row in trace_lines(entry):
                self._print(row)
            for row in hint_lines(entry):
                self._print(row)

    def _print(self, row: "Text") -> None:
        self._output.line({}, lambda: row)
