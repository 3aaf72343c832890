"""What a person does before a plugin runs, for tests: grant what it asks for, decide yoi.toml."""

from pathlib import Path

from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions
from yoi.packages import EnabledEntry, Package
from yoi.types import InstanceName


def entry_as_requested(package: Package, name: str) -> EnabledEntry:
    """Return the entry that enables `package` as `name` and grants all that it asks for."""
    return EnabledEntry(
        reference=package.reference,
        name=InstanceName(name),
        version=package.manifest.version,
        digest=package.digest,
        granted=package.manifest.requested,
    )


def trust_workspace(workspace: Path) -> None:
    """Put in force all that the yoi.toml of `workspace` says now. For tests and demos only."""
    AccountDecisions().store.record(workspace, read_file(workspace).entries)


def workspace_id(workspace: Path) -> str:
    """Return the id that the host's files in `workspace` carry, made where there is none."""
    return AccountDecisions().store.identity(workspace)
