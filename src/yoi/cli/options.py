"""Options and arguments that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from yoi.display import shell_word
from yoi.errors import TrustError, UsageError

_WRITTEN = (".yoi", ".yoi/tickets", ".yoi/plugins", ".yoi/run")
"""The folders of a workspace in which commands make files."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of words.")]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per line instead of words.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print what plugins print or log, too.")
]
Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        metavar="DIR",
        help="The folder that holds .yoi/ (default: the current directory).",
    ),
]
HostConfig = Annotated[
    Path | None,
    typer.Option(
        "--host-config",
        metavar="FILE",
        help="This machine's settings (default: host.toml in the account's yoi/ configuration "
        "folder, or YOI_HOST_CONFIG).",
    ),
]


def workspace_folder(chosen: Path | None) -> Path:
    """Return the workspace as an absolute path.

    Raises UsageError where there is no folder, and TrustError (`trust.folder`) where a folder into
    which Yoi writes leads out of it: the author of a workspace does not choose where that is.
    """
    folder = (chosen or Path.cwd()).absolute()
    if not folder.is_dir():
        raise UsageError(
            "usage.arguments",
            f"the workspace {folder} is not a folder",
            hint=f"mkdir -p {shell_word(folder)}",
        )
    real = os.path.realpath(folder)
    for name in _WRITTEN:
        leads_to = Path(os.path.realpath(folder / name))
        if not leads_to.is_relative_to(real):
            raise TrustError(
                "trust.folder",
                f"{folder / name} leads out of the workspace, to {leads_to}",
                hint=f"put a folder in its place: rm {shell_word(folder / name)}",
            )
    return folder
