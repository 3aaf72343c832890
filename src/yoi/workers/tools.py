"""The tool registry: what a worker's model may call, and how a call is carried out.

Plugin tools are ordinary tools here. They are reached through `PluginTools`, which the runtime
implements: it serializes calls on the plugin's instance, holds the deadline, and closes what a call
opened.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from yoi.errors import WorkerError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.packages.foreign_schema import foreign_value_problems
from yoi.packages.schema import schema_problems, value_problems
from yoi.protocol.depth import more_values_than
from yoi.workers.items import AfterOutside, Approval, Call, Origin, Outcome, Same, ToolSpec
from yoi.workers.text import clipped

TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""What every provider accepts as a tool's name."""


@dataclass(frozen=True, slots=True)
class PluginTool:
    """A tool that a running service offers."""

    service: str
    name: str
    description: str
    input_schema: dict[str, Any]
    plugin_id: str
    digest: str
    external_write: bool = False
    """Whether its manifest says that it changes something outside."""


class PluginTools(Protocol):
    """The plugins' tools, as the runtime provides them."""

    def tools(self) -> Sequence[PluginTool]:
        """Return the tools of the services that exist now and are granted."""
        ...

    async def call(self, service: str, tool: str, arguments: dict[str, Any]) -> Any:
        """Return the tool's output: decoded JSON, bounded by the runtime.

        Raises YoiError when the call was refused, failed, trapped or ran out of time.
        """
        ...


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The operator's line for one plugin tool: its name for the model, and who approves."""

    service: str
    tool: str
    name: str
    approval: Approval
    after_outside: AfterOutside | None = None
    """None: ask where the tool changes something outside, else allow."""
    same: tuple[Same, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What becomes of a call: its bounded output, and how it ended."""

    output: str
    outcome: Outcome
    cut: bool = False


ToolFunction = Callable[[dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: what the model sees, and the function that carries a call out."""

    spec: ToolSpec
    function: ToolFunction
    wait_ms: int | None = None
    """How long a call of it may take; None: `tool_wait_ms`."""


class ToolRegistry:
    """The tools of one worker, by name."""

    def __init__(self, tools: Iterable[Tool] = (), limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: Tool) -> None:
        """Add `tool`. Raises WorkerError `worker.tool` or `worker.duplicate`."""
        spec = tool.spec
        if TOOL_NAME.fullmatch(spec.name) is None:
            raise WorkerError(
                "worker.tool",
                "a tool's name is 1 to 64 letters, digits, '_' or '-', the first no digit or '-', "
                f"not {spec.name!r}",
                hint="give it a name in the worker's profile: name = ...",
            )
        if spec.name in self._tools:
            raise WorkerError("worker.duplicate", f"two tools are called {spec.name}")
        if len(self._tools) >= self._limits.worker_tools:
            raise WorkerError("worker.tool", f"more than {self._limits.worker_tools} tools")
        # What a server says was checked when it was listed; a run begins with many of them.
        if spec.origin.kind != "mcp":
            self._check_schema(spec)
        self._tools[spec.name] = tool

    def _check_schema(self, spec: ToolSpec) -> None:
        for problem in schema_problems(spec.input_schema):
            raise WorkerError(
                "worker.tool", f"tool {spec.name}: its schema: {problem.at} {problem.message}"
            )
        if len(msgspec.json.encode(spec.input_schema)) > self._limits.tool_schema_bytes:
            raise WorkerError(
                "worker.tool",
                f"tool {spec.name}: its schema is over {self._limits.tool_schema_bytes} bytes",
            )

    @property
    def specs(self) -> list[ToolSpec]:
        """Return what the model sees of each tool, by name."""
        return [self._tools[name].spec for name in sorted(self._tools)]

    def origin(self, name: str) -> Origin | None:
        """Return where the tool called `name` comes from, or None when there is none."""
        tool = self._tools.get(name)
        return None if tool is None else tool.spec.origin

    async def carry_out(self, call: Call) -> ToolOutcome:
        """Return the outcome of `call`; a tool's failure is an outcome, never an exception.

        Malformed arguments and unknown tools are refused without calling anything.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            return ToolOutcome(f"there is no tool called {call.name!r} now", "refused")
        arguments = read_arguments(call, tool.spec, self._limits)
        if isinstance(arguments, str):
            return ToolOutcome(arguments, "refused")
        wait_ms = self._limits.tool_wait_ms if tool.wait_ms is None else tool.wait_ms
        try:
            async with asyncio.timeout(wait_ms / 1000):
                value = await tool.function(arguments)
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        except YoiError as exc:
            outcome: Outcome = "interrupted" if exc.code == "service.interrupted" else "failed"
            return ToolOutcome(f"{exc.message} [{exc.code}]", outcome)
        except TimeoutError:
            return ToolOutcome(f"no answer in {wait_ms} ms", "failed")
        except Exception as exc:
            # A defect in one tool must not end the worker; its type is enough to find it.
            return ToolOutcome(f"the tool failed: {type(exc).__name__}", "failed")
        output, cut = clipped(text, self._limits.tool_output_bytes)
        return ToolOutcome(output, "returned", cut)


def read_arguments(call: Call, spec: ToolSpec, limits: Limits = LIMITS) -> dict[str, Any] | str:
    """Return the arguments of `call`, or in words why they do not fit the tool's schema."""
    most = limits.tool_argument_values
    if more_values_than(most, call.arguments):
        return f"the arguments have more than {most} JSON values"
    try:
        value = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError) as exc:
        return f"the arguments are not JSON: {exc}"
    check = foreign_value_problems if spec.origin.kind == "mcp" else value_problems
    problems = check(spec.input_schema, value)
    if problems:
        told = "; ".join(f"{problem.at} {problem.message}" for problem in problems)
        return f"the arguments do not fit the tool's schema: {told}"
    return dict(value)


