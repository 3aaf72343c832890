"""`Manifest`: plugin.toml as a parsed value. Strict: an unknown key is a fault at every level."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.errors import ManifestError, PermissionMalformed, UrlRefused
from yoi.limits import LIMITS
from yoi.packages.connections import ConnectionDecl, connections_of_sources, parse_connections
from yoi.packages.declarations import (
    INSTANCE_WORLD,
    ComponentRuntime,
    HookDecl,
    IngressDecl,
    PythonRuntime,
    RuntimeDecl,
    ServiceDecl,
    ToolDecl,
    parse_hooks,
    parse_ingresses,
    parse_runtime,
    parse_services,
    parse_tools,
)
from yoi.packages.schema import schema_problems
from yoi.permissions import Binding, Permission, PermissionKind, PermissionSet
from yoi.tables import FaultKind, Table, TomlFault, parse_toml

if TYPE_CHECKING:
    from collections.abc import Collection

MANIFEST_NAME = "plugin.toml"
SCHEMA_VERSION = 1
SURFACES = ("hook", "tool", "service", "ingress", "wasm")

_KEYS = frozenset(
    {
        "schema_version", "id", "name", "version", "description", "surfaces", "runtime", "hooks",
        "tools", "services", "ingresses", "connections", "permissions", "request", "websocket",
        "secrets", "config_schema",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a package says about itself. Requests only: nothing here is authority."""

    id: str
    name: str
    version: str
    description: str
    surfaces: frozenset[str]
    """Declared surfaces: listed ones and those that the declarations imply."""
    runtime: RuntimeDecl | None
    tools: tuple[ToolDecl, ...]
    services: tuple[ServiceDecl, ...]
    ingresses: tuple[IngressDecl, ...]
    connections: tuple[ConnectionDecl, ...]
    """Declared connections and those of the `sources` shorthand, in that order."""
    hooks: tuple[HookDecl, ...]
    config_schema: dict[str, Any] | None
    requested: PermissionSet
    """All that is asked for: written permissions and targets, and what declarations imply."""

    @classmethod
    def parse(cls, toml: bytes) -> "Manifest":
        """Return the manifest in `toml`, the bytes of a plugin.toml.

        Raises ManifestError for the first fault found: its message starts with the dotted path that
        is also `fields["at"]`; for TOML errors `fields["line"]` is the line. Files of the package
        are not looked at; `read_package` does that.
        """
        if len(toml) > LIMITS.manifest_bytes:
            raise _fault("too_large", "", f"is over {LIMITS.manifest_bytes} bytes")
        try:
            document = parse_toml(toml)
        except TomlFault as exc:
            raise ManifestError(
                "manifest.toml", f"{MANIFEST_NAME}: {exc.message}", at="", line=exc.line
            ) from None
        return _manifest(Table(document, "", _KEYS, _fault))

    def check_files(self, paths: "Collection[str]") -> None:
        """Raise ManifestError (`manifest.missing`) when a file the manifest names is not there."""
        if isinstance(self.runtime, PythonRuntime):
            module, package = self.runtime.entry_point.candidates
            if module not in paths and package not in paths:
                raise _fault(
                    "missing", "runtime.entry", f"names {module}, which is not a file here"
                )
        elif isinstance(self.runtime, ComponentRuntime) and self.runtime.component not in paths:
            raise _missing_file("runtime.component", self.runtime.component)
        for index, hook in enumerate(self.hooks):
            if hook.file not in paths:
                raise _missing_file(f"hooks[{index}].file", hook.file)


def _fault(kind: FaultKind, at: str, message: str) -> ManifestError:
    where = f"{MANIFEST_NAME}: {at}" if at else MANIFEST_NAME
    return ManifestError(f"manifest.{kind}", f"{where}: {message}", at=at)


def _missing_file(at: str, path: str) -> ManifestError:
    return _fault(
        "missing",
        at,
        f'names "{path}", which is not in the package (hidden files, caches and build folders '
        "are left out)",
    )


def _manifest(table: Table) -> Manifest:
    version = table.raw("schema_version")
    if version is None:
        raise table.fault("missing", "schema_version", f"is required: {SCHEMA_VERSION}")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ManifestError(
            "manifest.schema_version",
            f"{MANIFEST_NAME}: schema_version must be {SCHEMA_VERSION}, the one this Yoi knows",
            at="schema_version",
        )
    local_id, name, release = table.safe_id("id"), table.text("name"), table.text("version")
    runtime = parse_runtime(table)
    services, tools, hooks = parse_services(table), parse_tools(table), parse_hooks(table)
    ingress_tables = parse_ingresses(table)
    ingresses = tuple(ingress for _, ingress in ingress_tables)
    connections = parse_connections(table, {ingress.name: ingress.route for ingress in ingresses})
    taken = {connection.name for connection in connections}
    for ingress_table, ingress in ingress_tables:
        connections += connections_of_sources(ingress_table, ingress.route, taken)
    if len(connections) > LIMITS.connections_per_plugin:
        raise table.fault(
            "too_large", "connections", f"there are more than {LIMITS.connections_per_plugin}"
        )
    implied = {
        "hook": bool(hooks),
        "tool": bool(tools),
        "service": bool(services),
        "ingress": bool(ingresses),
        "wasm": runtime is not None,
    }
    listed = _surfaces(table)
    _check_runtime(table, runtime, implied)
    return Manifest(
        id=local_id,
        name=name,
        version=release,
        description=table.optional_text("description", "", LIMITS.description_chars),
        surfaces=listed.union(surface for surface, present in implied.items() if present),
        runtime=runtime,
        tools=tools,
        services=services,
        ingresses=ingresses,
        connections=tuple(connections),
        hooks=hooks,
        config_schema=_config_schema(table),
        requested=_requested(table, tools, services, ingresses, connections),
    )


