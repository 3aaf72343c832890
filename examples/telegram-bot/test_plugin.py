"""The bot tested as any Python code is: `pytest`, without Yoi and without Telegram."""

from pathlib import Path

import pytest

from yoi_pdk import Request, Status, TimerSet
from yoi_pdk.testing import PluginHarness, denied_event, load_plugin

Telegram = load_plugin(Path(__file__).parent)


def only(kind, commands):
    return [one for one in commands if isinstance(one, kind)]


def started(state=None):
    plugin = PluginHarness(Telegram, state=state or {})
    plugin.first = plugin.started()
    return plugin


def poll_of(commands):
    [poll] = [one for one in only(Request, commands) if one.path == "/-/getUpdates"]
    return poll


def posts_of(commands):
    return [one for one in only(Request, commands) if one.path == "/-/sendMessage"]


def message(number, text="hi", **about):
    return {
        "update_id": number,
        "message": {
            "message_id": number * 10,
            "text": text,
            "chat": {"id": 7, "type": "private"},
            "from": {"id": 7, "is_bot": False},
            **about,
        },
    }


def told(plugin, *updates, poll=None):
    poll = poll or poll_of(plugin.first)
    return plugin.response(poll, json={"ok": True, "result": list(updates)})


def test_what_is_written_is_answered_and_asked_for_no_more():
    plugin = started()
    commands = told(plugin, message(41), message(42, "/count"))
    [post] = posts_of(commands)
    assert post.json == {
        "chat_id": 7,
        "text": "You said: hi",
        "reply_parameters": {"message_id": 410, "allow_sending_without_reply": True},
    }
    assert [(one.at, one.prefix) for one in post.insert] == [("/path/0", "bot")]
    assert poll_of(commands).json["offset"] == 43
    [second] = posts_of(plugin.response(post, json={"ok": True, "result": {}}))
    assert second.json["text"] == "I have answered 1 messages since I started."
    plugin.response(second, json={"ok": True, "result": {}})
    assert plugin.state["outbox"] == []
    assert plugin.status()["sent"] == 2


def test_a_later_life_goes_on_behind_what_was_handled():
    plugin = started()
    [post] = posts_of(told(plugin, message(41)))
    again = started(dict(plugin.state))
    assert poll_of(again.first).json["offset"] == 42
    assert posts_of(again.first) == [], "an earlier life was sending it"
    unknown = again.response(post, error=("service.effect_unknown", "?"), may_have_arrived=True)
    assert posts_of(unknown) == []
    assert (again.status()["unknown"], again.state["outbox"]) == (1, [])
    # What comes twice is answered once, and one question is asked at a time.
    late = told(again, message(41), poll=poll_of(plugin.first))
    assert only(Request, late) == []


@pytest.mark.parametrize(
    "about",
    [
        {"text": None},
        {"from": {"id": 1, "is_bot": True}},
        {"chat": {"id": -5, "type": "group"}},
        {"chat": {"id": "x", "type": "private"}},
        {"chat": 5},
    ],
)
def test_what_is_not_for_the_bot_is_only_counted(about):
    plugin = started()
    commands = told(plugin, message(41, **about), {"update_id": 42}, {"update_id": "x"}, 7)
    assert posts_of(commands) == []
    assert poll_of(commands).json["offset"] == 43


def test_a_command_in_a_group_is_answered():
    plugin = started()
    group = {"id": -5, "type": "group"}
    [post] = posts_of(told(plugin, message(41, "/help@bot", chat=group)))
    assert post.json["chat_id"] == -5


@pytest.mark.parametrize(
    ("status", "words", "least_ms"),
    [(401, "yoi secret set", 60_000), (404, "yoi secret set", 60_000), (409, "another", 30_000)],
)
def test_what_a_person_has_to_do_is_said(status, words, least_ms):
    plugin = started()
    commands = plugin.response(poll_of(plugin.first), status=status, json={"ok": False})
    assert words in only(Status, commands)[0].message
    assert only(TimerSet, commands)[0].after_ms >= least_ms
    assert poll_of(plugin.timer("poll"))


def test_limits_and_outages_are_waited_out():
    plugin = started()
    limited = {"ok": False, "parameters": {"retry_after": 3}}
    [wait] = only(TimerSet, plugin.response(poll_of(plugin.first), status=429, json=limited))
    assert wait == TimerSet("poll", 3_000)
    poll = poll_of(plugin.timer("poll"))
    for _ in range(20):
        commands = plugin.response(poll, error=("request.connect", "no route"))
        assert only(TimerSet, commands)[0].after_ms <= 60_000
        poll = poll_of(plugin.timer("poll"))
    [post] = posts_of(told(plugin, message(41), poll=poll))
    [wait] = only(TimerSet, plugin.response(post, status=429, json=limited))
    assert wait.name == "outbox"
    assert plugin.status()["waiting"] == 1


def test_what_never_arrived_is_sent_again_and_what_may_have_is_not():
    plugin = started()
    [post] = posts_of(told(plugin, message(41)))
    [wait] = only(TimerSet, plugin.response(post, error=("request.connect", "no route")))
    assert wait.name == "outbox"
    plugin.plugin.outbox._held = 0  # its time is over
    [post] = posts_of(plugin.timer("outbox"))
    assert only(Request, plugin.response(post, status=502)) == []
    assert plugin.status()["unknown"] == 1


def test_a_chat_that_does_not_want_it_is_given_up():
    plugin = started()
    [post] = posts_of(told(plugin, message(41)))
    plugin.response(post, status=403, json={"ok": False, "description": "bot was blocked"})
    assert (plugin.status()["failed"], plugin.state["outbox"]) == (1, [])


def test_without_the_secret_it_is_said_and_tried_again():
    plugin = started()
    refused = denied_event(poll_of(plugin.first).id, "secret.missing", "there is no secret x")
    wait, status = plugin.event(refused)
    assert (wait.name, "no secret x" in status.message) == ("poll", True)


def test_the_outbox_is_bounded():
    plugin = started()
    poll = poll_of(plugin.first)
    for number in range(1, 260):
        poll = poll_of(told(plugin, message(number), poll=poll))
    assert plugin.status()["waiting"] == 200
    assert len([key for key in plugin.state if key.startswith("post.")]) == 200
