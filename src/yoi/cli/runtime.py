"""`yoi runtime`: the services and workers of a workspace, watched through a backend elsewhere."""

from yoi.cli.logs import LogDetail, LogFormat, LogLevel, LogLines, configure_logs
from yoi.cli.options import HostConfig, JsonLines, Verbose, Workspace, workspace_folder
from yoi.cli.output import Output
from yoi.cli.serve import QUIET, Printer
from yoi.cli.trusting import TrustDigest, TrustWorkspace, decisions_of


def runtime(
    workspace: Workspace = None,
    verbose: Verbose = False,
    trust_digest: TrustDigest = None,
    trust_workspace: TrustWorkspace = False,
    as_json: JsonLines = False,
    log_format: LogLines = LogFormat.TEXT,
    log_level: LogDetail = LogLevel.INFO,
    host_config: HostConfig = None,
) -> int:
    """Run what is enabled in the workspace, and let backends with a token watch it.

    Where it listens, and its certificate, stand in the [runtime] table of .yoi/yoi.toml. Runs until
    SIGTERM or Ctrl-C; then drains and exits 0.
    """
    from yoi.host import Host
    from yoi.host.process import run
    from yoi.serving.host_settings import HostSettings

    configure_logs(log_format, level=log_level)
    folder = workspace_folder(workspace)
    hidden = frozenset[str]() if verbose else QUIET
    output = Output("runtime", as_json)
    printer = Printer(output, folder, hidden, "for backends")
    host = Host.runtime(
        folder,
        decisions=decisions_of(trust_digest, trust_workspace, folder, output),
        machine=HostSettings.load(host_config),
        on_diagnostic=printer.tell,
        preparing=printer.preparing,
    )
    return run(host, printer.ready)
