"""What a worker may use: tools of plugins and servers, notifications, work items; as granted."""

from collections.abc import Mapping
from dataclasses import dataclass

from yoi.core.ticket_states import TicketState
from yoi.limits import LIMITS
from yoi.permissions.pointers import JsonPointer
from yoi.toml import Choice, Flag, Key, ListOf, Parsed, Rows, SafeId, TableSpec, Text, Whole
from yoi.workers.items import AfterOutside, Approval, Same
from yoi.workers.tools import ToolChoice


@dataclass(frozen=True, slots=True)
class NotifyRule:
    """The operator's grant: this plugin may notify this worker, so often."""

    plugin: str
    start_run: bool
    per_minute: int


@dataclass(frozen=True, slots=True)
class McpToolRule:
    """What the operator says otherwise about one tool of an MCP server."""

    name: str
    approval: Approval
    after_outside: AfterOutside | None


@dataclass(frozen=True, slots=True)
class McpRule:
    """The operator's grant: this worker may use the approved tools of this MCP server."""

    server: str
    approval: Approval
    after_outside: AfterOutside
    tools: Mapping[str, McpToolRule]


@dataclass(frozen=True, slots=True)
class TicketRule:
    """What the worker may do with work items, and which are put before it."""

    states: tuple[str, ...]
    """Items in these states are put before it; of `queued`, those that a person here queued."""
    approvals: Mapping[str, Approval]
    """Who approves each of TICKET_TOOLS."""
    to: tuple[str, ...]
    """The states that it may give an item."""


TICKET_TOOLS = ("list", "show", "comment", "move", "create")


_POINTER = Parsed(
    Text(LIMITS.pointer_chars), lambda text: str(JsonPointer.parse(text)), "JSON pointer"
)
_AFTER_OUTSIDE = Choice(("allow", "ask", "deny"))
_APPROVAL = Choice(("auto", "ask", "deny"))
PLUGIN = Key("plugin", SafeId(), "the instance's name", required=True)
APPROVAL = Key(
    "approval",
    _APPROVAL,
    "whether a call runs by itself, waits for a person, or is not offered",
    # A plugin's own word about what its tool does is no reason to run it unasked.
    default="ask",
)
SAME = TableSpec(
    (
        Key("arg", _POINTER, "a position in the call's arguments", required=True),
        Key("event", _POINTER, "a position in the message that the run answers", required=True),
    ),
    lambda row: Same(row["arg"], row["event"]),
    about="Two values that are the same where a call answers where it was asked. It must hold for "
    "every message from outside that the run took, all of them of the tool's own plugin.",
)
TOOL = TableSpec(
    (
        PLUGIN,
        Key("tool", Text(), "the tool's name in its manifest", required=True),
        Key("name", Text(), "what the model calls it", default_words="the tool's name"),
        APPROVAL,
        Key(
            "after_outside",
            _AFTER_OUTSIDE,
            "what becomes of a call once the worker has read text from outside",
            default_words="`ask` where the tool writes to the outside, else `allow`",
        ),
        Key(
            "same",
            Rows(SAME, LIMITS.tool_same),
            "where all of these pairs are equal, the call answers where it was asked and "
            "`after_outside` is not looked at",
            default=(),
        ),
    ),
    lambda row: ToolChoice(
        row["plugin"],
        row["tool"],
        row["name"] or row["tool"],
        row["approval"],
        row["after_outside"],
        row["same"],
    ),
    about="A tool of a plugin that the worker may call.",
)
NOTIFY = TableSpec(
    (
        PLUGIN,
        Key("start_run", Flag(), "whether a notification starts a run by itself", default=False),
        Key(
            "per_minute",
            Whole(1, LIMITS.notify_per_minute_max),
            "notifications a minute",
            default=LIMITS.notify_per_minute,
        ),
    ),
    lambda row: NotifyRule(row["plugin"], row["start_run"], row["per_minute"]),
    about="A plugin that may put messages from outside before the worker.",
)
TICKETS = TableSpec(
    (
        Key(
            "states",
            ListOf(Choice((TicketState.QUEUED.value,))),
            "the states of the items that are put before the worker",
            default=(),
        ),
        *(
            Key(
                name,
                _APPROVAL,
                f"whether a call of `ticket_{name}` runs by itself, waits for a person, or is not "
                "offered",
                default="ask",
            )
            for name in TICKET_TOOLS
        ),
        Key(
            "to",
            ListOf(Choice(one.value for one in TicketState)),
            "the states that `ticket_move` may give an item; without any it is not offered",
            default=(),
        ),
    ),
    lambda row: TicketRule(row["states"], {name: row[name] for name in TICKET_TOOLS}, row["to"]),
    about="What the worker may do with the [work items](../how-to/tickets.md) of the workspace; "
    "one table at most.",
)
MCP_TOOL = TableSpec(
    (
        Key("tool", Text(), "the tool's name as its server says it", required=True),
        Key("name", Text(), "what the model calls it", default_words="`SERVER_TOOL`"),
        APPROVAL,
        Key(
            "after_outside",
            _AFTER_OUTSIDE,
            "what becomes of a call once the worker has read text from outside",
            default_words="as for the server",
        ),
    ),
    lambda row: (
        row["tool"],
        McpToolRule(row["name"] or "", row["approval"], row["after_outside"]),
    ),
    about="A tool of the server for which something else holds.",
)
MCP = TableSpec(
    (
        Key("server", SafeId(), "a name of `[[mcp.servers]]`", required=True),
        Key(
            "approval",
            _APPROVAL,
            "as for a tool, for those without a table of their own",
            default="ask",
        ),
        Key(
            "after_outside",
            _AFTER_OUTSIDE,
            "what becomes of calls once the worker has read text from outside",
            # What the server says its tools do is no reason to run them unasked.
            default="ask",
        ),
        Key(
            "tools",
            Rows(MCP_TOOL, unique="tool"),
            "see `[[workers.mcp.tools]]`",
            default=(),
        ),
    ),
    lambda row: McpRule(row["server"], row["approval"], row["after_outside"], dict(row["tools"])),
    about="The approved tools of an MCP server, which the worker may call.",
)
