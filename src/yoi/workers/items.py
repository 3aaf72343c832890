"""The items of a worker's history: everything that ever happened to it, in the order it happened.

An item is committed before it is acted on and is never changed. What the model is asked is a
function of these items alone (context.py). Each is bounded where it is made; `seq` is its place in
the worker's log.
"""

from typing import Any, Literal, NamedTuple

import msgspec

from yoi.errors import WorkerError
from yoi.protocol.events import InvokeKind, Provenance
from yoi.protocol.published import PublicationMark

TICKETS = "host:tickets"
"""The name recorded in place of a plugin's where the host itself hands a worker a work item."""

Approval = Literal["auto", "ask", "deny"]
Scope = Literal["once", "run", "exact", "matching"]
AfterOutside = Literal["allow", "ask", "deny"]
Finish = Literal["complete", "cut", "interrupted", "failed"]
Outcome = Literal["returned", "failed", "refused", "denied", "cancelled", "interrupted"]
RunOutcome = Literal["finished", "limit_reached", "cancelled", "failed"]


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a tool comes from: `builtin`, `plugin` with the code that answers its calls, `tickets`.

    `mcp` is a server: `service` is `mcp:NAME`, `digest` that of what it says of the tool. Answers
    of every kind but `builtin` are text from outside.
    """

    kind: Literal["builtin", "plugin", "tickets", "mcp"]
    service: str = ""
    plugin_id: str = ""
    digest: str = ""
    tool: str = ""

    @property
    def outside(self) -> bool:
        """Return whether what such a tool answers is text from outside."""
        return self.kind != "builtin"


class Same(msgspec.Struct, frozen=True):
    """The argument at the JSON pointer `arg` must be what the event holds at `event`."""

    arg: str
    event: str


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the model sees it, with what the operator decided about it.

    `after_outside` is what becomes of a call once the conversation holds text from outside; where
    all of `same` hold, the call answers where it was asked, and `approval` alone decides.
    """

    name: str
    description: str
    input_schema: dict[str, Any]
    approval: Approval
    origin: Origin
    after_outside: AfterOutside = "allow"
    same: tuple[Same, ...] = ()


class Text(msgspec.Struct, frozen=True, tag_field="kind", tag="text", omit_defaults=True):
    """Text of an answer. `replay` is what its provider needs back, unchanged; never shown."""

    text: str
    replay: dict[str, Any] | None = None


class Thinking(msgspec.Struct, frozen=True, tag_field="kind", tag="thinking", omit_defaults=True):
    """Thinking of an answer. `replay` as in Text."""

    text: str
    replay: dict[str, Any] | None = None


class Call(msgspec.Struct, frozen=True, tag_field="kind", tag="call", omit_defaults=True):
    """A tool call of an answer. `arguments` is the model's own JSON text and may be malformed."""

    id: str
    name: str
    arguments: str
    replay: dict[str, Any] | None = None


Part = Text | Thinking | Call


