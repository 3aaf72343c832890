"""The plugin tested as any Python class is: `pytest`, without Yoi."""

import json
from pathlib import Path

import pytest

from yoi_pdk import Reply, Send
from yoi_pdk.testing import PluginHarness, denied_event, gap_event, load_plugin, open_event

Echo = load_plugin(Path(__file__).parent)


def test_it_answers_the_message_that_asked():
    plugin = PluginHarness(Echo, config={"prefix": "> "})
    [answer] = plugin.replies({"type": "message", "id": 7, "channel": "general", "text": "hi"})
    assert json.loads(answer) == {
        "type": "reply",
        "to": 7,
        "channel": "general",
        "text": "> hi",
    }


def test_it_tries_to_send_elsewhere_and_only_asks():
    plugin = PluginHarness(Echo)
    reply, attempt = plugin.json({"type": "try_other", "id": 8})
    assert isinstance(reply, Reply)
    assert isinstance(attempt, Send)
    assert attempt.url == "wss://elsewhere.example/feed"


def test_it_counts_what_it_hears():
    plugin = PluginHarness(Echo)
    assert plugin.event(open_event()) == []
    plugin.event(denied_event("try-other"))
    plugin.event(gap_event("overflow"))
    assert plugin.status() == {"answered": 0, "denied": 1, "gaps": 1}
    assert [level for level, _ in plugin.logs] == ["warning", "warning"]


def test_a_message_that_is_not_json_is_the_handlers_error():
    with pytest.raises(ValueError, match="Expecting value"):
        PluginHarness(Echo).text("not json")
