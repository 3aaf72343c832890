"""`Manifest`: plugin.toml as a parsed value. Strict: an unknown key is a fault at every level."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.errors import ManifestError
from yoi.limits import LIMITS
from yoi.packages.connection_table import CONNECTION
from yoi.packages.connections import connection, connections_of_sources
from yoi.packages.declarations import (
    INGRESS,
    INSTANCE_WORLD,
    RUNTIME,
    SERVICE,
    TOOL,
    ComponentRuntime,
    IngressDecl,
    PythonRuntime,
    RuntimeDecl,
    ServiceDecl,
    ToolDecl,
)
from yoi.packages.manifest_warnings import ManifestWarning, durable_sizes, reading_times
from yoi.packages.schema import schema_problems
from yoi.permissions import Binding, Permission, PermissionKind, PermissionSet
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.permissions.secrets import REQUESTED_SECRET
from yoi.permissions.sets import set_keys, set_of
from yoi.toml import (
    AnyTable,
    Choice,
    Fault,
    FaultKind,
    Faults,
    Key,
    ListOf,
    Nested,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    TomlFault,
    Whole,
    joined,
    parse_toml,
)

if TYPE_CHECKING:
    from collections.abc import Collection

MANIFEST_NAME = "plugin.toml"
SCHEMA_VERSION = 1
SURFACES = ("hook", "tool", "service", "ingress", "wasm")


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
    connections: tuple[ConnectionSettings, ...]
    """Declared connections and those of the `sources` shorthand, in that order."""
    config_schema: dict[str, Any] | None
    requested: PermissionSet
    """All that is asked for: written permissions and targets, and what declarations imply."""
    warnings: tuple[ManifestWarning, ...] = ()

    @classmethod
    def parse(cls, toml: bytes) -> "Manifest":
        """Return the manifest in `toml`, the bytes of a plugin.toml.

        Raises ManifestError for the first fault; with several, `fields["faults"]` has all of them.
        Its message starts with the dotted path that is also `fields["at"]`; for TOML errors
        `fields["line"]` is the line. Files of the package are not looked at; `check_files` does.
        """
        if len(toml) > LIMITS.manifest_bytes:
            raise _fault("too_large", "", f"is over {LIMITS.manifest_bytes} bytes")
        try:
            document = parse_toml(toml)
        except TomlFault as exc:
            raise ManifestError(
                "manifest.toml", f"{MANIFEST_NAME}: {exc.message}", at="", line=exc.line
            ) from None
        _check_schema_version(document)
        faults = Faults()
        row = MANIFEST.row(document, "", faults)
        assert row is not None, "a TOML document is a table"
        made = _manifest(row)
        if faults:
            raise joined([_error(fault) for fault in faults], faults.count)
        return made

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


def _error(fault: Fault) -> ManifestError:
    return _fault(fault.kind, fault.at, fault.message)


def _check_schema_version(document: dict[str, Any]) -> None:
    """Raise ManifestError unless this Yoi knows the manifest's version; other keys may differ."""
    version = document.get("schema_version")
    if version is None:
        raise _fault("missing", "schema_version", f"is required: {SCHEMA_VERSION}")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ManifestError(
            "manifest.schema_version",
            f"{MANIFEST_NAME}: schema_version must be {SCHEMA_VERSION}, the one this Yoi knows",
            at="schema_version",
        )


MANIFEST = TableSpec(
    (
        Key("schema_version", Whole(SCHEMA_VERSION, SCHEMA_VERSION), "`1`", required=True),
        Key("id", SafeId(), "the plugin's id; unique in a store", required=True),
        Key("name", Text(), "for people", required=True),
        Key("version", Text(), "any text; nothing is read into it", required=True),
        Key(
            "description",
            Text(LIMITS.description_chars, blank=True),
            "one paragraph",
            default="",
        ),
        Key(
            "surfaces",
            ListOf(Choice(SURFACES)),
            "what the plugin offers; what is declared below counts without being listed",
            default=(),
        ),
        Key("runtime", Nested(RUNTIME), "the code, see [`[runtime]`](#runtime)"),
        Key("tools", Rows(TOOL, unique="name"), "see [`[[tools]]`](#tools)", default=()),
        Key(
            "services",
            Rows(SERVICE, unique="name"),
            "see [`[[services]]`](#services)",
            default=(),
        ),
        Key(
            "ingresses",
            Rows(INGRESS, unique="name"),
            "see [`[[ingresses]]`](#ingresses)",
            default=(),
        ),
        Key(
            "connections",
            Rows(CONNECTION, LIMITS.connections_per_plugin, unique="name"),
            "see [`[[connections]]`](#connections)",
            default=(),
        ),
        Key("hooks", ListOf(AnyTable()), "accepted and ignored, with a warning", default=()),
        *set_keys(REQUESTED_SECRET),
        Key(
            "config_schema",
            AnyTable(),
            "the settings an operator may give, see [schemas](#schemas)",
            default_words="any table",
        ),
    ),
    lambda row: row,
    about="plugin.toml: what a plugin is, and what it asks for.",
)


