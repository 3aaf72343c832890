"""`Permission`: one thing a manifest may ask for and a grant may give, beside URL targets."""

import re
from dataclasses import dataclass
from enum import StrEnum

from yoi.display import printable
from yoi.errors import PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import shapes
from yoi.permissions.names import is_safe_id

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
        _check(self.kind, self.name, "permission")

    @classmethod
    def parse(cls, value: object, at: str = "permission") -> "Permission":
        """Return the permission in a table such as `{ kind = "tool", name = "x" }`.

        Raises `PermissionMalformed` (`permission.malformed`); `fields["at"]` is the dotted place.
        """
        if not isinstance(value, dict):
            raise _malformed(f"{at} must be a table, not {shapes.kind_of(value)}", at)
        written = value.get("kind")
        if not isinstance(written, str) or written not in _BY_VALUE:
            shown = f", not {printable(written, 60)!r}" if isinstance(written, str) else ""
            known = ", ".join(_BY_VALUE)
            raise _malformed(f"{at}.kind must be one of {known}{shown}", f"{at}.kind")
        kind = _BY_VALUE[written]
        key = _KEY[kind]
        if key is None:
            shapes.table(value, ("kind",), at, _malformed)
            return cls(kind)
        shapes.table(value, ("kind", key), at, _malformed)
        if key not in value:
            raise _malformed(f"{at} needs {key!r} beside kind = {kind.value!r}", at)
        name = shapes.text(value[key], f"{at}.{key}", _malformed)
        _check(kind, name, f"{at}.{key}")
        return cls(kind, name)

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


_BY_VALUE = {kind.value: kind for kind in PermissionKind}


def _check(kind: PermissionKind, name: str, at: str) -> None:
    if _KEY[kind] is None:
        if name:
            raise _malformed(f"{at}: {kind.value} has no name", at)
        return
    choices = _CHOICES.get(kind)
    if choices is not None:
        if name not in choices:
            shown = printable(name, 60)
            raise _malformed(f"{at} must be one of {', '.join(choices)}, not {shown!r}", at)
        return
    tool = kind in (PermissionKind.TOOL, PermissionKind.TOOL_NAMESPACE)
    fits = _fits_a_tool(name) if tool else is_safe_id(name)
    if not fits:
        allowed = "no spaces or control characters" if tool else "letters, digits, '-', '_', '.'"
        raise _malformed(
            f"{at} must have 1 to {LIMITS.name_bytes} bytes, {allowed}; "
            f"not {printable(name, 60)!r}",
            at,
        )


def _fits_a_tool(name: str) -> bool:
    return _TOOL_NAME.match(name) is not None and len(name.encode()) <= LIMITS.name_bytes


def _malformed(message: str, at: str) -> PermissionMalformed:
    return PermissionMalformed("permission.malformed", message, at=at)
