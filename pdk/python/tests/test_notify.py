"""Notify and the commands of tools."""

import pytest

from yoi_pdk import Notify, Plugin, Send, ToolResult
from yoi_pdk.testing import PluginHarness


def test_notify_is_a_command():
    assert Notify("triage", "hi", id="m1").wire() == [
        "m1", "notify", {"worker": "triage", "text": "hi"}
    ]  # fmt: skip
    assert Notify("triage", "hi") == Notify("triage", "hi")
    for worker, text in (("", "x"), ("w", ""), ("w", " "), ("w", None), (None, "x")):
        with pytest.raises((TypeError, ValueError)):
            Notify(worker, text)


def test_a_tools_commands_are_part_of_its_result():
    result = ToolResult("sent", commands=Send("hi", connection="gateway"))
    assert result.wire() == {
        "summary": "sent",
        "output_commands": [
            {
                "command_id": None,
                "kind": "websocket_send",
                "payload": {"text": "hi", "connection": "gateway"},
            }
        ],
    }
    assert "output_commands" not in ToolResult("sent").wire()
    assert eval(repr(result)) == result
    assert hash(result) == hash(ToolResult("sent", commands=[Send("hi", connection="gateway")]))


class Bad(Plugin):
    def on_tool(self, call, ctx):
        return ToolResult("x", commands=call.input["commands"])


@pytest.mark.parametrize("commands", [["text"], [1]])
def test_what_is_no_command_is_the_authors_error(commands):
    with pytest.raises(TypeError, match="on_tool"):
        PluginHarness(Bad).tool("x", {"commands": commands})
