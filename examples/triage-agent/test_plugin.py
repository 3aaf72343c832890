"""The plugin tested as any Python class is: `pytest`, without Yoi and without a model."""

import json
from pathlib import Path

from yoi_pdk import Notify, Reply, Send
from yoi_pdk.testing import PluginHarness, denied_event, load_plugin

Triage = load_plugin(Path(__file__).parent)
QUESTION = {"type": "message", "id": 7, "channel": "general", "user": "ada", "text": "help?"}


def test_a_question_is_put_before_the_worker_under_the_messages_own_id():
    plugin = PluginHarness(Triage)
    [told] = plugin.json(QUESTION)
    assert isinstance(told, Notify)
    assert (told.worker, told.id) == ("triage", "message-7")
    assert json.loads(told.text) == {"message": 7, "from": "ada", "text": "help?"}


def test_other_messages_are_answered_at_once():
    [reply] = PluginHarness(Triage).json({**QUESTION, "text": "good morning"})
    assert isinstance(reply, Reply)


def test_the_tool_answers_who_waits_and_nobody_twice():
    plugin = PluginHarness(Triage)
    plugin.json(QUESTION)
    plugin.json({**QUESTION, "id": 8})
    result = plugin.tool("reply", {"text": "on it", "to": 8})
    [send] = result.commands
    assert isinstance(send, Send)
    assert send.connection == "gateway"
    assert json.loads(send.text)["to"] == 8
    assert len(plugin.tool("reply", {"text": "on it"}).commands) == 1
    assert plugin.tool("reply", {"text": "on it"}).commands == ()


def test_what_is_refused_shows():
    plugin = PluginHarness(Triage)
    plugin.event(denied_event("message-7"))
    assert plugin.status() == {"waiting": 0, "refused": 1}
