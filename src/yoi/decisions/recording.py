"""What Yoi's own commands decide: the entry that they displayed, as displayed, and no other."""

from collections.abc import Callable
from pathlib import Path

from yoi.decisions.entries import plain
from yoi.decisions.file import operator_file
from yoi.decisions.port import AccountDecisions
from yoi.decisions.store import DecisionStore
from yoi.errors import YoiError
from yoi.packages import EnabledEntry
from yoi.packages.edits import remove_enablement, write_enablement


def plugin_entry(name: str) -> str:
    """Return what the entry of the plugin instance `name` is called."""
    return f"plugin:{name}"


def enable(
    workspace: Path,
    entry: EnabledEntry,
    store: DecisionStore | None = None,
    copying: Callable[[], object] | None = None,
) -> str:
    """Decide `entry` and write it into yoi.toml; return the entry's name.

    `copying` puts the package into its store first; what it raises is raised, and nothing is
    decided. A running host finds all three steps done, or none. Raises as `write_enablement`, and
    TrustError; then nothing was decided.
    """
    kept = store or AccountDecisions().store
    # First of all: where nothing can be decided, nothing is written.
    kept.identity(workspace)
    name = plugin_entry(entry.name)

    def write() -> None:
        if copying is not None:
            copying()
        write_enablement(operator_file(workspace), entry)

    kept.record(workspace, {name: plain(entry.to_table())}, writing=write)
    return name


def disable(workspace: Path, name: str, store: DecisionStore | None = None) -> YoiError | None:
    """Withdraw the decision about the plugin instance `name` and take it out of yoi.toml.

    Returns why yoi.toml could not be edited, where a decision was withdrawn all the same: then
    nothing of it is in force whatever the file says. Raises as `remove_enablement`.
    """
    kept = store or AccountDecisions().store
    entry = plugin_entry(name)
    if entry not in kept.entries(workspace):
        remove_enablement(operator_file(workspace), name)
        return None
    faults: list[YoiError] = []

    def write() -> None:
        try:
            remove_enablement(operator_file(workspace), name)
        except YoiError as exc:
            # Also where the file system is read-only.
            faults.append(exc)

    kept.record(workspace, {entry: None}, writing=write)
    return next(iter(faults), None)
