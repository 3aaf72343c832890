"""`Enablement`: what the operator has switched on, as written in `.yoi/yoi.toml`.

An entry names one exact package (source-qualified id, version, digest) and holds the operator's
grants for it. A fault in one entry disables that entry and is reported; the others still load.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yoi.errors import EnablementError, PackageError, PermissionMalformed, UrlRefused, YoiError
from yoi.limits import LIMITS
from yoi.packages.digest import is_digest
from yoi.packages.folder import io_error
from yoi.packages.manifest import SURFACES
from yoi.packages.package import read_file
from yoi.permissions import PermissionSet
from yoi.tables import FaultKind, Table, TomlFault, is_safe_id, parse_toml
from yoi.types import Digest, InstanceName

SOURCES = ("project", "user")

_ENTRY_KEYS = frozenset({"id", "name", "version", "digest", "surfaces", "config", "grants"})
_GRANT_KEYS = frozenset(
    {"id", "version", "digest", "permissions", "websocket", "request", "secrets", "memory_bytes"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnabledEntry:
    """One `[[plugins.enabled]]` entry: a package by its exact identity, and what it is granted."""

    reference: str
    """Source-qualified, as `project:echo`."""
    name: InstanceName
    """The instance's name on this host; one package may be enabled under several."""
    version: str
    digest: Digest
    surfaces: frozenset[str] | None = None
    """The surfaces to use; None means all that the package declares."""
    config: dict[str, Any] = field(default_factory=dict)
    granted: PermissionSet = field(default_factory=PermissionSet)

    @property
    def local_id(self) -> str:
        """Return the id without its source."""
        return self.reference.partition(":")[2]

    def to_table(self) -> dict[str, Any]:
        """Return the TOML-able table; reading it gives an equal entry."""
        table: dict[str, Any] = {
            "id": self.reference,
            "name": str(self.name),
            "version": self.version,
            "digest": str(self.digest),
        }
        if self.surfaces is not None:
            table["surfaces"] = sorted(self.surfaces)
        if self.config:
            table["config"] = self.config
        grants: dict[str, Any] = {key: table[key] for key in ("id", "version", "digest")}
        lists = self.granted.to_tables()
        grants["permissions"] = lists.pop("permissions")
        grants |= {key: rows for key, rows in lists.items() if rows}
        return {**table, "grants": grants}

    @property
    def words(self) -> str:
        """Return what follows `yoi plugin enable` to review this very entry again."""
        if self.name == self.local_id:
            return self.reference
        return f"{self.reference} --as {self.name}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why one enabled entry is not usable. `name` is the instance, or the entry's place."""

    name: str
    reference: str | None
    error: YoiError


