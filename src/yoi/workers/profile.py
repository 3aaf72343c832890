"""A worker's profile: what the operator writes under `[[workers]]` in yoi.toml, read strictly."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from yoi.errors import WorkerError
from yoi.limits import LIMITS
from yoi.toml import (
    AnyTable,
    Bad,
    Choice,
    Fault,
    Faults,
    Key,
    Nested,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    Whole,
    joined,
)
from yoi.workers.budget import NO_BUDGET, Budget, Price
from yoi.workers.rules import MCP, NOTIFY, TICKETS, TOOL, McpRule, NotifyRule, TicketRule
from yoi.workers.tools import ToolChoice

SCRIPTED = "scripted"


@dataclass(frozen=True, slots=True)
class ScriptRule:
    """One rule of the offline engine: what to do when the last message contains `when`."""

    when: str
    say: str
    call: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model: `provider:model`, where it is if not at its provider's, and its key's name."""

    model: str
    base_url: str | None = None
    api_key: str | None = None
    max_output_tokens: int | None = None
    thinking: Literal["off", "low", "medium", "high"] | None = None


@dataclass(frozen=True, slots=True)
class WorkerProfile:
    """One worker as the operator configured it."""

    name: str
    model: ModelChoice
    instructions: str = ""
    max_turns: int = LIMITS.run_turns
    tools: tuple[ToolChoice, ...] = ()
    notify: Mapping[str, NotifyRule] = field(default_factory=dict)
    tickets: TicketRule | None = None
    mcp: tuple[McpRule, ...] = ()
    script: tuple[ScriptRule, ...] = ()
    approval_deadline_s: int | None = None
    window: int | None = None
    compact_at: int = 80
    compact_keep: int = 4
    budget: Budget = NO_BUDGET
    fallbacks: tuple[ModelChoice, ...] = ()

    @classmethod
    def parse(cls, value: Any, at: str = "workers") -> "WorkerProfile":
        """Return the profile in one decoded `[[workers]]` table.

        Raises WorkerError `worker.profile` with the dotted path in `fields["at"]`; with several
        faults, `fields["faults"]` has them all.
        """
        faults = Faults()
        profile = WORKER.read(value, at, faults)
        if isinstance(profile, Bad):
            raise joined([_error(fault) for fault in faults], faults.count)
        return profile


def _error(fault: Fault) -> WorkerError:
    message = f"{fault.at} {fault.message}"
    return WorkerError("worker.profile", message, hint=fault.hint, at=fault.at, kind=fault.kind)


def _model_name(text: str) -> str:
    if text != SCRIPTED and not all(text.partition(":")):
        raise ValueError(f'must be "provider:model" or "{SCRIPTED}", not "{text}"')
    return text


def _base_url(text: str) -> str | None:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return text or None


def _script_rule(row: Row) -> ScriptRule:
    if not row["say"] and not row["call"]:
        row.fault("missing", "say", "or call is required")
    return ScriptRule(row["when"], row["say"], row["call"], row["arguments"])


def _profile(row: Row) -> WorkerProfile:
    if row["script"] and row["model"] != SCRIPTED:
        row.fault("value", "script", f'goes only with model = "{SCRIPTED}"')
    elif row["model"] == SCRIPTED and not row["script"]:
        row.fault(
            "missing",
            "script",
            f'is required with model = "{SCRIPTED}": what it says and calls, in [[workers.script]]',
        )
    if row["fallbacks"] and (
        row["model"] == SCRIPTED or any(one.model == SCRIPTED for one in row["fallbacks"])
    ):
        row.fault("value", "fallbacks", f'go with no model = "{SCRIPTED}"')
    names = [tool.name for tool in row["tools"]]
    if len(set(names)) != len(names):
        row.fault("duplicate", "tools", "two tools have the same name")
    return WorkerProfile(
        name=row["name"],
        model=ModelChoice(
            model=row["model"],
            base_url=row["base_url"],
            api_key=row["api_key"],
            max_output_tokens=row["max_output_tokens"],
            thinking=row["thinking"],
        ),
        instructions=row["instructions"],
        max_turns=row["max_turns"],
        tools=row["tools"],
        notify={rule.plugin: rule for rule in row["notify"]},
        tickets=next(iter(row["tickets"]), None),
        mcp=row["mcp"],
        script=row["script"],
        approval_deadline_s=row["approval_deadline_s"],
        window=row["window"],
        compact_at=row["compact_at"],
        compact_keep=row["compact_keep"],
        fallbacks=tuple(
            replace(one, max_output_tokens=row["max_output_tokens"], thinking=row["thinking"])
            for one in row["fallbacks"]
        ),
        budget=Budget(row["tokens_per_day"], row["money_per_day"], row["price"]),
    )


