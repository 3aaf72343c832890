"""What a manifest declares beside its connections: runtime, tools, services, ingresses, hooks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal

from yoi.errors import PackageError
from yoi.limits import KIB, LIMITS
from yoi.packages.connections import IngressRoute, OnFull
from yoi.packages.paths import check_path
from yoi.packages.source import PythonEntry
from yoi.tables import Table, quoted, type_name

INSTANCE_WORLD = "yoi:plugin/instance@1.0.0"
TOOL_WORLD = "yoi:plugin/tool@1.0.0"
WORLDS = (INSTANCE_WORLD, TOOL_WORLD)
RUNNERS = ("1",)
DURABILITIES = ("memory",)

_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


class RuntimeKind(StrEnum):
    """The two ways to write a plugin."""

    PYTHON = "python"
    COMPONENT = "wasm-component"


@dataclass(frozen=True, slots=True)
class PythonRuntime:
    """Plain Python source, run by Yoi's own runner."""

    kind: ClassVar[Literal[RuntimeKind.PYTHON]] = RuntimeKind.PYTHON
    world: ClassVar[str] = INSTANCE_WORLD
    runner: str
    entry_point: PythonEntry

    @property
    def entry(self) -> str:
        """Return the entry as it is written: `module:Class`."""
        return str(self.entry_point)

    @property
    def label(self) -> str:
        """Return the runtime as a person reads it."""
        return f"python/runner {self.runner}"


@dataclass(frozen=True, slots=True)
class ComponentRuntime:
    """A WebAssembly component of the package, built for one of the known worlds."""

    kind: ClassVar[Literal[RuntimeKind.COMPONENT]] = RuntimeKind.COMPONENT
    component: str
    world: str

    @property
    def label(self) -> str:
        """Return the runtime as a person reads it."""
        return f"wasm-component/{self.world}"


RuntimeDecl = PythonRuntime | ComponentRuntime


@dataclass(frozen=True, slots=True)
class ToolDecl:
    """A tool for the model. Faults of `input_schema` are reported by inspection, not here."""

    name: str
    description: str
    input_schema: dict[str, Any]
    external_write: bool


@dataclass(frozen=True, slots=True)
class ServiceDecl:
    """A long-lived surface. Lifecycle, status schema and side effects are recorded only."""

    name: str
    description: str
    lifecycle: str
    status_schema: dict[str, Any] | None
    side_effects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IngressDecl:
    """A queue of events for the plugin, with its bounds. Empty `event_kinds` means any."""

    name: str
    description: str
    event_kinds: tuple[str, ...]
    input_schema: dict[str, Any] | None
    sources: tuple[str, ...]
    side_effects: tuple[str, ...]
    deadline_ms: int
    queue_events: int
    queue_bytes: int
    on_full: OnFull
    attempts: int
    durability: str

    @property
    def route(self) -> IngressRoute:
        """Return what a connection needs to know of this ingress."""
        return IngressRoute(self.on_full, self.event_kinds)


@dataclass(frozen=True, slots=True)
class HookDecl:
    """A hook file of the ancestor: recorded, never executed."""

    id: str
    file: str


def parse_runtime(manifest: Table) -> RuntimeDecl | None:
    """Return `[runtime]`, or None when the manifest has none."""
    keys = frozenset({"kind", "runner", "entry", "abi", "component", "world"})
    table = manifest.table("runtime", keys)
    if table is None:
        return None
    kind = table.text("kind")
    if kind == RuntimeKind.PYTHON:
        _refuse(table, ("abi", "component", "world"), 'kind = "python"')
        return PythonRuntime(runner=_runner(table), entry_point=_entry(table))
    if kind == RuntimeKind.COMPONENT:
        _refuse(table, ("abi", "entry", "runner"), 'kind = "wasm-component"')
        world = table.text("world")
        if world not in WORLDS:
            raise table.fault("world", "world", f"must be one of {quoted(WORLDS)}")
        return ComponentRuntime(component=_file(table, "component"), world=world)
    raise table.fault("world", "kind", 'must be "python" or "wasm-component"')


