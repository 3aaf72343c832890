"""Which keys of yoi.toml may be narrowed without a decision, and what counts as narrower.

A key that is not here is a setting: any other value waits for a decision. A test compares this
table with what the parsers of yoi.toml accept, so that no key is forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from yoi.limits import LIMITS


class Kind(Enum):
    """How two values of a key compare."""

    NAME = "name"
    """Says which entry or row it is."""
    SETTING = "setting"
    """Any other value is another decision."""
    AT_MOST = "at most"
    """A smaller number is less."""
    CHOICE = "choice"
    """Each choice includes those before it."""
    SET = "set"
    """Fewer texts are less."""
    ROWS = "rows"
    """Tables, each known by some of its keys; fewer rows are less."""
    GRANTS = "grants"
    """Permissions, targets and secrets, compared by what they cover."""
    LISTEN = "listen"
    """As a setting, but for any free port of this machine's loopback, which gives nothing away."""
    HARMLESS = "harmless"
    """Gives no authority; the file's value counts."""


_NO_KEYS: "Mapping[str, Rule]" = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rule:
    """How the values of one key compare."""

    kind: Kind
    default: Any = None
    """What an absent key says. None: as much as there is (AT_MOST, SET)."""
    choices: tuple[Any, ...] = ()
    identity: tuple[str, ...] = ()
    """ROWS: the first of these keys that a row has is its name; none: there is one row."""
    keys: "Mapping[str, Rule]" = field(default_factory=lambda: _NO_KEYS)


NAME = Rule(Kind.NAME)
LISTEN = Rule(Kind.LISTEN)
ANY_LOOPBACK_PORT = frozenset({"127.0.0.1:0", "[::1]:0", "localhost:0"})
"""Less than the default, which is a port that others could want, too."""
SETTING = Rule(Kind.SETTING)


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of entry: its place in yoi.toml, and its keys."""

    name: str
    path: tuple[str, ...]
    many: bool
    """Whether it is a list of tables, each an entry of its own."""
    keys: Mapping[str, Rule]


_APPROVAL = Rule(Kind.CHOICE, default="ask", choices=("deny", "ask", "auto"))
_TOOLS = Rule(
    Kind.ROWS,
    identity=("name", "tool"),
    keys={
        "plugin": SETTING,
        "tool": SETTING,
        "name": NAME,
        "approval": _APPROVAL,
        "after_outside": SETTING,
        "same": SETTING,
    },
)
_NOTIFY = Rule(
    Kind.ROWS,
    identity=("plugin",),
    keys={
        "plugin": NAME,
        "start_run": Rule(Kind.CHOICE, default=False, choices=(False, True)),
        "per_minute": Rule(Kind.AT_MOST, default=LIMITS.notify_per_minute),
    },
)
_MCP = Rule(
    Kind.ROWS,
    identity=("server",),
    # Without a row for a tool, more may hold for it than with one.
    keys={"server": NAME, "approval": _APPROVAL, "after_outside": SETTING, "tools": SETTING},
)
_TICKETS = Rule(
    Kind.ROWS,
    keys={
        "states": Rule(Kind.SET, default=()),
        "to": Rule(Kind.SET, default=()),
        **dict.fromkeys(("list", "show", "comment", "move", "create"), _APPROVAL),
    },
)
_NAMES = Rule(Kind.SET, default=())
_MCP_SERVERS = Rule(
    Kind.ROWS,
    identity=("name",),
    keys={
        "name": NAME,
        "command": SETTING,
        "url": SETTING,
        "environment": SETTING,
        "headers": SETTING,
        "tools": Rule(Kind.ROWS, identity=("name",), keys={"name": NAME, "digest": SETTING}),
    },
)
_MCP_EVENTS = Rule(Kind.ROWS, identity=("plugin",), keys={"plugin": NAME})

SECTIONS: Mapping[str, Section] = {
    section.name: section
    for section in (
        Section(
            "plugin",
            ("plugins", "enabled"),
            many=True,
            keys={
                "id": SETTING,
                "name": NAME,
                "version": SETTING,
                "digest": SETTING,
                "surfaces": Rule(Kind.SET),
                "config": SETTING,
                "senders": SETTING,
                "runs_on": SETTING,
                "weight": SETTING,
                "grants": Rule(Kind.GRANTS),
            },
        ),
        Section(
            "worker",
            ("workers",),
            many=True,
            keys={
                "name": NAME,
                "model": SETTING,
                "base_url": SETTING,
                "api_key": SETTING,
                "instructions": SETTING,
                "max_turns": Rule(Kind.AT_MOST, default=LIMITS.run_turns),
                "max_output_tokens": Rule(Kind.AT_MOST),
                "thinking": SETTING,
                "window": SETTING,
                "compact_at": SETTING,
                "compact_keep": SETTING,
                "approval_deadline_s": SETTING,
                "tokens_per_day": Rule(Kind.AT_MOST),
                "money_per_day": SETTING,
                "price": SETTING,
                "fallbacks": SETTING,
                "tools": _TOOLS,
                "notify": _NOTIFY,
                "tickets": _TICKETS,
                "mcp": _MCP,
                "script": SETTING,
            },
        ),
        Section(
            "upstream",
            ("backend", "runtimes"),
            many=True,
            keys={
                "id": NAME,
                "url": SETTING,
                "token": SETTING,
                "ca": SETTING,
                "insecure": Rule(Kind.CHOICE, default=False, choices=(False, True)),
            },
        ),
        Section(
            "observation",
            ("observation",),
            many=False,
            keys={
                "listen": LISTEN,
                "names": _NAMES,
                "origins": _NAMES,
                "tls": SETTING,
                "persist": SETTING,
            },
        ),
        Section(
            "runtime",
            ("runtime",),
            many=False,
            keys={"id": SETTING, "listen": LISTEN, "names": _NAMES, "tls": SETTING},
        ),
        Section(
            "secrets",
            ("secrets",),
            many=False,
            keys={"store": SETTING, "unlock": SETTING, "key_file": SETTING},
        ),
        Section(
            "authorize",
            ("secrets", "authorize"),
            many=True,
            keys={
                "name": NAME,
                "token_url": SETTING,
                "authorize_url": SETTING,
                "device_url": SETTING,
                "client_id": SETTING,
                "client_secret": SETTING,
                "client_auth": SETTING,
                "scopes": _NAMES,
                "parameters": SETTING,
                "refresh_as": SETTING,
                "port": SETTING,
            },
        ),
        Section(
            "mcp",
            ("mcp",),
            many=False,
            keys={"servers": _MCP_SERVERS, "tools": _TOOLS, "events": _MCP_EVENTS},
        ),
    )
}
OTHER = "table"
"""The section of a table that is none of these: one setting as a whole."""
GRANT_LISTS = ("permissions", "websocket", "request", "secrets")
GRANT_KEYS = (*GRANT_LISTS, "memory_bytes")


def section_of(entry: str) -> Section:
    """Return the section of the entry called `entry`, such as `plugin:echo`."""
    kind, _, name = entry.partition(":")
    return SECTIONS.get(kind) or Section(OTHER, (name,), many=False, keys={})
