"""The `[mcp]` tables of yoi.toml: servers whose tools workers use, and what clients may use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from yoi.display import printable
from yoi.errors import EnablementError
from yoi.limits import LIMITS
from yoi.packages.digest import is_digest
from yoi.permissions import REQUEST_SCHEMES, Url
from yoi.permissions.headers import HeaderRefused, check_name
from yoi.serving.settings import FILE_NAME, configured_url, fault_error, malformed
from yoi.toml import (
    AnyValue,
    Bad,
    Faults,
    Key,
    ListOf,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    is_safe_id,
)
from yoi.workers.items import Approval
from yoi.workers.rules import APPROVAL, PLUGIN
from yoi.workers.tools import TOOL_NAME

T = TypeVar("T")
TABLE = "mcp"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class EnvironmentSecret:
    """A variable of a server's environment that holds a secret."""

    name: str
    secret: str


@dataclass(frozen=True, slots=True)
class HeaderSecret:
    """A header of each request to a server that holds a secret behind `prefix`."""

    name: str
    secret: str
    prefix: str


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One MCP server: a command, or a URL. `tools` are the approved ones, each by its digest."""

    name: str
    command: tuple[str, ...] = ()
    url: Url | None = None
    environment: tuple[EnvironmentSecret, ...] = ()
    headers: tuple[HeaderSecret, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Return what it is, for people."""
        return " ".join(self.command) if self.url is None else self.url.display

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the names of the secrets that it is given."""
        given: tuple[EnvironmentSecret | HeaderSecret, ...] = (*self.environment, *self.headers)
        return tuple(one.secret for one in given)


@dataclass(frozen=True, slots=True)
class ServedTool:
    """A plugin's tool that MCP clients may call, and who approves."""

    plugin: str
    tool: str
    name: str
    approval: Approval


@dataclass(frozen=True, slots=True)
class McpFault:
    """Why a table is not used. `name` is the server's, or else the table's place in the file."""

    name: str
    at: str
    error: EnablementError
    line: int | None = None

    @property
    def words(self) -> str:
        """Return what is wrong, for people."""
        return self.error.message

    @property
    def hint(self) -> str:
        """Return what to do about it."""
        where = f"its table {self.at}" if self.line is None else f"line {self.line}"
        return f"mend {where} of .yoi/yoi.toml, then: yoi trust"


@dataclass(frozen=True, slots=True)
class McpSettings:
    """What the tables say."""

    servers: tuple[ServerSettings, ...] = ()
    tools: tuple[ServedTool, ...] = ()
    events: tuple[str, ...] = ()
    """The plugins whose services MCP clients may watch."""
    faults: tuple[McpFault, ...] = ()

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "McpSettings":
        """Return what a decoded yoi.toml says; a table with a fault is off, and the others count.

        Of two that may not have the same name neither counts: either may be meant.
        """
        faults = Faults()
        row = _WHOLE.row(document.get(TABLE, {}), TABLE, faults)
        found = [McpFault(fault.at, fault.at, fault_error(fault, FILE_NAME)) for fault in faults]
        if row is None:
            return cls(faults=tuple(found))
        servers = _sound(SERVER, row, "servers", "name", found)
        faulty = {one.name for one in found}
        return cls(
            tuple(one for one in servers if one.name not in faulty),
            tuple(_sound(SERVED_TOOL, row, "tools", "name", found)),
            tuple(_sound(SERVED_EVENTS, row, "events", "plugin", found)),
            tuple(found),
        )


def _sound(spec: TableSpec[T], whole: Row, key: str, unique: str, found: list[McpFault]) -> list[T]:
    """Return the tables at `key` without a fault; those with one are added to `found`."""
    sound: dict[str, T] = {}
    twice: dict[str, str] = {}
    for index, raw in enumerate(whole.get(key, ())):
        at, faults = f"{whole.path(key)}[{index}]", Faults()
        one = spec.read(raw, at, faults)
        if isinstance(one, Bad):
            found.append(McpFault(_name_of(raw, key, at), at, malformed(faults, FILE_NAME)))
            continue
        name = one if isinstance(one, str) else getattr(one, unique)
        if name in sound:
            twice[name] = at
        sound.setdefault(name, one)
    for name, at in sorted(twice.items()):
        del sound[name]
        faults = Faults()
        faults.add("duplicate", f"{at}.{unique}", f'"{printable(name, 64)}" is declared twice')
        shown = name if key == "servers" else at
        found.append(McpFault(shown, at, malformed(faults, FILE_NAME)))
    return list(sound.values())


def _name_of(raw: Any, key: str, at: str) -> str:
    """Return what a server's table calls itself where that is a name, else the table's place."""
    name = raw.get("name") if key == "servers" and isinstance(raw, dict) else None
    return name if isinstance(name, str) and is_safe_id(name) else at


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        raise ValueError("must name a program")
    if any("\0" in word for word in words):
        raise ValueError("must have no NUL characters")
    return words


def _url(text: str) -> Url:
    return configured_url(text, REQUEST_SCHEMES)


def _variable(text: str) -> str:
    if _VARIABLE.fullmatch(text) is None:
        raise ValueError("must be the name of a variable: letters, digits and '_'")
    return text


def _header(text: str) -> str:
    try:
        check_name(text, inserted=True)
    except HeaderRefused as exc:
        raise ValueError(exc.message) from None
    return text