def plugin_tool(tool: PluginTool, choice: ToolChoice, plugins: PluginTools) -> Tool:
    """Return the registry's tool for a plugin's, under the operator's name and approval."""
    description, _ = clipped(tool.description, LIMITS.description_chars)
    spec = ToolSpec(
        name=choice.name,
        description=description,
        input_schema=tool.input_schema,
        approval=choice.approval,
        after_outside=choice.after_outside or ("ask" if tool.external_write else "allow"),
        same=choice.same,
        origin=Origin(
            kind="plugin",
            service=tool.service,
            plugin_id=tool.plugin_id,
            digest=tool.digest,
            tool=tool.name,
        ),
    )

    async def call(arguments: dict[str, Any]) -> Any:
        # What was approved was this code; the service may run other code by now.
        now = [(t.service, t.name, t.digest) for t in plugins.tools()]
        if (tool.service, tool.name, tool.digest) not in now:
            raise WorkerError(
                "worker.tool_call",
                f"plugin {tool.service} has changed or stopped since this run began",
            )
        return await plugins.call(tool.service, tool.name, arguments)

    # The service ends a call sooner, and says why: until it is answered or deferred, and then.
    return Tool(spec, call, 2 * LIMITS.tool_wait_ms + LIMITS.deferred_max_ms)


def chosen_tools(
    choices: Iterable[ToolChoice], plugins: PluginTools
) -> tuple[list[Tool], list[ToolChoice]]:
    """Return the tools that `choices` name, and the choices whose tool no service offers now."""
    offered = {(tool.service, tool.name): tool for tool in plugins.tools()}
    found: list[Tool] = []
    missing: list[ToolChoice] = []
    for choice in choices:
        tool = offered.get((choice.service, choice.tool))
        if tool is None:
            missing.append(choice)
        else:
            found.append(plugin_tool(tool, choice, plugins))
    return found, missing
