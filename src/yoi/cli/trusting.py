"""The options of processes that run what a workspace says: on whose word."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.output import Output
from yoi.errors import UsageError

if TYPE_CHECKING:
    from yoi.decisions.port import Decisions

TrustDigest = Annotated[
    str | None,
    typer.Option(
        "--trust-digest",
        metavar="D",
        help="Put yoi.toml in force where its digest is D (`yoi trust --show` prints it).",
    ),
]
TrustWorkspace = Annotated[
    bool,
    typer.Option(
        "--trust-workspace",
        help="Put in force whatever yoi.toml says, now and later: who writes there grants.",
    ),
]


def decisions_of(digest: str | None, whole: bool, folder: Path, output: Output) -> "Decisions":
    """Return where the decisions about `folder` come from; warns where no person decides."""
    from yoi.decisions.port import AccountDecisions, GivenDigest, WholeWorkspace

    if digest is not None and whole:
        raise UsageError(
            "usage.arguments", "--trust-digest and --trust-workspace exclude each other"
        )
    if whole:
        output.note(
            f"WARNING: --trust-workspace: everything that {folder}/.yoi says is in force, now and "
            "later; everybody who can write there grants and takes away",
            "bold red",
        )
        return WholeWorkspace()
    return AccountDecisions() if digest is None else GivenDigest(digest)
