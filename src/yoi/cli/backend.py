"""`yoi backend`: what people watch through, apart from the runtimes it shows."""

from typing import TYPE_CHECKING

from yoi.cli.logs import LogDetail, LogFormat, LogLevel, LogLines, configure_logs
from yoi.cli.options import HostConfig, JsonLines, Workspace, workspace_folder
from yoi.cli.output import HostOutput, shown
from yoi.cli.pending import mention_pending
from yoi.cli.trusting import TrustDigest, TrustWorkspace, decisions_of
from yoi.cli.watching_address import watching_address

if TYPE_CHECKING:
    from yoi.host import BackendHost


def backend(
    workspace: Workspace = None,
    trust_digest: TrustDigest = None,
    trust_workspace: TrustWorkspace = False,
    as_json: JsonLines = False,
    log_format: LogLines = LogFormat.TEXT,
    log_level: LogDetail = LogLevel.INFO,
    host_config: HostConfig = None,
) -> int:
    """Show the workers and services of runtimes elsewhere to browsers, terminals and scripts.

    Where it listens stands in the [observation] table of .yoi/yoi.toml, which runtimes it shows in
    [[backend.runtimes]], or in [cluster] with key_file in host.toml. Runs until SIGTERM or Ctrl-C;
    then asks clients to come back, and exits 0.
    """
    from yoi.host import BackendHost
    from yoi.host.process import run
    from yoi.serving.host_settings import HostSettings

    configure_logs(log_format, level=log_level)
    folder = workspace_folder(workspace)
    output = HostOutput("backend", as_json)
    machine = HostSettings.load(host_config)
    decisions = decisions_of(trust_digest, trust_workspace, folder, output)
    if not trust_workspace:
        mention_pending(folder, output)

    def ready(host: "BackendHost") -> None:
        names = [source.runtime_id for source in host.sources]
        address = watching_address(host, output)
        output.line(
            {"event": "ready", "workspace": str(folder), "url": host.url, "runtimes": names},
            lambda: shown(f"ready: {len(names)} runtimes; watch  {address}", 1024, "bold green"),
        )
        if not names:
            output.note("no runtime is configured here; add [[backend.runtimes]] to .yoi/yoi.toml")

    return run(BackendHost(folder, decisions=decisions, machine=machine), ready)
