"""`trust_workspace`: decide what a yoi.toml says, as `yoi trust` does after the review."""

from pathlib import Path

from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions


def trust_workspace(workspace: Path) -> None:
    """Put in force all that the yoi.toml of `workspace` says now. For tests and demos only."""
    AccountDecisions().store.record(workspace, read_file(workspace).entries)


def workspace_id(workspace: Path) -> str:
    """Return the id that the host's files in `workspace` carry, made where there is none."""
    return AccountDecisions().store.identity(workspace)
