"""`Permission`: one thing a manifest may ask for and a grant may give, beside URL targets."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from yoi.display import printable
from yoi.errors import PermissionMalformed
from yoi.limits import LIMITS
from yoi.toml import (
    BAD,
    SAFE_ID_WORDS,
    Bad,
    Choice,
    Fault,
    Faults,
    Key,
    Kind,
    Parsed,
    TableSpec,
    Text,
    is_safe_id,
    joined,
    json_schema,
)

SURFACES = ("hook", "tool", "service", "ingress", "wasm")
HOST_APIS = ("request", "websocket")

_TOOL_NAME = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+\Z")
# A namespace ends where one of these follows: `chat` holds `chat.post`, never `chatbot`.
_DELIMITERS = (".", "_", "-", "/", ":")


class PermissionKind(StrEnum):
    """The kinds of permission; the value is what stands in `kind`."""

    SURFACE = "surface"
    TOOL = "tool"
    TOOL_NAMESPACE = "tool_namespace"
    SERVICE = "service"
    INGRESS = "ingress"
    EXTERNAL_WRITE = "external_write"
    HOST_API = "host_api"
    CONNECTION = "connection"
    NOTIFY = "notify"


# The key that names the thing, per kind; None where the kind says it all.
_KEY: dict[PermissionKind, str | None] = {
    PermissionKind.SURFACE: "surface",
    PermissionKind.TOOL: "name",
    PermissionKind.TOOL_NAMESPACE: "namespace",
    PermissionKind.SERVICE: "name",
    PermissionKind.INGRESS: "name",
    PermissionKind.EXTERNAL_WRITE: None,
    PermissionKind.HOST_API: "api",
    PermissionKind.CONNECTION: "name",
    PermissionKind.NOTIFY: "name",
}
_CHOICES = {PermissionKind.SURFACE: SURFACES, PermissionKind.HOST_API: HOST_APIS}
_PLURAL = {PermissionKind.SURFACE: "surfaces"}
_MEANING = {
    PermissionKind.SURFACE: "offer the surface {name}",
    PermissionKind.TOOL: "offer the tool {name} to agents",
    PermissionKind.TOOL_NAMESPACE: "offer any tool whose name begins with {name}",
    PermissionKind.SERVICE: "run the service {name} for as long as the host runs",
    PermissionKind.INGRESS: "receive outside events on {name}",
    PermissionKind.EXTERNAL_WRITE: "offer tools that change things outside this machine",
    PermissionKind.HOST_API: "make {name} calls through the host, to its targets only",
    PermissionKind.CONNECTION: (
        "keep the connection {name} open all the time: the host reconnects it by itself"
    ),
    PermissionKind.NOTIFY: "put messages from outside before the worker {name}, which may act",
}


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One permission; `name` is empty only where the kind says it all."""

    kind: PermissionKind
    name: str = ""

    def __post_init__(self) -> None:
        problem = _problem(self.kind, self.name)
        if problem is not None:
            raise PermissionMalformed(
                "permission.malformed", f"permission {problem}", at="permission"
            )

    @classmethod
    def parse(cls, value: object, at: str = "permission") -> "Permission":
        """Return the permission in a table such as `{ kind = "tool", name = "x" }`.

        Raises `PermissionMalformed` (`permission.malformed`); `fields["at"]` is the dotted path.
        """
        faults = Faults()
        read = PERMISSION.read(value, at, faults)
        if isinstance(read, Bad):
            raise joined([malformed(fault) for fault in faults], faults.count)
        return read

    @property
    def label(self) -> str:
        """A short, escaped name such as `tool.post` or `connection.gateway`."""
        prefix = _PLURAL.get(self.kind, self.kind.value)
        return f"{prefix}.{printable(self.name, LIMITS.name_bytes)}" if self.name else prefix

    @property
    def meaning(self) -> str:
        """What the permission lets a plugin do, in words a person understands."""
        return _MEANING[self.kind].format(name=printable(self.name, LIMITS.name_bytes))

    @property
    def broad(self) -> tuple[str, ...]:
        """Why this is broad access; empty for an ordinary permission."""
        if self.kind is PermissionKind.TOOL_NAMESPACE:
            return (
                f"any tool named under {printable(self.name, LIMITS.name_bytes)}, unseen ones too",
            )
        return ()

    def covers(self, other: "Permission") -> bool:
        """Return whether having this permission is having `other` (namespaces hold their tools)."""
        if self == other:
            return True
        if self.kind is not PermissionKind.TOOL_NAMESPACE:
            return False
        if other.kind not in (PermissionKind.TOOL, PermissionKind.TOOL_NAMESPACE):
            return False
        rest = other.name.removeprefix(self.name)
        if rest == other.name:
            return False
        return not rest or rest.startswith(_DELIMITERS) or self.name.endswith(_DELIMITERS)

    def to_table(self) -> dict[str, str]:
        """Return the canonical TOML-able table."""
        key = _KEY[self.kind]
        made = {"kind": self.kind.value}
        if key is not None:
            made[key] = self.name
        return made


