"""`Enablement`: what the operator has switched on, as written in `.yoi/yoi.toml`.

An entry names one exact package (source-qualified id, version, digest) and holds the operator's
grants for it. A fault in one entry disables that entry and is reported; the others still load.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yoi.display import shell_word
from yoi.errors import EnablementError, PackageError, YoiError
from yoi.limits import LIMITS
from yoi.packages.digest import is_digest
from yoi.packages.folder import io_error
from yoi.packages.manifest import SURFACES
from yoi.packages.package import read_file
from yoi.permissions import JsonPointer, PermissionSet
from yoi.permissions.match_table import MATCH
from yoi.permissions.secrets import GRANTED_SECRET
from yoi.permissions.senders import SenderRule
from yoi.permissions.sets import MEMORY, set_keys, set_of
from yoi.toml import (
    AnyTable,
    AnyValue,
    Bad,
    Choice,
    Fault,
    Faults,
    Key,
    ListOf,
    Nested,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    TomlFault,
    Whole,
    is_safe_id,
    joined,
    parse_toml,
)
from yoi.types import Digest, InstanceName

_MACHINES = re.compile(r"[A-Za-z0-9._*-]+")
SOURCES = ("project", "user")


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
    senders: tuple[SenderRule, ...] = ()
    """Who may speak through the plugin; none: everybody."""
    runs_on: tuple[str, ...] = ()
    """Patterns of the machines of a `[cluster]` that may run it; none: any of them."""
    weight: int = 1
    """How much of a machine it takes, beside others."""

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
        if self.senders:
            table["senders"] = [rule.to_table() for rule in self.senders]
        if self.runs_on:
            table["runs_on"] = list(self.runs_on)
        if self.weight != 1:
            table["weight"] = self.weight
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
    """Why one enabled entry is not usable. `name` is the instance, or the entry's path."""

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
        faults = Faults()
        rows = PLUGINS.read(document.get("plugins", {}), "plugins", faults)
        if isinstance(rows, Bad):
            raise _joined(faults)
        entries: dict[str, EnabledEntry] = {}
        diagnostics: list[Diagnosis] = []
        clashes: set[str] = set()
        for index, row in enumerate(rows):
            at = f"plugins.enabled[{index}]"
            faults = Faults()
            entry = ENTRY.read(row, at, faults)
            if isinstance(entry, Bad):
                diagnostics.append(Diagnosis(at, _reference_of(row), _joined(faults)))
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


def _joined(faults: Faults) -> EnablementError:
    return joined([_error(fault) for fault in faults], faults.count)


def _error(fault: Fault) -> EnablementError:
    return EnablementError(
        fault.code or "enablement.malformed",
        f"yoi.toml: {fault.at}: {fault.message}",
        hint=fault.hint,
        at=fault.at,
        kind=fault.kind,
    )


def _duplicate(name: str) -> EnablementError:
    return EnablementError(
        "enablement.duplicate",
        f'two enabled plugins have the instance name "{name}"',
        hint="give each [[plugins.enabled]] entry of the same package its own name",
    )


def _reference_of(row: Any) -> str | None:
    value = row.get("id") if isinstance(row, dict) else None
    return value if isinstance(value, str) and parse_reference(value) else None


def _entry(row: Row) -> EnabledEntry:
    granted = PermissionSet()
    if row["grants"] is not None:
        grants, granted = row["grants"]
        _check_bound(row, grants)
    surfaces = row["surfaces"]
    return EnabledEntry(
        reference=row["id"],
        name=InstanceName(row["name"] or row["id"].partition(":")[2]),
        version=row["version"],
        digest=row["digest"],
        surfaces=None if surfaces is None else frozenset(surfaces),
        config=row["config"],
        granted=granted,
        senders=row["senders"],
        runs_on=tuple(row["runs_on"]),
        weight=row["weight"],
    )


def _check_bound(row: Row, grants: Row) -> None:
    """Add a fault where the grants are bound to another package than the entry names."""
    for key in ("id", "version", "digest"):
        if grants[key] != row[key]:
            row.faults.take(
                Fault(
                    "value",
                    grants.path(key),
                    f"is not the entry's own {key}: these grants were given to another package",
                    f"review and grant again with: yoi plugin enable {shell_word(row['id'])}",
                    "enablement.grant",
                )
            )