def _digest(text: str) -> str:
    if not is_digest(text):
        raise ValueError("must be sha256: and 64 hexadecimal digits, as `yoi mcp approve` writes")
    return text


def _server(row: Row) -> ServerSettings:
    if (row["command"] is None) == (row["url"] is None):
        row.fault("value", "command", "or url is required, and not both")
    if row["environment"] and row["url"] is not None:
        row.fault("value", "environment", "goes only with command")
    if row["headers"] and row["url"] is None:
        row.fault("value", "headers", "go only with url")
    url: Url | None = row["url"]
    if url is not None and row["headers"] and not (url.secure or url.local):
        row.fault("value", "url", "is plain http: to another machine, and headers hold secrets")
    return ServerSettings(
        name=row["name"],
        command=row["command"] or (),
        url=url,
        environment=row["environment"],
        headers=row["headers"],
        tools=dict(row["tools"]),
    )


_SECRET = Key("secret", SafeId(), "the name of a secret in the store", required=True)
ENVIRONMENT = TableSpec(
    (
        Key(
            "name",
            Parsed(Text(), _variable, "variable"),
            "the variable that holds it",
            required=True,
        ),
        _SECRET,
    ),
    lambda row: EnvironmentSecret(row["name"], row["secret"]),
    about="A secret in the environment of the server's process, which is empty but for `PATH` and "
    "`LANG`.",
)
HEADER = TableSpec(
    (
        Key("name", Parsed(Text(), _header, "header"), "the header that holds it", required=True),
        _SECRET,
        Key(
            "prefix", Text(64, blank=True), 'what stands before it, such as `"Bearer "`', default=""
        ),
    ),
    lambda row: HeaderSecret(row["name"], row["secret"], row["prefix"]),
    about="A secret in a header of each request to the server.",
)
APPROVED = TableSpec(
    (
        Key("name", Text(), "the tool's name as the server says it", required=True),
        Key(
            "digest",
            Parsed(Text(), _digest, "digest"),
            "of its name, title, description and schema",
            required=True,
        ),
    ),
    lambda row: (row["name"], row["digest"]),
    about="A tool that was approved as it was; `yoi mcp approve` writes it. Any other tool of the "
    "server, and this one once it says something else, is not offered.",
)
SERVER = TableSpec(
    (
        Key("name", SafeId(), "unique", required=True),
        Key(
            "command",
            Parsed(
                ListOf(Text(LIMITS.url_chars), LIMITS.mcp_command_parts), _command, "list of text"
            ),
            "the program and its arguments; it runs with your rights, outside the sandbox, in the "
            "workspace's folder",
        ),
        Key(
            "url",
            Parsed(Text(LIMITS.url_chars), _url, "URL"),
            "where the server is, instead of a command (streamable HTTP)",
        ),
        Key(
            "environment",
            Rows(ENVIRONMENT, unique="name"),
            "see `[[mcp.servers.environment]]`",
            default=(),
        ),
        Key("headers", Rows(HEADER, unique="name"), "see `[[mcp.servers.headers]]`", default=()),
        Key(
            "tools",
            Rows(APPROVED, LIMITS.mcp_server_tools, unique="name"),
            "see `[[mcp.servers.tools]]`",
            default=(),
        ),
    ),
    _server,
    about="An MCP server whose tools workers may use: see `[[workers.mcp]]`.",
)


def _served_tool(row: Row) -> ServedTool:
    name = row["name"] or row["tool"]
    if TOOL_NAME.fullmatch(name) is None:
        row.fault(
            "value",
            "name",
            "must be 1 to 64 letters, digits, '_' or '-', the first no digit or '-': clients and "
            "their models take no other",
        )
    return ServedTool(row["plugin"], row["tool"], name, row["approval"])


SERVED_TOOL = TableSpec(
    (
        PLUGIN,
        Key("tool", Text(), "the tool's name in its manifest", required=True),
        Key("name", Text(), "what clients call it", default_words="the tool's name"),
        APPROVAL,
    ),
    _served_tool,
    about="A tool of a plugin that MCP clients of this account may call, with `yoi mcp`.",
)


SERVED_EVENTS = TableSpec(
    (PLUGIN,),
    lambda row: row["plugin"],
    about="A plugin whose service MCP clients of this account may watch, as a resource.",
)
MCP = TableSpec[Row](
    (
        Key(
            "servers",
            Rows(SERVER, LIMITS.mcp_servers, unique="name"),
            "see `[[mcp.servers]]`",
            default=(),
        ),
        Key("tools", Rows(SERVED_TOOL), "see `[[mcp.tools]]`", default=()),
        Key("events", Rows(SERVED_EVENTS, unique="plugin"), "see `[[mcp.events]]`", default=()),
    ),
    lambda row: row,
    about="The Model Context Protocol. A table with a fault is off and shown; the others count.",
)
_WHOLE = MCP.extended(
    Key("servers", ListOf(AnyValue(), LIMITS.mcp_servers), "as above", default=()),
    Key("tools", ListOf(AnyValue(), LIMITS.manifest_list_items), "as above", default=()),
    Key("events", ListOf(AnyValue(), LIMITS.manifest_list_items), "as above", default=()),
)
"""The same without a look into the lists: each of their tables is read by itself."""