def _surfaces(table: Table) -> frozenset[str]:
    listed = table.texts("surfaces")
    for index, surface in enumerate(listed):
        if surface not in SURFACES:
            raise table.fault(
                "value", f"surfaces[{index}]", f"must be one of {', '.join(SURFACES)}"
            )
    return frozenset(listed)


def _check_runtime(table: Table, runtime: RuntimeDecl | None, implied: dict[str, bool]) -> None:
    if runtime is None:
        for surface in ("tool", "service", "ingress"):
            if implied[surface]:
                raise table.fault("missing", "runtime", f"is required: a {surface} is code to run")
    elif runtime.world != INSTANCE_WORLD and (implied["service"] or implied["ingress"]):
        raise table.fault(
            "world",
            "runtime.world",
            f'must be "{INSTANCE_WORLD}": services and ingresses need an instance',
        )


def _config_schema(table: Table) -> dict[str, Any] | None:
    schema = table.raw("config_schema")
    if schema is None:
        return None
    for problem in schema_problems(schema):
        at = "config_schema" + problem.at.removeprefix("$")
        raise table.fault("value", at, problem.message)
    return dict(schema)


def _requested(
    table: Table,
    tools: tuple[ToolDecl, ...],
    services: tuple[ServiceDecl, ...],
    ingresses: tuple[IngressDecl, ...],
    connections: list[ConnectionDecl],
) -> PermissionSet:
    """Return written requests first, then what the declarations themselves ask for."""
    try:
        written = PermissionSet.parse(
            table.items("permissions"),
            table.items("websocket"),
            table.items("request"),
            table.items("secrets"),
        )
    except (PermissionMalformed, UrlRefused) as exc:
        raise table.foreign(exc, "permissions") from None
    _check_values(table, written, {connection.name for connection in connections})
    kind = PermissionKind
    implied = [
        *(Permission(kind.TOOL, tool.name) for tool in tools),
        *(Permission(kind.SERVICE, service.name) for service in services),
        *(Permission(kind.INGRESS, ingress.name) for ingress in ingresses),
        *(Permission(kind.CONNECTION, connection.name) for connection in connections),
    ]
    for surface, present in (("tool", tools), ("service", services), ("ingress", ingresses)):
        if present:
            implied.append(Permission(kind.SURFACE, surface))
    if any(tool.external_write for tool in tools):
        implied.append(Permission(kind.EXTERNAL_WRITE))
    # Only written targets are for the pull API; a declared connection needs its own permission.
    if written.websocket:
        implied.append(Permission(kind.HOST_API, "websocket"))
    if written.request:
        implied.append(Permission(kind.HOST_API, "request"))
    targets = tuple(connection.target for connection in connections)
    requested = PermissionSet.of(
        (*written.permissions, *implied),
        (*written.websocket, *targets, *written.request),
        written.secrets,
    )
    most = LIMITS.manifest_list_items
    if len(requested.permissions) > most or len(requested.websocket) > most:
        raise table.fault(
            "too_large",
            "permissions",
            f"these and the declarations ask for more than {most} things: nobody could review that",
        )
    return requested


def _check_values(table: Table, written: PermissionSet, connections: set[str]) -> None:
    """Refuse a secret or captured value that is bound to nothing the manifest declares."""

    def check(binding: Binding, at: str) -> None:
        if binding.connection is not None and binding.connection not in connections:
            raise table.fault(
                "reference",
                f"{at}.connection",
                f'no connection is named "{binding.connection}"',
            )
        if binding.request is not None and written.request_named(binding.request) is None:
            raise table.fault(
                "reference", f"{at}.request", f'no [[request]] is named "{binding.request}"'
            )

    for index, use in enumerate(written.secrets):
        at = f"secrets[{index}]"
        if use.secret is not None:
            raise table.fault(
                "unknown_key",
                f"{at}.secret",
                "is not for a manifest: the operator says which secret it is",
            )
        check(use.binding, at)
    names = {use.name for use in written.secrets}
    for index, target in enumerate(written.request):
        for number, capture in enumerate(target.captures):
            at = f"request[{index}].captures[{number}]"
            if capture.into is not None:
                check(capture.into, f"{at}.into")
            if capture.rotates is not None and capture.rotates not in names:
                raise table.fault(
                    "reference",
                    f"{at}.rotates",
                    f'no [[secrets]] entry is named "{capture.rotates}"',
                )
