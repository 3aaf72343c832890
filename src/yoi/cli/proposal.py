"""What `yoi plugin enable` would write: its review, and what it changes on a running host."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoi.cli.output import shown
from yoi.display import shell_word
from yoi.errors import PackageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.packages import EnabledEntry, Package


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be written, beside what is there now."""

    package: "Package"
    entry: "EnabledEntry"
    before: "EnabledEntry | None"
    copies: Path | None
    """The path to copy into the workspace's store first, where a path was named."""

    @property
    def changes(self) -> bool:
        """Return whether anything would be different."""
        return self.before != self.entry or self.copies is not None


def refuse_unsound(proposal: Proposal) -> None:
    """Raise for a package that could not run whatever is granted."""
    from yoi.packages import inspect

    for fault in inspect(proposal.package, None).findings:
        raise PackageError(
            fault.code if fault.code.startswith("package.") else "package.malformed",
            fault.message,
            hint=fault.hint or f"yoi plugin check {shell_word(proposal.package.path)}",
        )


def _approved(before: "EnabledEntry", workspace: Path) -> "Package | None":
    """Return the package as it was approved, where the store still has it."""
    from yoi.packages import package_inventory

    for package in package_inventory(workspace).packages:
        if (package.reference, package.digest) == (before.reference, before.digest):
            return package
    return None


def review_of(proposal: Proposal) -> Any:
    """Return what the package asks for beside what would be granted."""
    from yoi.permissions import review as reviewed

    return reviewed(proposal.package.manifest.requested, proposal.entry.granted)


def review(proposal: Proposal, workspace: Path) -> "RenderableType":
    """Return the review for a person."""
    from yoi.cli import plugin_view
    from yoi.cli.checking import source_findings
    from yoi.cli.layout import lines, whole
    from yoi.cli.machine_words import names_lines
    from yoi.cli.sources import as_path, runs_in
    from yoi.packages import difference, inspect

    package, before = proposal.package, proposal.before
    found = review_of(proposal)
    parts: list[RenderableType] = [plugin_view.identity(package, runs_in(package))]
    if proposal.copies is not None:
        store = workspace / ".yoi" / "plugins"
        parts.append(whole(shown(f"  it will be copied into {store}", 2048)))
    parts += ["", plugin_view.review_block(found, inspect(package, proposal.entry).surfaces)]
    parts += names_lines(package.manifest.requested)
    parts += plugin_view.warning_lines(package.manifest.warnings)
    parts.append(plugin_view.legend(found))
    if before is not None:
        if before.reference != proposal.entry.reference:
            parts.append(
                shown(f"  {before.name} was {before.reference} until now.", style="bold yellow")
            )
        elif before.digest != package.digest:
            parts.append(
                whole(
                    shown(
                        f"  The code changed: {before.version} {before.digest} was approved.",
                        style="bold yellow",
                    )
                )
            )
        approved = _approved(before, workspace)
        if approved is not None:
            parts += plugin_view.library_changes(approved.library_list, package.library_list)
        parts.append(
            plugin_view.difference_block(difference(before.granted, proposal.entry.granted))
        )
    if proposal.entry.config:
        parts.append(plugin_view.config_block(proposal.entry.config))
    faults = source_findings(package)
    if faults:
        parts += ["", shown("What will probably not run:", style="bold yellow")]
        parts += plugin_view.findings_block(faults)
        parts.append(whole(shown(f"  next: yoi plugin check {as_path(package.path)}", 2048)))
    return lines([*parts, ""])


def difference_json(proposal: Proposal) -> Any:
    """Return what is granted more or less than now; None where nothing is granted yet."""
    from yoi.packages import difference

    if proposal.before is None:
        return None
    return difference(proposal.before.granted, proposal.entry.granted).to_json()


def copy_to_store(proposal: Proposal, workspace: Path) -> Path:
    """Put what was reviewed into the store, whatever its path holds by now; return where it is."""
    from yoi.packages import Store, store_package

    added = store_package(proposal.package, Store.project(workspace))
    if added.digest != proposal.package.digest:
        raise PackageError(
            "package.digest",
            f"something else replaced {added.path} at once; nothing was enabled",
            hint=f"review it again with: yoi plugin enable {shell_word(added.reference)}",
        )
    return added.path


def will_change(proposal: Proposal, running: dict[str, Any]) -> str:
    """Return what the running host will do when the proposal is in force."""
    entry, before = proposal.entry, proposal.before
    connections = [str(connection.get("name")) for connection in running.get("connections", [])]
    waiting = running.get("queue_depth", 0)
    same = before is not None and (before.digest, before.config) == (entry.digest, entry.config)
    if not same:
        stay = f", and {', '.join(connections)} stays open" if connections else ""
        otherwise = " where it is declared and granted as before" if connections else ""
        return (
            f"on the running host: {entry.name} goes on as this version, which handles the "
            f"{waiting} waiting events{stay}{otherwise}; if it does not start, or fails at its "
            "first event, what runs now goes on"
        )
    closing = _refused(proposal, connections)
    if not closing:
        return f"on the running host: {entry.name} goes on, and no connection closes"
    return (
        f"on the running host: {', '.join(closing)} closes at once (1012) and is not dialled "
        "again; messages of it that are not yet answered find no socket"
    )


def _refused(proposal: Proposal, connections: list[str]) -> list[str]:
    """Return which of `connections` the host itself would no longer allow under the proposal."""
    from yoi.packages import resolve_package
    from yoi.runtime.connection_specs import CurrentDecision

    plugin = resolve_package(proposal.package, proposal.entry)
    allowed = {
        one.name
        for one in plugin.package.manifest.connections
        if CurrentDecision(plugin, one)().allowed
    }
    return [name for name in connections if name not in allowed]
