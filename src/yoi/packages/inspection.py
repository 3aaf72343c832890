"""Static inspection: all that can be said about a package without running any of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.errors import ManifestError, PackageError, YoiError
from yoi.limits import LIMITS
from yoi.packages.declarations import PythonRuntime, ToolDecl
from yoi.packages.libraries import check_names
from yoi.packages.resolve import check_binding, check_surfaces
from yoi.packages.schema import SchemaProblem, schema_problems, validate_config
from yoi.packages.source import source_problems
from yoi.permissions import (
    Authority,
    Decision,
    Permission,
    PermissionKind,
    PermissionSet,
    Review,
    review,
)

if TYPE_CHECKING:
    from yoi.packages.enablement import EnabledEntry
    from yoi.packages.package import Package
    from yoi.packages.resolve import ResolvedPlugin
    from yoi.permissions.connection_settings import ConnectionSettings, Dedupe

WASM_MAGIC = b"\0asm"


class Status(StrEnum):
    """How a package stands; the words are the ancestor's."""

    ACTIVE = "active"
    """Enabled, and everything it declares may be used."""
    PARTIAL = "partial"
    """Enabled, and some of what it declares may be used."""
    REJECTED = "rejected"
    """It cannot be used: faulty, changed since it was approved, or nothing is granted."""
    DISABLED = "disabled"
    """Sound, and not enabled."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, in the shape of an error."""

    code: str
    message: str
    hint: str | None
    at: str | None

    @classmethod
    def of(cls, error: YoiError) -> "Finding":
        """Return `error` as a finding."""
        return cls(error.code, error.message, error.hint, error.fields.get("at"))

    @classmethod
    def all_of(cls, error: YoiError) -> "tuple[Finding, ...]":
        """Return each fault that `error` tells of as a finding of its own."""
        faults = error.fields.get("faults")
        if not faults:
            return (cls.of(error),)
        return tuple(cls(one["code"], one["message"], None, one["at"]) for one in faults)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "at": self.at}


@dataclass(frozen=True, slots=True)
class Surface:
    """One declared tool, service, ingress or connection, and whether both keys are there."""

    kind: str
    name: str
    eligible: bool
    reason: str
    """Why it is not eligible; empty when it is."""
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the surface as JSON values, names escaped."""
        return {
            "kind": self.kind,
            "name": printable(self.name, LIMITS.name_bytes),
            "eligible": self.eligible,
            "reason": self.reason,
            **self.details,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What `show` prints: identity, surfaces, the permission review and every fault found."""

    package: "Package"
    instance: str | None
    """The instance name it is enabled under, or None."""
    status: Status
    surfaces: tuple[Surface, ...]
    review: Review
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the inspection as JSON values: bounded, and escaped where strangers wrote it."""
        package, manifest = self.package, self.package.manifest
        return {
            "reference": package.reference,
            "instance": self.instance,
            "status": self.status.value,
            "source": package.source,
            "path": str(package.path),
            "id": manifest.id,
            "name": printable(manifest.name, LIMITS.name_bytes),
            "version": printable(manifest.version, LIMITS.name_bytes),
            "description": printable(manifest.description, LIMITS.description_chars),
            "digest": package.digest,
            "runtime": None if manifest.runtime is None else manifest.runtime.label,
            "declared_surfaces": sorted(manifest.surfaces),
            "files": len(package.files),
            "libraries": [one.to_json() for one in package.library_list],
            "left_out": [{"path": one.path, "reason": one.reason} for one in package.left_out],
            "surfaces": [surface.to_json() for surface in self.surfaces],
            "review": self.review.to_json(),
            "diagnostics": [finding.to_json() for finding in self.findings],
        }


def inspect(package: "Package", entry: "EnabledEntry | None") -> Inspection:
    """Return what can be said about `package` under `entry` (None: not enabled).

    Nothing is executed, compiled or opened; every fault becomes a finding, none is raised.
    """
    requested = package.manifest.requested
    findings = [Finding.of(problem) for problem in static_problems(package)]
    granted = PermissionSet()
    if entry is not None:
        granted = entry.granted
        for check in (check_binding, check_surfaces, _check_config):
            try:
                check(package, entry)
            except YoiError as exc:
                findings.append(Finding.of(exc))
                break
    authority = Authority(requested, granted, plugin=package.reference)
    enabled = package.manifest.surfaces
    if entry is not None and entry.surfaces is not None:
        enabled = enabled & entry.surfaces
    surfaces = _surfaces(package, authority, enabled)
    return Inspection(
        package=package,
        instance=None if entry is None else str(entry.name),
        status=_status(entry, surfaces, findings),
        surfaces=surfaces,
        review=review(requested, granted),
        findings=tuple(findings),
    )


def _check_config(package: "Package", entry: "EnabledEntry") -> None:
    validate_config(package.manifest.config_schema, entry.config)


def _status(
    entry: "EnabledEntry | None", surfaces: tuple[Surface, ...], findings: list[Finding]
) -> Status:
    if findings:
        return Status.REJECTED
    if entry is None:
        return Status.DISABLED
    usable = [surface.eligible for surface in surfaces]
    if not any(usable):
        return Status.REJECTED
    return Status.ACTIVE if all(usable) else Status.PARTIAL


def static_problems(package: "Package") -> list[YoiError]:
    """Return what is wrong with a package beyond its manifest's form: schemas and source."""
    problems: list[YoiError] = []
    for index, tool in enumerate(package.manifest.tools):
        problems += [
            ManifestError(
                "manifest.value",
                f"plugin.toml: tools[{index}].input_schema, {problem.at}: {problem.message}",
                at=f"tools[{index}].input_schema",
            )
            for problem in tool_problems(tool)
        ]
    runtime = package.manifest.runtime
    if isinstance(runtime, PythonRuntime):
        problems += source_problems(runtime.entry_point, package.files)
        try:
            check_names(package.library_paths, package.own_files)
        except PackageError as exc:
            problems.append(exc)
    elif runtime is not None and not package.files[runtime.component].startswith(WASM_MAGIC):
        problems.append(
            ManifestError(
                "manifest.value",
                f"plugin.toml: runtime.component names {runtime.component}, "
                "which is not a WebAssembly file",
                at="runtime.component",
            )
        )
    return problems


