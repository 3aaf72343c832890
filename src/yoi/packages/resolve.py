"""Bring the inventory and the operator's enablement together: what may run, and what may not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.defects import defect
from yoi.errors import EnablementError
from yoi.packages.enablement import Diagnosis, EnabledEntry, Enablement
from yoi.packages.schema import validate_config
from yoi.permissions import Authority, PermissionSet
from yoi.permissions.senders import SenderRule

if TYPE_CHECKING:
    from yoi.packages.package import Package
    from yoi.packages.stores import PackageInventory
    from yoi.types import InstanceName


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPlugin:
    """One enabled plugin, ready to run: the exact package, its settings and its authority."""

    name: "InstanceName"
    reference: str
    package: "Package"
    surfaces: frozenset[str]
    """The surfaces to use: declared by the package and chosen by the operator."""
    config: dict[str, Any]
    """The operator's values, checked against the schema, with its defaults."""
    granted: PermissionSet
    authority: Authority
    senders: tuple[SenderRule, ...] = ()
    """Who may speak through it."""
    runs_on: tuple[str, ...] = ()
    """Patterns of the machines that may run it; none: any."""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Resolution:
    """The plugins that may run, and why each of the others may not."""

    plugins: "tuple[ResolvedPlugin, ...]"
    diagnostics: tuple[Diagnosis, ...]


def resolve(inventory: "PackageInventory", enablement: Enablement) -> Resolution:
    """Return the enabled plugins whose exact package is there; the rest as diagnostics.

    Checked per entry, first failure wins: found, digest, version, surfaces, config.
    """
    plugins: list[ResolvedPlugin] = []
    diagnostics = list(enablement.diagnostics)
    for entry in enablement.entries:
        try:
            plugins.append(resolve_entry(inventory, entry))
        except Exception as exc:
            # A defect of ours, too, is the fault of this one entry.
            error = defect(exc, f"resolving {entry.name}", str(exc))
            diagnostics.append(Diagnosis(entry.name, entry.reference, error))
    return Resolution(tuple(plugins), tuple(diagnostics))


def resolve_entry(inventory: "PackageInventory", entry: EnabledEntry) -> ResolvedPlugin:
    """Return the plugin that `entry` enables. Raises EnablementError or ConfigError."""
    return resolve_package(_package(inventory, entry), entry)


def resolve_package(package: "Package", entry: EnabledEntry) -> ResolvedPlugin:
    """Return `package` as `entry` enables it, wherever it was found (a `dir:` one under dev).

    Raises EnablementError or ConfigError.
    """
    check_binding(package, entry)
    surfaces = check_surfaces(package, entry)
    config = validate_config(package.manifest.config_schema, entry.config)
    return ResolvedPlugin(
        name=entry.name,
        reference=entry.reference,
        package=package,
        surfaces=surfaces,
        config=config,
        granted=entry.granted,
        authority=Authority(package.manifest.requested, entry.granted, plugin=entry.words),
        senders=entry.senders,
        runs_on=entry.runs_on,
        weight=entry.weight,
    )


def _package(inventory: "PackageInventory", entry: EnabledEntry) -> "Package":
    for package in inventory.packages:
        if package.reference == entry.reference:
            return package
    for other in inventory.unreadable:
        # The reason it is not usable says more than that it is missing.
        if other.source == entry.reference.partition(":")[0] and (
            other.path.stem == entry.local_id or entry.reference in other.error.message
        ):
            raise EnablementError(
                "enablement.missing",
                f"{entry.reference} cannot be used: {other.error.message}",
                hint=other.error.hint,
                cause=other.error.code,
            )
    raise EnablementError(
        "enablement.missing",
        f"{entry.reference} is enabled, but no such package is in its store",
        hint=f"put it back, or drop the entry with: yoi plugin disable {entry.name}",
    )


def check_binding(package: "Package", entry: EnabledEntry) -> None:
    """Raise EnablementError unless `package` is the very one that `entry` was approved for."""
    if package.digest != entry.digest:
        raise EnablementError(
            "enablement.digest",
            f'{entry.reference} has changed since it was approved as "{entry.name}"; it stays off '
            "until it is reviewed again",
            hint=f"see what changed and approve it with: yoi plugin enable {entry.words}",
            expected=entry.digest,
            found=package.digest,
        )
    if package.manifest.version != entry.version:
        raise EnablementError(
            "enablement.version",
            f'{entry.reference} says version "{package.manifest.version}", but '
            f'"{entry.version}" is enabled',
            hint=f"review it again with: yoi plugin enable {entry.words}",
            expected=entry.version,
            found=package.manifest.version,
        )


def check_surfaces(package: "Package", entry: EnabledEntry) -> frozenset[str]:
    """Return the surfaces to use. Raises EnablementError for one the package does not declare."""
    declared = package.manifest.surfaces
    surfaces = declared if entry.surfaces is None else entry.surfaces
    undeclared = sorted(surfaces - declared)
    if undeclared:
        raise EnablementError(
            "enablement.surface",
            f'"{entry.name}" enables the surface {undeclared[0]}, which {entry.reference} does not '
            "declare",
            hint=f"remove it from the surfaces of {entry.reference} in yoi.toml",
        )
    return surfaces
