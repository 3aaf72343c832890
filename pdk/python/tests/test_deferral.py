"""Tool calls that are answered later, and how a plugin with them is tested."""

import pytest

from yoi_pdk import (
    Complete,
    Context,
    Defer,
    HostError,
    Plugin,
    Send,
    TextEvent,
    ToolCall,
    ToolResult,
    insert_counter,
    tool,
)
from yoi_pdk.limits import DEFERRED_MAX_MS
from yoi_pdk.testing import PluginHarness


def ask(id: str) -> Send:
    return Send(
        connection="hub",
        json={"id": None, "type": "call"},
        insert=[insert_counter("/id")],
        reply_at="/id",
        id=id,
    )


class Hub(Plugin):
    @tool
    def light(self, room: str, call: ToolCall) -> Defer:
        """Switch a light."""
        return Defer(call.id, 5000, ask(call.id))

    @tool
    def now(self, ctx: Context, this: "ToolCall") -> str:
        """Say which call it is."""
        return this.id

    def on_text(self, event: TextEvent, ctx: Context):
        message = event.json()
        if event.in_reply_to is None:
            return None
        ctx.state["last"] = message["ok"]
        if message["ok"]:
            return Complete(event.in_reply_to, {"done": True})
        return Complete(event.in_reply_to, error="the hub said no")


def test_a_call_waits_until_a_message_completes_it():
    plugin = PluginHarness(Hub)
    first, second = (
        plugin.deferred("light", {"room": "hall"}),
        plugin.deferred("light", {"room": "x"}),
    )
    assert plugin.waiting == {first.id: first, second.id: second}
    assert first.id != second.id
    (question,) = second.commands
    plugin.json({"id": 2, "ok": False}, in_reply_to=question)
    plugin.json({"id": 1, "ok": True}, in_reply_to=first.id)
    assert plugin.waiting == {}
    assert plugin.completed == {
        first.id: ToolResult("ok", {"done": True}),
        second.id: "the hub said no",
    }
    assert plugin.state == {"last": True}


def test_a_completion_that_nothing_waits_for_is_refused():
    plugin = PluginHarness(Hub)
    waiting = plugin.deferred("light", {"room": "hall"})
    plugin.give_up(waiting.id)
    with pytest.raises(HostError, match="no call waits"):
        plugin.json({"id": 1, "ok": True}, in_reply_to=waiting.id)


def test_the_harness_says_which_of_its_two_calls_fits():
    plugin = PluginHarness(Hub)
    with pytest.raises(TypeError, match=r"plugin\.deferred"):
        plugin.tool("light", {"room": "hall"})
    with pytest.raises(TypeError, match="answered at once"):
        plugin.deferred("now")
    assert plugin.tool("now").summary.startswith("call-")


def test_what_they_are_on_the_wire():
    deferred = Defer("q1", 5000, ask("q1"))
    assert deferred.wire()["defer"] == {"id": "q1", "timeout_ms": 5000}
    assert [one["command_id"] for one in deferred.wire()["output_commands"]] == ["q1"]
    assert Complete("q1", "on").wire() == [
        None,
        "tool_complete",
        {"call": "q1", "result": {"summary": "on"}},
    ]
    assert Complete("q1", error="no").payload() == {"call": "q1", "error": "no"}
    assert deferred == Defer("q1", 5000, ask("q1"))
    assert repr(Defer("q1", 5)) == "Defer('q1', 5)"


@pytest.mark.parametrize("timeout_ms", [0, DEFERRED_MAX_MS + 1, 1.5, None])
def test_a_call_waits_for_a_bounded_time(timeout_ms):
    with pytest.raises((TypeError, ValueError)):
        Defer("q1", timeout_ms)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"result": "on", "error": "no"},
        {"error": 1},
        {"result": ["on"]},
        {"result": ToolResult("on", commands=[ask("q2")])},
    ],
)
def test_a_completion_has_one_answer(wrong):
    with pytest.raises(TypeError):
        Complete("q1", **wrong)


async def test_a_deferral_is_not_awaited():
    with pytest.raises(TypeError, match="returned, not awaited"):
        await Defer("q1", 5000)