def _manifest(row: Row) -> Manifest:
    """Return the manifest of `row`; faults between its tables are added to the row's."""
    connections = _connections(row)
    implied = {
        surface: bool(row.raw.get(key))
        for surface, key in (("tool", "tools"), ("service", "services"), ("ingress", "ingresses"))
    } | {"wasm": row.has("runtime")}
    _check_runtime(row, implied)
    _check_config_schema(row)
    written = set_of(row)
    _check_values(row, {one.name for one in connections})
    requested = _requested(row, written, connections) if row.sound else PermissionSet()
    return Manifest(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        description=row["description"],
        surfaces=frozenset(row.get("surfaces", ())).union(
            surface for surface, present in implied.items() if present
        ),
        runtime=row["runtime"],
        tools=row["tools"],
        services=row["services"],
        ingresses=row["ingresses"],
        connections=connections,
        config_schema=row["config_schema"],
        requested=requested,
        warnings=tuple(_warnings(row, connections)),
    )


def _warnings(row: Row, connections: tuple[ConnectionSettings, ...]) -> Iterator[ManifestWarning]:
    if row.has("hooks"):
        yield ManifestWarning("hooks", "is accepted and ignored: Yoi runs no hooks")
    ingresses = row.get("ingresses", ())
    yield from durable_sizes(connections, ingresses)
    if isinstance(row.get("runtime", None), PythonRuntime):
        yield from reading_times(connections, row.get("request", ()), ingresses)


def _connections(row: Row) -> tuple[ConnectionSettings, ...]:
    """Return the declared connections, then those of the `sources` shorthand."""
    if not row.good("ingresses"):
        # What a connection may do depends on its ingress.
        return ()
    ingresses: tuple[IngressDecl, ...] = row["ingresses"]
    routes = {ingress.name: ingress.route for ingress in ingresses}
    found = [connection(one, routes) for one in row.get("connections", ())]
    taken = _names(row, "connections")
    for index, ingress in enumerate(ingresses):
        source = Row({"sources": ingress.sources}, {}, f"ingresses[{index}]", row.faults)
        found += connections_of_sources(source, ingress.name, ingress.route, taken)
    if len(found) > LIMITS.connections_per_plugin:
        most = LIMITS.connections_per_plugin
        row.fault("too_large", "connections", f"there are more than {most}")
    return tuple(one for one in found if one is not None)


def _check_runtime(row: Row, implied: dict[str, bool]) -> None:
    runtime = row["runtime"]
    if not row.good("runtime"):
        return
    if runtime is None:
        for surface in ("tool", "service", "ingress"):
            if implied[surface]:
                row.fault("missing", "runtime", f"is required: a {surface} is code to run")
                return
    elif runtime.world != INSTANCE_WORLD and (implied["service"] or implied["ingress"]):
        row.fault(
            "world",
            "runtime.world",
            f'must be "{INSTANCE_WORLD}": services and ingresses need an instance',
        )


def _check_config_schema(row: Row) -> None:
    if row["config_schema"] is None or not row.good("config_schema"):
        return
    for problem in schema_problems(row["config_schema"]):
        row.fault("value", "config_schema" + problem.at.removeprefix("$"), problem.message)


