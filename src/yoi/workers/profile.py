"""A worker's profile: what the operator writes under `[[workers]]` in yoi.toml, read strictly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from yoi.errors import WorkerError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.tables import FaultKind, Table
from yoi.workers.items import Approval
from yoi.workers.tools import ToolChoice

_WORKER = frozenset(
    {
        "name",
        "model",
        "base_url",
        "api_key",
        "instructions",
        "max_turns",
        "max_output_tokens",
        "thinking",
        "tools",
        "notify",
        "script",
    }
)
_TOOL = frozenset({"plugin", "tool", "name", "approval"})
_NOTIFY = frozenset({"plugin", "start_run", "per_minute"})
_SCRIPT = frozenset({"when", "say", "call", "arguments"})
_THINKING = ("off", "low", "medium", "high")

SCRIPTED = "scripted"


@dataclass(frozen=True, slots=True)
class NotifyRule:
    """The operator's grant: this plugin may notify this worker, so often."""

    plugin: str
    start_run: bool
    per_minute: int


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
    script: tuple[ScriptRule, ...] = ()

    @classmethod
    def parse(cls, value: Any, at: str = "workers", limits: Limits = LIMITS) -> "WorkerProfile":
        """Return the profile in one decoded `[[workers]]` table.

        Raises WorkerError `worker.profile` with the dotted path in `fields["at"]`.
        """
        table = Table(value, at, _WORKER, _fault)
        name = table.safe_id("name")
        model = _model(table)
        script = tuple(_script_rule(rule) for rule in table.tables("script", _SCRIPT))
        if bool(script) != (model.model == SCRIPTED):
            raise table.fault(
                "value", "script", f'belongs to model = "{SCRIPTED}", which needs one; others none'
            )
        instructions = table.optional_text("instructions", "", limits.instructions_bytes // 4)
        tools = tuple(_tool(each) for each in table.tables("tools", _TOOL))
        names = [tool.name for tool in tools]
        if len(set(names)) != len(names):
            raise table.fault("duplicate", "tools", "two tools have the same name")
        rules: dict[str, NotifyRule] = {}
        for each in table.tables("notify", _NOTIFY):
            rule = _notify_rule(each, limits)
            if rule.plugin in rules:
                raise each.fault("duplicate", "plugin", "has a rule already")
            rules[rule.plugin] = rule
        return cls(
            name=name,
            model=model,
            instructions=instructions,
            max_turns=table.number("max_turns", limits.run_turns, 1, limits.run_turns_max),
            tools=tools,
            notify=rules,
            script=script,
        )


def _fault(kind: FaultKind, at: str, message: str) -> YoiError:
    return WorkerError("worker.profile", f"{at} {message}", at=at, kind=kind)


def _model(table: Table) -> ModelChoice:
    model = table.text("model")
    if model != SCRIPTED and not all(model.partition(":")):
        raise table.fault(
            "value", "model", f'must be "provider:model" or "{SCRIPTED}", not "{model}"'
        )
    base_url = table.optional_text("base_url", "", LIMITS.url_chars) or None
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise table.fault("value", "base_url", "must start with http:// or https://")
    tokens = table.number("max_output_tokens", 0, 1, 10_000_000)
    thinking = table.choice("thinking", _THINKING, "") or None
    return ModelChoice(
        model=model,
        base_url=base_url,
        api_key=table.safe_id("api_key") if table.has("api_key") else None,
        max_output_tokens=tokens or None,
        thinking=cast(Literal["off", "low", "medium", "high"] | None, thinking),
    )


def _tool(table: Table) -> ToolChoice:
    tool = table.text("tool")
    return ToolChoice(
        service=table.safe_id("plugin"),
        tool=tool,
        name=table.text("name") if table.has("name") else tool,
        # A plugin's own word about what its tool does is no reason to run it unasked.
        approval=cast(Approval, table.choice("approval", ("auto", "ask", "deny"), "ask")),
    )


def _notify_rule(table: Table, limits: Limits) -> NotifyRule:
    return NotifyRule(
        plugin=table.safe_id("plugin"),
        start_run=table.flag("start_run"),
        per_minute=table.number(
            "per_minute", limits.notify_per_minute, 1, limits.notify_per_minute_max
        ),
    )


def _script_rule(table: Table) -> ScriptRule:
    arguments = table.raw("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise table.fault("type", "arguments", "must be a table")
    rule = ScriptRule(
        when=table.optional_text("when", "", LIMITS.description_chars),
        say=table.optional_text("say", "", LIMITS.description_chars),
        call=table.optional_text("call", "", LIMITS.name_bytes),
        arguments=arguments or {},
    )
    if not rule.say and not rule.call:
        raise table.fault("missing", "say", "or call is required")
    return rule
