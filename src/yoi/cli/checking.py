"""`yoi plugin check`: what is wrong with a package, found without running any of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from yoi.cli.layout import lines, whole
from yoi.cli.output import shown
from yoi.cli.plugin_view import findings_block, identity, review_block, warning_lines
from yoi.cli.sources import as_path, runs_in
from yoi.display import shell_word
from yoi.errors import UsageError, YoiError
from yoi.packages import (
    EnabledEntry,
    Finding,
    Inspection,
    ManifestWarning,
    Package,
    inspect,
    read_package,
    validate_config,
)
from yoi.packages.manifest_edits import write_tools
from yoi.packages.source_review import review_source
from yoi.packages.tool_source import tool_differences, tools_of_source
from yoi.types import InstanceName

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found. `inspected` is None where the package could not even be read."""

    path: Path
    inspected: Inspection | None
    findings: tuple[Finding, ...]
    config_needed: str
    """Why it cannot start without configuration; empty when it can."""

    @property
    def sound(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.findings

    @property
    def warnings(self) -> tuple[ManifestWarning, ...]:
        """Return what the manifest says without effect."""
        return () if self.inspected is None else self.inspected.package.manifest.warnings

    @property
    def status(self) -> str:
        """Return the word that the ancestor has for it: `active` or `rejected`."""
        return "active" if self.sound else "rejected"

    @property
    def next_steps(self) -> list[str]:
        """Return the commands a person would run now."""
        if not self.sound:
            return [f"fix what is listed, then: yoi plugin check {shell_word(self.path)}"]
        wanted = " --config KEY=VALUE" if self.config_needed else ""
        return [
            *([f"yoi plugin pack {shell_word(self.path)}"] if self.path.is_dir() else []),
            f"yoi plugin enable {as_path(self.path)}{wanted}",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the ancestor's shape, with the review beside it."""
        inspected = self.inspected
        return {
            "status": self.status,
            "input_path": str(self.path),
            "input_kind": "directory" if self.path.is_dir() else "package",
            "package": None if inspected is None else _package_json(inspected.package),
            "diagnostics": [finding.to_json() for finding in self.findings],
            "warnings": [{"at": one.at, "message": one.message} for one in self.warnings],
            "static_inspection": None
            if inspected is None
            else {"status": self.status, "diagnostics": len(self.findings)},
            "surfaces": [] if inspected is None else [s.to_json() for s in inspected.surfaces],
            "review": None if inspected is None else inspected.review.to_json(),
            "config_needed": self.config_needed or None,
            "next_steps": self.next_steps,
        }


def check(path: Path) -> Checked:
    """Return what is wrong with the package at `path`; a fault is a finding, none is raised."""
    try:
        package = read_package(path)
    except YoiError as exc:
        return Checked(path, None, Finding.all_of(exc), "")
    needed = ""
    try:
        validate_config(package.manifest.config_schema, {})
    except YoiError as exc:
        needed = exc.message
    inspected = inspect(package, None)
    # As it would be with everything granted: what a person would be asked to approve.
    granted = inspect(
        package,
        EnabledEntry(
            reference=package.reference,
            name=InstanceName(package.id),
            version=package.manifest.version,
            digest=package.digest,
            granted=package.manifest.requested,
        ),
    )
    found = (*inspected.findings, *source_findings(package))
    return Checked(path, granted, found, needed)


def source_findings(package: Package) -> tuple[Finding, ...]:
    """Return what in the source will not run in the sandbox, or is not as the manifest says."""
    return tuple(map(Finding.of, (*review_source(package), *tool_differences(package))))


def fix(path: Path) -> list[str]:
    """Declare the tools that the source marks in `path`/plugin.toml; return what was written.

    Raises YoiError where the folder cannot be read, or is a package file.
    """
    if not path.is_dir():
        raise UsageError(
            "usage.arguments",
            f"{path} is not a folder: only a source folder is edited",
            hint="yoi plugin check FOLDER --fix",
        )
    tools, _ = tools_of_source(read_package(path))
    return write_tools(path, tools)


def render(checked: Checked, fixed: list[str]) -> "RenderableType":
    """Return the findings, or what the package is and asks for; first what was mended."""
    parts: list[RenderableType] = [
        whole(shown(f"declared the tool {name} in plugin.toml", 256, "green")) for name in fixed
    ]
    if checked.inspected is not None:
        package = checked.inspected.package
        parts += [identity(package, runs_in(package)), ""]
        if checked.sound:
            parts += [review_block(checked.inspected.review, checked.inspected.surfaces), ""]
    if checked.sound:
        parts.append(Text("nothing is wrong with it", style="green"))
    else:
        parts.append(whole(shown(f"{checked.path} cannot be used", 1024, "bold red")))
        parts += findings_block(checked.findings)
    parts += warning_lines(checked.warnings)
    if checked.config_needed:
        words = f"  it needs configuration: {checked.config_needed}"
        parts.append(whole(shown(words, 1024, "yellow")))
    parts += [whole(shown(f"  next: {step}", 2048, "cyan")) for step in checked.next_steps]
    return lines(parts)


def _package_json(package: Package) -> dict[str, Any]:
    manifest = package.manifest
    return {
        "reference": package.reference,
        "package": package.id,
        "source": package.source,
        "version": manifest.version,
        "schema_version": 1,
        "digest": package.digest,
        "package_path": str(package.path),
        "entries": sorted(package.files),
        "surfaces": sorted(manifest.surfaces),
        "tools": [tool.name for tool in manifest.tools],
        "permissions": [permission.label for permission in manifest.requested.permissions],
    }
