"""T2, S3: plugin tools are ordinary tools with an origin, reached only through the runtime."""

import msgspec
import pytest
from tests.workers.worlds import SCHEMA, spec, tool

from yoi.errors import GuestTrapped, WorkerError
from yoi.limits import LIMITS, Limits
from yoi.workers import items as it
from yoi.workers.items import Call
from yoi.workers.tools import PluginTool, Tool, ToolChoice, ToolRegistry, chosen_tools


class Plugins:
    """Two services; `wave` traps."""

    def __init__(self):
        self.called = []
        self.digest = "sha256:ab"

    def tools(self):
        return [
            PluginTool("chat", "reply", "Reply." * 1000, SCHEMA, "project:chat", self.digest),
            PluginTool("chat", "wave", "Wave.", SCHEMA, "project:chat", self.digest),
        ]

    async def call(self, service, name, arguments):
        self.called.append((service, name, arguments))
        if name == "wave":
            raise GuestTrapped("sandbox.deadline", "the guest used up its time")
        return {"sent": arguments["text"]}


def choices(*names):
    return [ToolChoice("chat", name, f"chat_{name.replace(' ', '_')}", "auto") for name in names]


async def test_a_plugin_tool_is_called_by_the_operators_name_and_its_origin_is_recorded():
    plugins = Plugins()
    found, missing = chosen_tools(choices("reply", "gone"), plugins)
    assert [choice.tool for choice in missing] == ["gone"]
    registry = ToolRegistry(found)
    outcome = await registry.carry_out(Call("c", "chat_reply", '{"text":"hi"}'))
    assert (outcome.outcome, outcome.output) == ("returned", '{"sent":"hi"}')
    assert plugins.called == [("chat", "reply", {"text": "hi"})]
    assert registry.origin("chat_reply") == it.Origin(
        kind="plugin", service="chat", plugin_id="project:chat", digest="sha256:ab", tool="reply"
    )
    (described,) = registry.specs
    assert len(described.description) <= 1024


async def test_a_guest_that_traps_fails_its_call_with_the_code():
    found, _ = chosen_tools(choices("wave"), Plugins())
    outcome = await ToolRegistry(found).carry_out(Call("c", "chat_wave", '{"text":"hi"}'))
    assert outcome.outcome == "failed"
    assert "[sandbox.deadline]" in outcome.output


async def test_arguments_of_too_many_values_are_not_decoded():
    found, _ = chosen_tools(choices("reply"), Plugins())
    many = '{"text":[' + "1," * LIMITS.tool_argument_values + "1]}"
    outcome = await ToolRegistry(found).carry_out(Call("c", "chat_reply", many))
    assert outcome.outcome == "refused"
    assert "JSON values" in outcome.output


async def test_arguments_outside_the_schema_never_reach_the_guest():
    plugins = Plugins()
    found, _ = chosen_tools(choices("reply"), plugins)
    outcome = await ToolRegistry(found).carry_out(Call("c", "chat_reply", '{"text":1}'))
    assert outcome.outcome == "refused"
    assert plugins.called == []


async def test_output_that_is_no_text_is_still_storable():
    async def odd(arguments):
        return "\udc80"

    async def unencodable(arguments):
        return object()

    registry = ToolRegistry([tool("odd", function=odd), tool("none", function=unencodable)])
    outcome = await registry.carry_out(Call("c", "odd", '{"text":"x"}'))
    assert msgspec.json.encode(outcome.output) == b'"?"'
    assert (await registry.carry_out(Call("c", "none", '{"text":"x"}'))).outcome == "failed"


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ü", "a.b"])
def test_names_that_no_provider_takes_are_refused(name):
    with pytest.raises(WorkerError) as caught:
        ToolRegistry([Tool(spec(name), tool().function)])
    assert caught.value.code == "worker.tool"


def test_names_are_unique_and_tools_are_counted():
    with pytest.raises(WorkerError) as caught:
        ToolRegistry([tool(), tool()])
    assert caught.value.code == "worker.duplicate"
    with pytest.raises(WorkerError):
        ToolRegistry([tool("a"), tool("b")], Limits(worker_tools=1))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "description": "x" * 40_000},
    ],
)
def test_schemas_are_in_the_subset_and_bounded(schema):
    with pytest.raises(WorkerError) as caught:
        ToolRegistry([Tool(msgspec.structs.replace(spec(), input_schema=schema), tool().function)])
    assert caught.value.code == "worker.tool"


async def test_a_plugin_that_changed_in_the_middle_of_a_run_is_not_called():
    plugins = Plugins()
    found, _ = chosen_tools(choices("reply"), plugins)
    plugins.digest = "sha256:cd"
    outcome = await ToolRegistry(found).carry_out(Call("c", "chat_reply", '{"text":"hi"}'))
    assert outcome.outcome == "failed"
    assert "[worker.tool_call]" in outcome.output
    assert plugins.called == []
