"""`yoi backend`: what people watch through, apart from the runtimes it shows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yoi.cli.logs import LogFormat, LogLines, configure_logs
from yoi.cli.options import HostConfig, JsonLines, Workspace, workspace_folder
from yoi.cli.output import Output, shown
from yoi.cli.pending import mention_pending
from yoi.cli.trusting import TrustDigest, TrustWorkspace, decisions_of
from yoi.cli.watching_address import watching_address

if TYPE_CHECKING:
    from yoi.backend.server import Backend
    from yoi.backend.source import Source


def backend(
    workspace: Workspace = None,
    trust_digest: TrustDigest = None,
    trust_workspace: TrustWorkspace = False,
    as_json: JsonLines = False,
    log_format: LogLines = LogFormat.TEXT,
    host_config: HostConfig = None,
) -> int:
    """Show the workers and services of runtimes elsewhere to browsers, terminals and scripts.

    Where it listens stands in the [observation] table of .yoi/yoi.toml, which runtimes it shows in
    [[backend.runtimes]]. Runs until SIGTERM or Ctrl-C; then asks clients to come back, and exits 0.
    """
    from yoi.backend.beside import run_backend
    from yoi.serving.host_settings import HostSettings
    from yoi.serving.process import run, stop_on_signals
    from yoi.types import SystemClock

    configure_logs(log_format)
    folder = workspace_folder(workspace)
    host = HostSettings.load(host_config)
    output = Output("backend", as_json)

    decisions = decisions_of(trust_digest, trust_workspace, folder, output)
    if not trust_workspace:
        mention_pending(folder, output)

    def ready(backend: "Backend", sources: Sequence["Source"]) -> None:
        names = [source.runtime_id for source in sources]
        address = watching_address(backend, output)
        output.line(
            {"event": "ready", "workspace": str(folder), "url": backend.url, "runtimes": names},
            lambda: shown(f"ready: {len(names)} runtimes; watch  {address}", 1024, "bold green"),
        )
        if not names:
            output.note("no runtime is configured here; add [[backend.runtimes]] to .yoi/yoi.toml")

    async def serve() -> int:
        await run_backend(folder, stop_on_signals(), ready, SystemClock(), host, decisions)
        return 0

    return run(serve())