def _sender_rule(row: Row) -> SenderRule:
    listed = tuple(row["in"])
    _check_scalars(row, "in", listed)
    return SenderRule(row["when"], row["at"], listed, row["pair"])


def _check_scalars(row: Row, key: str, values: tuple[Any, ...]) -> None:
    if any(not isinstance(value, str | int) for value in values):
        row.fault("value", key, "must be texts or whole numbers")


def _reference(text: str) -> str:
    if parse_reference(text) is None:
        raise ValueError('must say where the package is: "project:NAME" or "user:NAME"')
    return text


def _machines(text: str) -> str:
    if _MACHINES.fullmatch(text) is None:
        raise ValueError('must be a machine\'s name; `*` stands for any part of it: "big-*"')
    return text


def _digest(text: str) -> Digest:
    if not is_digest(text):
        raise ValueError('must be "sha256:" and 64 lowercase hex digits')
    return Digest(text)


_IDENTITY = (
    Key(
        "id",
        Parsed(Text(2 * LIMITS.name_bytes), _reference, "`project:NAME` or `user:NAME`"),
        "the package and the store it is in",
        required=True,
    ),
    Key("version", Text(2 * LIMITS.name_bytes), "the package's version", required=True),
    Key(
        "digest",
        Parsed(Text(2 * LIMITS.name_bytes), _digest, "digest"),
        "the package's digest: `sha256:` and 64 hex digits",
        required=True,
    ),
)
GRANTS = TableSpec(
    (*_IDENTITY, *set_keys(GRANTED_SECRET), MEMORY),
    lambda row: (row, set_of(row)),
    about="What the package is granted. `id`, `version` and `digest` are those of the entry: "
    "grants never pass to another package.",
)
SENDERS = TableSpec(
    (
        Key("when", Nested(MATCH), "which messages the rule is about", required=True),
        Key(
            "at",
            Parsed(Text(LIMITS.pointer_chars), JsonPointer.parse, "JSON pointer"),
            "where a message names its sender",
            required=True,
        ),
        Key(
            "in", ListOf(AnyValue(), LIMITS.senders), "the senders, texts or numbers", required=True
        ),
        Key(
            "pair",
            Parsed(Text(LIMITS.pointer_chars), JsonPointer.parse, "JSON pointer"),
            "where an unlisted sender may say the code of `yoi worker pair`",
            default_words="no code lets anyone in",
        ),
    ),
    _sender_rule,
    about="Who may speak through the plugin. A text message that fits `when` is delivered where "
    "its sender is listed, and otherwise counted; others are delivered, and no notification may "
    "come of them. The first rule that fits a message decides.",
)
ENTRY = TableSpec(
    (
        *_IDENTITY,
        Key(
            "name",
            SafeId(),
            "the instance's name; one package may be enabled under several",
            default_words="the id without its store",
        ),
        Key(
            "surfaces",
            ListOf(Choice(SURFACES)),
            "the surfaces to use",
            default_words="all that the package declares",
        ),
        Key("config", AnyTable(), "what the plugin's `config_schema` asks for", default={}),
        Key("senders", Rows(SENDERS), "see `[[plugins.enabled.senders]]`", default=()),
        Key(
            "runs_on",
            ListOf(
                Parsed(Text(LIMITS.name_bytes), _machines, "machine name"), LIMITS.cluster_patterns
            ),
            "of several machines (`[cluster]`) those that may run it, by name, such as "
            '`["big-*"]`; what works together is never parted',
            default_words="any machine",
            default=(),
        ),
        Key(
            "weight",
            Whole(1, 100),
            "how much of a machine it takes, beside what else machines share",
            default=1,
        ),
        Key("grants", Nested(GRANTS), "see `[plugins.enabled.grants]`"),
    ),
    _entry,
    about="A package that is switched on. `yoi plugin enable` writes it and keeps your comments. A "
    "faulty entry is off and reported; the others run.",
)
PLUGINS = TableSpec[tuple[Any, ...]](
    (
        Key(
            "enabled",
            ListOf(AnyValue(), LIMITS.enabled_plugins),
            "see `[[plugins.enabled]]`",
            default=(),
        ),
    ),
    lambda row: tuple(row["enabled"]),
    about="What is switched on.",
)
