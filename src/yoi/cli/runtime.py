"""`yoi runtime`: the services and workers of a workspace, watched through a backend elsewhere."""

import contextlib
from typing import TYPE_CHECKING

from yoi.cli.logs import LogFormat, LogLines, configure_logs
from yoi.cli.options import HostConfig, JsonLines, Verbose, Workspace, workspace_folder
from yoi.cli.output import Output
from yoi.cli.serve import QUIET, Printer
from yoi.cli.trusting import TrustDigest, TrustWorkspace, decisions_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from yoi.runtime.serve import Address, Runtime


def runtime(
    workspace: Workspace = None,
    verbose: Verbose = False,
    trust_digest: TrustDigest = None,
    trust_workspace: TrustWorkspace = False,
    as_json: JsonLines = False,
    log_format: LogLines = LogFormat.TEXT,
    host_config: HostConfig = None,
) -> int:
    """Run what is enabled in the workspace, and let backends with a token watch it.

    Where it listens, and its certificate, stand in the [runtime] table of .yoi/yoi.toml. Runs until
    SIGTERM or Ctrl-C; then drains and exits 0.
    """
    from yoi.runtime.listener import RuntimeListener
    from yoi.runtime.serve import serve
    from yoi.serving.host_settings import HostSettings
    from yoi.serving.settings import ServingSettings
    from yoi.types import SystemClock

    configure_logs(log_format)
    folder = workspace_folder(workspace)
    output = Output("runtime", as_json)
    host = HostSettings.load(host_config)
    decisions = decisions_of(trust_digest, trust_workspace, folder, output)
    settings = host.over(ServingSettings.load(folder, decisions=decisions)).runtime
    hidden = frozenset[str]() if verbose else QUIET
    printer = Printer(output, folder, hidden, "for backends")

    @contextlib.asynccontextmanager
    async def beside(running: "Runtime") -> "AsyncIterator[Address | None]":
        listener = RuntimeListener(
            folder,
            running.observing,
            settings,
            running.why_not_ready,
            SystemClock(),
            host.limits,
            running.owner,
        )
        async with listener:
            yield lambda: listener.url

    return serve(
        folder,
        decisions,
        on_ready=printer.ready,
        listen=printer.tell,
        preparing=printer.preparing,
        beside=beside,
        limits=host.limits,
    )
