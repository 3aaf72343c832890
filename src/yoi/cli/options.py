"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from yoi.errors import UsageError

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
    """Return the workspace as an absolute path; raises UsageError where there is no folder."""
    folder = (chosen or Path.cwd()).absolute()
    if not folder.is_dir():
        raise UsageError(
            "usage.arguments",
            f"the workspace {folder} is not a folder",
            hint=f"mkdir -p {folder}",
        )
    return folder