def tool_problems(tool: ToolDecl) -> list[SchemaProblem]:
    """Return what keeps a tool's input schema from being offered to a model."""
    return schema_problems(tool.input_schema)


def eligibility(plugin: "ResolvedPlugin") -> tuple[Surface, ...]:
    """Return every surface of `plugin` with whether manifest, operator and grant all have it."""
    return _surfaces(plugin.package, plugin.authority, plugin.surfaces)


def _surfaces(
    package: "Package", authority: Authority, enabled: frozenset[str]
) -> tuple[Surface, ...]:
    manifest, kind = package.manifest, PermissionKind
    found: list[Surface] = []
    for tool in manifest.tools:
        needed = [Permission(kind.SURFACE, "tool"), Permission(kind.TOOL, tool.name)]
        if tool.external_write:
            needed.append(Permission(kind.EXTERNAL_WRITE))
        details = {
            "description": printable(tool.description, LIMITS.description_chars),
            "external_write": tool.external_write,
            "schema_problems": [f"{one.at}: {one.message}" for one in tool_problems(tool)],
        }
        found.append(_surface("tool", tool.name, needed, authority, enabled, details))
    for service in manifest.services:
        needed = [Permission(kind.SURFACE, "service"), Permission(kind.SERVICE, service.name)]
        details = {"description": printable(service.description, LIMITS.description_chars)}
        found.append(_surface("service", service.name, needed, authority, enabled, details))
    for ingress in manifest.ingresses:
        needed = [Permission(kind.SURFACE, "ingress"), Permission(kind.INGRESS, ingress.name)]
        details = {
            "description": printable(ingress.description, LIMITS.description_chars),
            "event_kinds": [printable(one, LIMITS.name_bytes) for one in ingress.event_kinds],
            "deadline_ms": ingress.deadline_ms,
            "queue_events": ingress.queue_events,
            "queue_bytes": ingress.queue_bytes,
            "on_full": ingress.on_full.value,
            "attempts": ingress.attempts,
            "durability": ingress.durability.value,
            "order": ingress.order.value,
            **({} if ingress.order_key is None else {"order_key": str(ingress.order_key)}),
            **({} if ingress.dedupe is None else {"dedupe": _dedupe(ingress.dedupe)}),
        }
        found.append(_surface("ingress", ingress.name, needed, authority, enabled, details))
    return (*found, *_connections(package, authority, enabled))


def _dedupe(rule: "Dedupe") -> dict[str, object]:
    return {"at": str(rule.at), "keep_ms": rule.keep_ms, "max": rule.max}


def _connections(
    package: "Package", authority: Authority, enabled: frozenset[str]
) -> list[Surface]:
    found = []
    for one in package.manifest.connections:
        needed = [
            Permission(PermissionKind.SURFACE, "ingress"),
            Permission(PermissionKind.INGRESS, one.ingress),
        ]
        details = {
            "ingress": one.ingress,
            "url": None if one.url is None else one.url.display,
            "open": one.open.value,
            "target": one.target.label,
            "deliver": sorted(one.deliver),
            "on_full": one.on_full.value,
            "subprotocols": list(one.handshake.subprotocols),
            "headers": dict(one.handshake.headers),
        }
        # What it delivers goes to its ingress, so both keys are needed there too.
        ingress = _surface("ingress", one.ingress, needed, authority, enabled, {})
        decision = _may_open(one, authority)
        reason = "" if decision.allowed else decision.message
        reason = ingress.reason or reason
        found.append(Surface("connection", one.name, not reason, reason, details))
    return found


def _may_open(one: "ConnectionSettings", authority: Authority) -> Decision:
    """Decide its own url; without one, whether any dial of it could be allowed at all."""
    if one.url is not None:
        return authority.connection(one.name, one.url)
    decision = authority.permission(Permission(PermissionKind.CONNECTION, one.name))
    if not decision.allowed or any(one.target.meets(t) for t in authority.granted.websocket):
        return decision
    return Decision(
        allowed=False,
        code="denied.not_granted",
        message=f"no granted target meets {one.target.label}, where {one.name} may be opened",
    )


def _surface(
    kind: str,
    name: str,
    needed: list[Permission],
    authority: Authority,
    enabled: frozenset[str],
    details: dict[str, Any],
) -> Surface:
    reason = "" if kind in enabled else f"the {kind} surface is not enabled"
    for permission in needed:
        decision = authority.permission(permission)
        if not reason and not decision.allowed:
            reason = decision.message
    return Surface(kind, name, not reason, reason, details)