def _requested(
    row: Row, written: PermissionSet, connections: tuple[ConnectionSettings, ...]
) -> PermissionSet:
    """Return written requests first, then what the declarations themselves ask for."""
    kind = PermissionKind
    tools, services, ingresses = row["tools"], row["services"], row["ingresses"]
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
        LIMITS.guest_memory_bytes if row["runtime"] is None else row["runtime"].memory_bytes,
    )
    most = LIMITS.manifest_list_items
    if len(requested.permissions) > most or len(requested.websocket) > most:
        row.fault(
            "too_large",
            "permissions",
            f"these and the declarations ask for more than {most} things: a person could not "
            "review them",
        )
    return requested


def _names(row: Row, key: str) -> set[Any]:
    """Return the names in the array of tables at `key` as they are written, faulty rows too."""
    rows = row.raw.get(key)
    if not isinstance(rows, list):
        return set()
    named = [one.get("name") for one in rows if isinstance(one, dict)]
    return {name for name in named if isinstance(name, str)}


def _check_handshakes(row: Row) -> None:
    """Refuse a handshake's secret that no [[secrets]] entry of the connection has there."""
    uses = row["secrets"]
    for index, one in enumerate(row["connections"] if row.good("connections") else ()):
        for number, wanted in enumerate(() if one is None else one["insert"]):
            known = any(
                use.name == wanted.secret
                and use.binding.connection == one["name"]
                and any(place.pointer == wanted.at for place in use.binding.places)
                for use in uses
            )
            if not known:
                row.fault(
                    "reference",
                    f"connections[{index}].insert[{number}].secret",
                    f'no [[secrets]] entry "{wanted.secret}" of the connection "{one["name"]}" '
                    f"has {wanted.at}",
                )


def _check_certificates(row: Row) -> None:
    """Refuse a client certificate for what is reached without TLS: it would not be presented."""
    plain: set[tuple[str | None, str | None]] = set()
    for one in row["connections"] if row.good("connections") else ():
        reached = None if one is None else one["target"] or one["url"]
        if one is not None and reached is not None and reached.scheme != "wss":
            plain.add((one["name"], None))
    for target in row["request"] if row.good("request") else ():
        if target.scheme != "https":
            plain.add((None, target.name))
    for index, use in enumerate(row["secrets"]):
        if use.binding.presented and use.binding.bound_to in plain:
            wanted = "wss" if use.binding.connection is not None else "https"
            row.fault(
                "value",
                f"secrets[{index}].at",
                f"has /tls/client, and {use.binding.goal} may be reached without TLS, where no "
                f'certificate is presented: its target needs scheme = "{wanted}"',
            )


def _check_values(row: Row, connections: set[str]) -> None:
    """Refuse a secret or captured value that is bound to something the manifest does not have."""
    # Names of faulty tables count: their own fault is told, not that they are missing.
    connections = connections | _names(row, "connections")
    if not row.good("ingresses"):
        # The shorthand's connections are named like their ingresses.
        connections |= _names(row, "ingresses")
    requests, secrets = _names(row, "request"), _names(row, "secrets")

    def check(binding: Binding, at: str) -> None:
        if binding.connection is not None and binding.connection not in connections:
            row.fault(
                "reference", f"{at}.connection", f'no connection is named "{binding.connection}"'
            )
        if binding.request is not None and binding.request not in requests:
            row.fault("reference", f"{at}.request", f'no [[request]] is named "{binding.request}"')

    if row.good("secrets"):
        plain = {(use.name, *use.binding.bound_to) for use in row["secrets"] if use.sign is None}
        for index, use in enumerate(row["secrets"]):
            check(use.binding, f"secrets[{index}]")
            for name in () if use.sign is None else sorted(use.sign.secrets):
                if (name, *use.binding.bound_to) not in plain:
                    row.fault(
                        "reference",
                        f"secrets[{index}].sign",
                        f'no [[secrets]] entry named "{name}" goes to {use.binding.goal}',
                    )
        _check_handshakes(row)
        _check_certificates(row)
    if not row.good("request"):
        return
    for index, target in enumerate(row["request"]):
        for number, capture in enumerate(target.captures):
            at = f"request[{index}].captures[{number}]"
            if capture.into is not None:
                check(capture.into, f"{at}.into")
            if capture.rotates is not None and capture.rotates not in secrets:
                row.fault(
                    "reference",
                    f"{at}.rotates",
                    f'no [[secrets]] entry is named "{capture.rotates}"',
                )