class _PermissionTable(Kind[Permission]):
    """A permission: `kind`, and the one further key that goes with it."""

    def read(self, value: Any, at: str, faults: Faults) -> Permission | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        if not isinstance(value, dict) or "kind" not in value:
            read = _ANY.read(value, at, faults)
            assert isinstance(read, Bad), "a permission needs a kind"
            return BAD
        kind = _KIND.read(value["kind"], f"{at}.kind", faults)
        return BAD if isinstance(kind, Bad) else _SPECS[kind].read(value, at, faults)

    words = "permission"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        made = []
        for kind, spec in _SPECS.items():
            one = json_schema(spec)
            one["properties"]["kind"] = {"const": kind.value}
            made.append(one)
        return {"oneOf": made}


def _spec(kind: PermissionKind) -> TableSpec[Permission]:
    key = _KEY[kind]
    known = Key("kind", _KIND, "what is asked for", required=True)
    if key is None:
        return TableSpec([known], lambda row: Permission(kind))

    def named(name: str) -> str:
        problem = _problem(kind, name)
        if problem is not None:
            raise ValueError(problem)
        return name

    choices = _CHOICES.get(kind)
    words: Kind[str] = Text(LIMITS.url_chars) if choices is None else Choice(choices)
    meaning = _MEANING[kind].format(name=f"`{key}`")
    second = Key(
        key,
        Parsed(words, named),
        f"allows to {meaning}",
        required=True,
        missing=f"is required beside kind = {kind.value!r}",
    )
    return TableSpec([known, second], lambda row: Permission(kind, row[key]))


_KIND = Parsed(Choice(PermissionKind), PermissionKind)
_ANY = TableSpec([Key("kind", _KIND, "what is asked for", required=True)], lambda row: row)
_SPECS = {kind: _spec(kind) for kind in PermissionKind}
PERMISSION = _PermissionTable()
"""One item of `permissions`."""


def malformed(fault: Fault) -> PermissionMalformed:
    """Return `fault` as an error that begins with its path."""
    return PermissionMalformed(
        "permission.malformed", f"{fault.at} {fault.message}", hint=fault.hint, at=fault.at
    )


def _problem(kind: PermissionKind, name: str) -> str | None:
    """Return why `name` cannot stand beside `kind`, or None."""
    if _KEY[kind] is None:
        return f"has a name, and {kind.value} has none" if name else None
    choices = _CHOICES.get(kind)
    if choices is not None:
        if name in choices:
            return None
        return f"must be one of {', '.join(choices)}, not {printable(name, 60)!r}"
    tool = kind in (PermissionKind.TOOL, PermissionKind.TOOL_NAMESPACE)
    if _fits_a_tool(name) if tool else is_safe_id(name):
        return None
    bytes_ = f"1 to {LIMITS.name_bytes} bytes without spaces or control characters"
    return f"must be {bytes_ if tool else SAFE_ID_WORDS}; not {printable(name, 60)!r}"


def _fits_a_tool(name: str) -> bool:
    return _TOOL_NAME.match(name) is not None and len(name.encode()) <= LIMITS.name_bytes