def _refuse(table: Table, keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if table.has(key):
            raise table.fault("unknown_key", key, f"does not go with {where}")


def _runner(table: Table) -> str:
    runner = table.text("runner")
    if runner not in RUNNERS:
        raise table.fault("world", "runner", f"must be one of {quoted(RUNNERS)}")
    return runner


def _entry(table: Table) -> PythonEntry:
    try:
        return PythonEntry.parse(table.text("entry"))
    except ValueError as exc:
        raise table.fault("value", "entry", str(exc)) from None


def _file(table: Table, key: str) -> str:
    path = table.text(key, LIMITS.package_path_bytes)
    try:
        return check_path(path)
    except PackageError as exc:
        raise table.fault("value", key, exc.message) from None


def parse_tools(manifest: Table) -> tuple[ToolDecl, ...]:
    """Return `[[tools]]`; names are unique."""
    keys = frozenset({"name", "description", "input_schema", "external_write"})
    tools = []
    for table in _named(manifest, "tools", keys):
        name = table.text("name")
        if len(name.encode()) > LIMITS.name_bytes or _UNSEEN.search(name):
            raise table.fault(
                "value", "name", f"must be 1 to {LIMITS.name_bytes} bytes without blanks"
            )
        schema = _schema(table, "input_schema")
        if schema is None:
            raise table.fault("missing", "input_schema", "is required")
        tools.append(ToolDecl(name, _description(table), schema, table.flag("external_write")))
    return tuple(tools)


def parse_services(manifest: Table) -> tuple[ServiceDecl, ...]:
    """Return `[[services]]`; names are unique safe ids."""
    keys = frozenset({"name", "description", "lifecycle", "status_schema", "side_effects"})
    return tuple(
        ServiceDecl(
            name=table.safe_id("name"),
            description=_description(table),
            lifecycle=table.optional_text("lifecycle", "", LIMITS.name_bytes),
            status_schema=_schema(table, "status_schema"),
            side_effects=table.texts("side_effects", LIMITS.description_chars),
        )
        for table in _named(manifest, "services", keys)
    )


_INGRESS_KEYS = frozenset(
    {
        "name", "description", "event_kinds", "input_schema", "sources", "side_effects",
        "deadline_ms", "queue_events", "queue_bytes", "on_full", "attempts", "durability",
    }
)  # fmt: skip


def parse_ingresses(manifest: Table) -> list[tuple[Table, IngressDecl]]:
    """Return `[[ingresses]]` beside their tables; names are unique safe ids."""
    return [(table, _ingress(table)) for table in _named(manifest, "ingresses", _INGRESS_KEYS)]


def _ingress(table: Table) -> IngressDecl:
    durability = table.optional_text("durability", "memory", LIMITS.name_bytes)
    if durability not in DURABILITIES:
        raise table.fault(
            "value",
            "durability",
            'must be "memory"; this Yoi keeps no events on disk yet'
            if durability == "disk"
            else 'must be "memory"',
        )
    return IngressDecl(
        name=table.safe_id("name"),
        description=_description(table),
        event_kinds=table.texts("event_kinds"),
        input_schema=_schema(table, "input_schema"),
        sources=table.texts("sources", LIMITS.url_chars),
        side_effects=table.texts("side_effects", LIMITS.description_chars),
        deadline_ms=table.number("deadline_ms", LIMITS.dispatch_ms, 1, LIMITS.dispatch_max_ms),
        queue_events=table.number("queue_events", LIMITS.queue_events, 1, LIMITS.queue_events),
        queue_bytes=table.number("queue_bytes", LIMITS.queue_bytes, KIB, LIMITS.queue_bytes),
        on_full=OnFull(table.choice("on_full", tuple(OnFull), OnFull.PAUSE)),
        attempts=table.number("attempts", LIMITS.event_attempts, 1, LIMITS.event_attempts),
        durability=durability,
    )


def parse_hooks(manifest: Table) -> tuple[HookDecl, ...]:
    """Return `[[hooks]]`, recorded only."""
    hooks: dict[str, HookDecl] = {}
    for table in manifest.tables("hooks", frozenset({"id", "file"})):
        hook = HookDecl(table.safe_id("id"), _file(table, "file"))
        if hook.id in hooks:
            raise table.fault("duplicate", "id", f'"{hook.id}" is declared twice')
        hooks[hook.id] = hook
    return tuple(hooks.values())


def _named(manifest: Table, key: str, known: frozenset[str]) -> Iterator[Table]:
    seen: set[str] = set()
    for table in manifest.tables(key, known):
        name = table.text("name")
        if name in seen:
            raise table.fault("duplicate", "name", f'"{name}" is declared twice')
        seen.add(name)
        yield table


def _description(table: Table) -> str:
    return table.optional_text("description", "", LIMITS.description_chars)


def _schema(table: Table, key: str) -> dict[str, Any] | None:
    value = table.raw(key)
    if value is not None and not isinstance(value, dict):
        raise table.fault("type", key, f"must be a table, not {type_name(value)}")
    return value
