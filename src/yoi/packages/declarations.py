"""What a manifest declares beside its connections: runtime, tools, services, ingresses."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal

from yoi.limits import KIB, LIMITS
from yoi.packages.connections import IngressRoute, drops_wrongly
from yoi.packages.paths import check_path
from yoi.packages.source import PythonEntry
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import Dedupe, OnFull
from yoi.permissions.places import POINTER
from yoi.toml import (
    AnyTable,
    Choice,
    Flag,
    Key,
    ListOf,
    Nested,
    Parsed,
    Row,
    SafeId,
    TableSpec,
    Text,
    Whole,
)

INSTANCE_WORLD = "yoi:plugin/instance@1.0.0"
TOOL_WORLD = "yoi:plugin/tool@1.0.0"
WORLDS = (INSTANCE_WORLD, TOOL_WORLD)
RUNNERS = ("1",)

_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


class Durability(StrEnum):
    """Where the events of an ingress wait: whether they outlive the host."""

    MEMORY = "memory"
    DISK = "disk"


class Order(StrEnum):
    """Which events of an ingress wait while one waits for its next attempt."""

    STRICT = "strict"
    PER_KEY = "per_key"


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
    memory_bytes: int = LIMITS.guest_memory_bytes
    """The memory it asks for; what it gets is the authority's."""

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
    memory_bytes: int = LIMITS.guest_memory_bytes
    """The memory it asks for; what it gets is the authority's."""

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
    durability: Durability
    order: Order
    order_key: JsonPointer | None
    """Where the key stands in a text frame; for `per_key` only."""
    dedupe: Dedupe | None

    @property
    def route(self) -> IngressRoute:
        """Return what a connection needs to know of this ingress."""
        durable = self.durability is Durability.DISK
        return IngressRoute(self.on_full, self.event_kinds, durable, self.dedupe is not None)


_KEYS_OF_KIND = {
    RuntimeKind.PYTHON: ("runner", "entry"),
    RuntimeKind.COMPONENT: ("component", "world"),
}


def _runtime(row: Row) -> RuntimeDecl | None:
    kind = RuntimeKind(row["kind"])
    for other, keys in _KEYS_OF_KIND.items():
        for key in keys:
            if other is kind and not row.has(key):
                row.fault("missing", key, f'is required beside kind = "{kind}"')
            elif other is not kind and row.has(key):
                row.fault("unknown_key", key, f'does not go with kind = "{kind}"')
    if kind is RuntimeKind.COMPONENT:
        return ComponentRuntime(row["component"], row["world"], row["memory_bytes"])
    return PythonRuntime(row["runner"], row["entry"], row["memory_bytes"])


def _tool_name(name: str) -> str:
    if len(name.encode()) > LIMITS.name_bytes or _UNSEEN.search(name):
        raise ValueError(f"must be 1 to {LIMITS.name_bytes} bytes without blanks")
    return name


_PATH = Parsed(Text(LIMITS.package_path_bytes), check_path, "path of the package")
_DESCRIPTION = Key(
    "description",
    Text(LIMITS.description_chars, blank=True),
    "for people and models",
    default="",
)
_SIDE_EFFECTS = Key(
    "side_effects",
    ListOf(Text(LIMITS.description_chars)),
    "recorded only",
    default=(),
)

RUNTIME = TableSpec[RuntimeDecl | None](
    (
        Key(
            "kind",
            Choice(RuntimeKind, "world"),
            "Python source that runs inside Yoi's runner, or a WebAssembly component",
            required=True,
        ),
        Key(
            "runner",
            Choice(RUNNERS, "world"),
            "for `python`: the version of the runner",
            default_words="required for `python`",
        ),
        Key(
            "entry",
            Parsed(Text(), PythonEntry.parse),
            "for `python`: `module:Class`, where `module` is a `.py` file (or folder with "
            "`__init__.py`) of the package",
            default_words="required for `python`",
        ),
        Key(
            "component",
            _PATH,
            "for `wasm-component`: the file's path",
            default_words="required for `wasm-component`",
        ),
        Key(
            "world",
            Choice(WORLDS, "world"),
            "for `wasm-component`: what it is built for; the tool world is for tools alone",
            default_words="required for `wasm-component`",
        ),
        Key(
            "memory_bytes",
            Whole(LIMITS.guest_memory_min_bytes, LIMITS.guest_memory_max_bytes),
            "the memory it asks for; the grant's `memory_bytes` must allow it",
            default=LIMITS.guest_memory_bytes,
        ),
    ),
    _runtime,
    about="The code; required as soon as a tool, service or ingress is declared.",
)

TOOL = TableSpec(
    (
        Key(
            "name",
            Parsed(Text(), _tool_name),
            "what the model calls it, without blanks; unique",
            required=True,
        ),
        _DESCRIPTION,
        Key(
            "input_schema",
            AnyTable(),
            "the tool's arguments, see [schemas](#schemas). Its faults are shown by "
            "`yoi plugin check` and refuse packing",
            required=True,
        ),
        Key(
            "external_write",
            Flag(),
            "`true` when a call changes something outside this machine; asks for that permission",
            default=False,
        ),
    ),
    lambda row: ToolDecl(
        row["name"], row["description"], row["input_schema"], row["external_write"]
    ),
    about="A tool for the model.",
)