def _amount(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ValueError('must be an amount of money as text, such as "2.50"')
    return Decimal(text)


_AMOUNT = Parsed(Text(), _amount, 'amount, as text: `"2.50"`')
PRICE = TableSpec(
    (
        Key("input", _AMOUNT, "a million tokens that the model reads", required=True),
        Key("output", _AMOUNT, "a million tokens that it writes", required=True),
    ),
    lambda row: Price(row["input"], row["output"]),
    about="What the model costs, in the currency of `money_per_day`.",
)
_BASE_URL = Key(
    "base_url",
    Parsed(Text(LIMITS.url_chars, blank=True), _base_url, "URL"),
    "where the model is",
    default_words="its provider's",
)
_API_KEY = Key("api_key", SafeId(), "the name of its key in the secret store")
FALLBACK = TableSpec(
    (
        Key("model", Parsed(Text(), _model_name), "`provider:model`", required=True),
        _BASE_URL,
        _API_KEY,
    ),
    lambda row: ModelChoice(row["model"], row["base_url"], row["api_key"]),
    about="A model that is asked while those before it fail. It reads the same history; `price` "
    "counts for it too.",
)
SCRIPT = TableSpec(
    (
        Key(
            "when",
            Text(LIMITS.description_chars, blank=True),
            "text that the last message contains",
            default="",
            default_words="any",
        ),
        Key("say", Text(LIMITS.description_chars, blank=True), "what it answers", default=""),
        Key("call", Text(blank=True), "the tool it calls", default=""),
        Key("arguments", AnyTable(), "the arguments of the call", default={}),
    ),
    _script_rule,
    about="A rule of the scripted model, which needs no network; the first that fits counts.",
)
WORKER = TableSpec(
    (
        Key("name", SafeId(), "unique", required=True),
        Key(
            "model",
            Parsed(Text(), _model_name),
            f"`provider:model`, or `{SCRIPTED}` for one that works offline",
            required=True,
        ),
        _BASE_URL,
        _API_KEY,
        Key(
            "instructions",
            Text(LIMITS.instructions_bytes // 4, blank=True),
            "what the model is told",
            default="",
        ),
        Key(
            "max_turns",
            Whole(1, LIMITS.run_turns_max),
            "model calls of one run",
            default=LIMITS.run_turns,
        ),
        Key(
            "max_output_tokens",
            Whole(1, 10_000_000),
            "of one answer",
            default_words="the provider's",
        ),
        Key(
            "thinking",
            Choice(("off", "low", "medium", "high")),
            "how much the model thinks",
            default_words="the provider's",
        ),
        Key(
            "window",
            Whole(1000, 100_000_000),
            "tokens that the model takes at once",
            default_words="learned from its refusal",
        ),
        Key(
            "compact_at",
            Whole(10, 95),
            "percent of `window` at which the worker sums up its history by itself",
            default=80,
        ),
        Key(
            "compact_keep",
            Whole(0, 1000),
            "the newest messages that such a summary leaves as they are",
            default=4,
        ),
        Key(
            "tokens_per_day",
            Whole(1, 10**12),
            "tokens of one day (UTC); then the worker waits for the next",
            default_words="no bound",
        ),
        Key(
            "money_per_day",
            _AMOUNT,
            "as `tokens_per_day`, in money: in the currency of `price`, else in US dollars by the "
            "list of prices that comes with the provider's library",
            default_words="no bound",
        ),
        Key("price", Nested(PRICE), "see `[workers.price]`"),
        Key(
            "approval_deadline_s",
            Whole(1, 30 * 86_400),
            "seconds after which a call that waits for a person is answered `nobody decided`",
            default_words="it waits",
        ),
        Key(
            "fallbacks",
            Rows(FALLBACK, LIMITS.worker_fallbacks),
            "see `[[workers.fallbacks]]`",
            default=(),
        ),
        Key("tools", Rows(TOOL), "see `[[workers.tools]]`", default=()),
        Key("notify", Rows(NOTIFY, unique="plugin"), "see `[[workers.notify]]`", default=()),
        Key("tickets", Rows(TICKETS, 1), "see `[[workers.tickets]]`", default=()),
        Key(
            "mcp",
            Rows(MCP, LIMITS.mcp_servers, unique="server"),
            "see `[[workers.mcp]]`",
            default=(),
        ),
        Key("script", Rows(SCRIPT), "see `[[workers.script]]`", default=()),
    ),
    _profile,
    about="A worker: an agent with a name, a model, tools and a history.",
)