@dataclass(frozen=True, slots=True)
class Enablement:
    """The operator's `[[plugins.enabled]]` entries that are well-formed, and what is not."""

    path: Path
    entries: tuple[EnabledEntry, ...] = ()
    diagnostics: tuple[Diagnosis, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Enablement":
        """Return what the yoi.toml at `path` enables; an absent file enables nothing.

        Raises EnablementError when the file as a whole cannot be read.
        """
        try:
            if not path.exists():
                return cls(path)
            data = read_file(path, LIMITS.operator_config_bytes)
        except PackageError as exc:
            raise EnablementError("enablement.malformed", exc.message, at="") from None
        except OSError as exc:
            message = io_error(exc, str(path)).message
            raise EnablementError("enablement.malformed", message, at="") from None
        return cls.parse(data, path)

    @classmethod
    def parse(cls, toml: bytes, path: Path) -> "Enablement":
        """Return what `toml` enables. `path` is only named in messages.

        Tables other than `plugins` belong to other parts of Yoi and are not looked at. Raises
        EnablementError (`enablement.toml`, `enablement.malformed`) for the file as a whole.
        """
        try:
            document = parse_toml(toml)
        except TomlFault as exc:
            raise EnablementError(
                "enablement.toml", f"{path.name}: {exc.message}", at="", line=exc.line
            ) from None
        return cls.of(document, path)

    @classmethod
    def of(cls, document: Mapping[str, Any], path: Path) -> "Enablement":
        """Return what a decoded yoi.toml enables, as `parse`."""
        plugins = Table(document.get("plugins", {}), "plugins", frozenset({"enabled"}), _fault)
        rows = plugins.raw("enabled") if plugins.has("enabled") else []
        if not isinstance(rows, list):
            raise plugins.fault("type", "enabled", "must be [[plugins.enabled]] tables")
        if len(rows) > LIMITS.enabled_plugins:
            raise plugins.fault("too_large", "enabled", f"has more than {LIMITS.enabled_plugins}")
        entries: dict[str, EnabledEntry] = {}
        diagnostics: list[Diagnosis] = []
        clashes: set[str] = set()
        for index, row in enumerate(rows):
            at = f"plugins.enabled[{index}]"
            try:
                entry = _entry(Table(row, at, _ENTRY_KEYS, _fault))
            except YoiError as exc:
                diagnostics.append(Diagnosis(at, _reference_of(row), exc))
                continue
            if entry.name in entries:
                clashes.add(entry.name)
            entries.setdefault(entry.name, entry)
        for name in sorted(clashes):
            # Which one was meant is not ours to guess.
            reference = entries.pop(name).reference
            diagnostics.append(Diagnosis(name, reference, _duplicate(name)))
        return cls(path, tuple(entries.values()), tuple(diagnostics))

    def find(self, name: str) -> EnabledEntry | None:
        """Return the entry whose instance name is `name`, or None."""
        return next((entry for entry in self.entries if entry.name == name), None)


def parse_reference(text: str) -> tuple[str, str] | None:
    """Return source and local id of `project:echo` or `user:echo`, or None if it is neither."""
    source, _, local_id = text.partition(":")
    return (source, local_id) if source in SOURCES and is_safe_id(local_id) else None


def _fault(kind: FaultKind, at: str, message: str) -> EnablementError:
    return EnablementError("enablement.malformed", f"yoi.toml: {at}: {message}", at=at, kind=kind)


def _duplicate(name: str) -> EnablementError:
    return EnablementError(
        "enablement.duplicate",
        f'two enabled plugins have the instance name "{name}"',
        hint="give each [[plugins.enabled]] entry of the same package its own name",
    )


def _reference_of(row: Any) -> str | None:
    value = row.get("id") if isinstance(row, dict) else None
    return value if isinstance(value, str) and parse_reference(value) else None


def _entry(table: Table) -> EnabledEntry:
    reference = _reference(table)
    local_id = reference.partition(":")[2]
    name = table.safe_id("name") if table.has("name") else local_id
    version, digest = table.text("version"), _digest(table)
    surfaces = None
    if table.has("surfaces"):
        surfaces = frozenset(table.texts("surfaces"))
        for surface in sorted(surfaces.difference(SURFACES)):
            raise table.fault("value", "surfaces", f'names "{surface}", which is no surface')
    config = table.raw("config")
    if config is not None and not isinstance(config, dict):
        raise table.fault("type", "config", "must be a table")
    return EnabledEntry(
        reference=reference,
        name=InstanceName(name),
        version=version,
        digest=digest,
        surfaces=surfaces,
        config=config or {},
        granted=_grants(table, reference, version, digest),
    )


def _reference(table: Table) -> str:
    reference = table.text("id", 2 * LIMITS.name_bytes)
    if parse_reference(reference) is None:
        raise table.fault(
            "value", "id", 'must say where the package is: "project:NAME" or "user:NAME"'
        )
    return reference


def _digest(table: Table) -> Digest:
    digest = table.text("digest")
    if not is_digest(digest):
        raise table.fault("value", "digest", 'must be "sha256:" and 64 lowercase hex digits')
    return Digest(digest)


def _grants(table: Table, reference: str, version: str, digest: Digest) -> PermissionSet:
    """Return the grants, which must be bound to the very package that the entry names."""
    grants = table.table("grants", _GRANT_KEYS)
    if grants is None:
        return PermissionSet()
    for key, expected in (("id", reference), ("version", version), ("digest", digest)):
        if grants.text(key, 2 * LIMITS.name_bytes) != expected:
            raise EnablementError(
                "enablement.grant",
                f"yoi.toml: {grants.path(key)}: is not the entry's own {key}: these grants were "
                "given to another package",
                hint="review and grant again with: yoi plugin enable " + reference,
                at=grants.path(key),
            )
    for index, row in enumerate(grants.items("secrets")):
        if isinstance(row, dict) and "secret" not in row:
            raise grants.fault(
                "missing", f"secrets[{index}].secret", "is required: a name in the secret store"
            )
    try:
        return PermissionSet.parse(
            grants.items("permissions"),
            grants.items("websocket"),
            grants.items("request"),
            grants.items("secrets"),
            grants.at,
            grants.raw("memory_bytes") if grants.has("memory_bytes") else LIMITS.guest_memory_bytes,
        )
    except (PermissionMalformed, UrlRefused) as exc:
        raise grants.foreign(exc, "permissions") from None