SERVICE = TableSpec(
    (
        Key("name", SafeId(), "unique", required=True),
        _DESCRIPTION,
        Key("lifecycle", Text(blank=True), "recorded only", default=""),
        Key("status_schema", AnyTable(), "recorded only"),
        _SIDE_EFFECTS,
    ),
    lambda row: ServiceDecl(
        row["name"],
        row["description"],
        row["lifecycle"],
        row["status_schema"],
        row["side_effects"],
    ),
    about="A long-lived surface.",
)

DEDUPE = TableSpec(
    (
        Key(
            "at",
            POINTER,
            "the JSON pointer in a text message to the gateway's own id of it: a text or a "
            "number, for example `/envelope_id`",
            required=True,
        ),
        Key(
            "keep_ms",
            Whole(1_000, LIMITS.dedupe_max_keep_ms),
            "how long an id is known after it last came",
            default=LIMITS.dedupe_keep_ms,
        ),
        Key(
            "max",
            Whole(1, LIMITS.dedupe_max_keys),
            "how many ids are known: those that came last",
            default=LIMITS.dedupe_keys,
        ),
    ),
    lambda row: Dedupe(row["at"], row["keep_ms"], row["max"]),
    about="How an ingress knows a message again that the gateway sends anew because nothing "
    "acknowledged it; the event says `duplicate`.",
)

_INGRESS_FIELDS = (
    Key("name", SafeId(), "unique", required=True),
    _DESCRIPTION,
    Key(
        "event_kinds",
        ListOf(Text()),
        "which events it takes: `websocket_text`, `websocket_binary`, `websocket_open`, "
        "`websocket_close`, `websocket_error`, `websocket_gap`, `websocket_send_failed`, "
        "`command_denied`",
        default=(),
        default_words="any",
    ),
    Key("input_schema", AnyTable(), "recorded only"),
    Key(
        "sources",
        ListOf(Text(LIMITS.url_chars)),
        'shorthand for connections: `"websocket:wss://…"` or a bare `wss://`, `ws://` URL. Other '
        "words are recorded only",
        default=(),
    ),
    _SIDE_EFFECTS,
    Key(
        "deadline_ms",
        Whole(1, LIMITS.dispatch_max_ms),
        "for handling one event; the guest is really interrupted. A Python plugin parses a MiB of "
        f"JSON in up to {LIMITS.guest_json_ms_per_mib} ms",
        default=LIMITS.dispatch_ms,
    ),
    Key(
        "queue_events",
        Whole(1, LIMITS.queue_events),
        "how many events may wait",
        default=LIMITS.queue_events,
    ),
    Key(
        "queue_bytes",
        Whole(KIB, LIMITS.queue_bytes),
        "how many bytes may wait; one larger message is taken in where half is free",
        default=LIMITS.queue_bytes,
    ),
    Key(
        "on_full",
        Parsed(Choice(OnFull), OnFull),
        "what happens to a frame of its connections when the queue is full, see below",
        default=OnFull.PAUSE,
    ),
    Key(
        "attempts",
        Whole(1, LIMITS.event_attempts),
        "deliveries of one event before it becomes a dead letter",
        default=LIMITS.event_attempts,
    ),
    Key(
        "durability",
        Parsed(Choice(Durability), Durability),
        "where its events wait: with `disk` they outlive the host, see below",
        default=Durability.MEMORY,
    ),
    Key(
        "order",
        Parsed(Choice(Order), Order),
        "which later events wait while one waits for its next attempt: all, or those of its key "
        "(`order_key`) and, from the first that has none, all",
        default=Order.STRICT,
    ),
    Key(
        "order_key",
        POINTER,
        'for `order = "per_key"`: the JSON pointer in a text message to the text, number, true or '
        "false that orders it among others",
        default_words="required for `per_key`",
    ),
    Key(
        "dedupe",
        Nested(DEDUPE),
        "marks messages that the gateway sends again, see below",
        default=None,
        default_words="none",
    ),
)


def _ingress(row: Row) -> IngressDecl | None:
    durable = row["durability"] is Durability.DISK
    wrong = drops_wrongly(row["on_full"], durable=durable, dedupe=row["dedupe"] is not None)
    if wrong is not None:
        row.fault("value", "on_full", wrong)
        return None
    per_key = row["order"] is Order.PER_KEY
    if per_key and not row.has("order_key"):
        row.fault("missing", "order_key", 'is required beside order = "per_key"')
        return None
    if not per_key and row.has("order_key"):
        row.fault("unknown_key", "order_key", 'goes with order = "per_key" only')
        return None
    return IngressDecl(**{key.name: row[key.name] for key in _INGRESS_FIELDS})


INGRESS = TableSpec[IngressDecl | None](
    _INGRESS_FIELDS,
    _ingress,
    about="A bounded queue of events for the plugin.",
)