class Item(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """The base of every item; `at_ms` is the wall clock when it was made."""

    at_ms: int


class Configured(Item, frozen=True, tag="configured"):
    """What the worker is from here on: part of the model's input, so part of its history."""

    engine: str
    instructions: str
    tools: list[ToolSpec]
    max_turns: int


class UserInput(Item, frozen=True, tag="user_input"):
    """A person's message, waiting until a run takes it; `by` names one who is not the operator."""

    text: str
    by: str = ""


class SystemItem(Item, frozen=True, tag="system_item"):
    """A message from outside, with its provenance, waiting until a run takes it.

    `wakes` says whether it may start a run by itself; `cut` whether the text was over its bound.
    `facts` is what the host read in the event, by JSON pointer, for tools with `same`.
    """

    text: str
    provenance: Provenance
    wakes: bool
    cut: bool = False
    facts: dict[str, Any] = {}


class RunStart(Item, frozen=True, tag="run_start"):
    """A run begins with the inputs at the positions `takes`."""

    kind: InvokeKind
    takes: list[int]


class RunResumed(Item, frozen=True, tag="run_resumed"):
    """The worker was restarted and goes on with the run."""


class Assistant(Item, frozen=True, tag="assistant"):
    """What the model said to one call. Calls in it are only carried out when it is complete."""

    llm_call: int
    model: str
    parts: list[Part]
    finish: Finish


class Usage(Item, frozen=True, tag="usage"):
    """Tokens of one model call, as its provider counted them."""

    llm_call: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0


class ToolStart(Item, frozen=True, tag="tool_start"):
    """The call is handed to its tool. It is never handed over twice: the effect is not known."""

    call_id: str


class ToolResult(Item, frozen=True, tag="tool_result"):
    """The one result of a call, or the record that it was refused, cancelled or interrupted."""

    call_id: str
    name: str
    output: str
    outcome: Outcome
    cut: bool = False
    origin: Origin | None = None


class ApprovalAsked(Item, frozen=True, tag="approval_asked"):
    """The call waits for a person; `after_outside` says that text from outside came before it.

    `times` is how often the same answer makes the same call: one decision is for all of them.
    """

    call_id: str
    after_outside: bool = False
    times: int = 1


class ApprovalDecided(Item, frozen=True, tag="approval_decided"):
    """A person decided, for this call or with `scope` for later ones: see workers/grants.py."""

    call_id: str
    approved: bool
    by: str
    scope: Scope = "once"
    until_ms: int = 0
    matches: list[dict[str, Any]] = []
    """What the arguments of calls hold that `matching` covers: each a `Match` as a table."""


class ApprovalRevoked(Item, frozen=True, tag="approval_revoked"):
    """A person took back the grant that was given at `place`."""

    place: int
    by: str


class RunEnd(Item, frozen=True, tag="run_end"):
    """The run is over. After a passing fault another takes its inputs up at `again_at_ms`."""

    result: RunOutcome
    error: str = ""
    again_at_ms: int = 0


class Paused(Item, frozen=True, tag="paused"):
    """The worker starts nothing until it is resumed."""

    by: str


class Resumed(Item, frozen=True, tag="resumed"):
    """The worker goes on."""

    by: str


class CompactionAsked(Item, frozen=True, tag="compaction_asked"):
    """The model is asked, with this instruction, to sum up what came before.

    `covers` is how many of the oldest messages are meant, 0 for all.
    """

    instruction: str
    covers: int = 0


class OutsideSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who handed in text from outside: a plugin, through one of its ingresses or tools.

    `unknown` stands for a summary from before sources were recorded.
    """

    kind: Literal["message", "tool", "unknown"]
    plugin: str = ""
    plugin_id: str = ""
    through: str = ""


class Compaction(Item, frozen=True, tag="compaction"):
    """From here on the model reads `summary` instead of what it covers. Nothing is deleted.

    `covers` is how many of the oldest messages that was, 0 for all.
    `sources` are those of all text from outside that the summary was made from, earlier summaries
    included; `more_sources` counts those beyond the bound.
    """

    summary: str
    sources: list[OutsideSource] = msgspec.field(
        default_factory=lambda: [OutsideSource(kind="unknown")]
    )
    more_sources: int = 0
    covers: int = 0


class Uncompacted(Item, frozen=True, tag="uncompacted"):
    """A person undid the compaction at `place`: the model reads what it replaced again."""

    place: int
    by: str


class SetAside(Item, frozen=True, tag="set_aside"):
    """The texts at `places` are not sent any more. With `trial` the host is looking for the one."""

    places: list[int]
    reason: str
    by: str
    trial: bool = False


class Restored(Item, frozen=True, tag="restored"):
    """The texts at `places` are sent again."""

    places: list[int]
    by: str


class CompactionFailed(Item, frozen=True, tag="compaction_failed"):
    """No summary was made; the model goes on reading everything."""

    error: str


class Owned(Item, frozen=True, tag="owned"):
    """A machine has taken the worker over; what one of an earlier `epoch` appends is refused."""

    epoch: int
    by: PublicationMark | None = None
    """The publication that it goes by; None: it goes by none, or is of an older Yoi."""


AnyItem = (
    Configured
    | Owned
    | UserInput
    | SystemItem
    | RunStart
    | RunResumed
    | Assistant
    | Usage
    | ToolStart
    | ToolResult
    | ApprovalAsked
    | ApprovalDecided
    | ApprovalRevoked
    | RunEnd
    | Paused
    | Resumed
    | CompactionAsked
    | Compaction
    | CompactionFailed
    | Uncompacted
    | SetAside
    | Restored
)


class Stored(NamedTuple):
    """An item and its place in the history."""

    seq: int
    item: AnyItem


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyItem] = msgspec.json.Decoder(AnyItem)


def encode_item(item: AnyItem) -> bytes:
    """Return `item` as it is stored."""
    return _encoder.encode(item)


def decode_item(data: bytes) -> AnyItem:
    """Return the stored item. Raises WorkerError `worker.history_invalid` for anything else."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise WorkerError(
            "worker.history_invalid", f"a stored item cannot be read: {exc}"
        ) from None


def public_entry(stored: Stored) -> dict[str, Any]:
    """Return the item as people and scripts read it: without what only its provider needs."""
    entry: dict[str, Any] = msgspec.to_builtins(stored.item)
    for part in entry.get("parts", ()):
        part.pop("replay", None)
    return {"seq": stored.seq, **entry}
