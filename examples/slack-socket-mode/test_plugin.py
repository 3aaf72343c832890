"""The app tested as any Python code is: `pytest`, without Yoi and without Slack."""

import itertools
import json
from pathlib import Path

import pytest

from yoi_pdk import Open, Ready, Reply, Request, Status, TimerClear, TimerSet
from yoi_pdk.testing import (
    PluginHarness,
    denied_event,
    error_event,
    gap_event,
    load_plugin,
    send_failed_event,
)

Slack = load_plugin(Path(__file__).parent)
HELLO = {"type": "hello", "num_connections": 1}
REFRESH = {"type": "disconnect", "reason": "refresh_requested"}
_numbers = itertools.count(1)


def started(**config):
    plugin = PluginHarness(Slack, config=config)
    plugin.asked = plugin.started()[0]
    return plugin


def live(**config):
    plugin = started(**config)
    answer(plugin, plugin.asked)
    plugin.open("s1")
    plugin.json(HELLO, session="s1")
    return plugin


def answer(plugin, request, handle="handle-1"):
    return plugin.response(request, json={"ok": True}, captured={"socket_url": handle})


def kinds(commands):
    return [type(command) for command in commands]


def event(text, /, envelope_id=None, event_id=None, **about):
    number = next(_numbers)
    inner = {"type": "app_mention", "channel": "C1", "user": "U2", "ts": "1.5", "text": text}
    return {
        "type": "events_api",
        "envelope_id": envelope_id or f"e{number}",
        "payload": {"event_id": event_id or f"Ev{number}", "event": {**inner, **about}},
        "accepts_response_payload": False,
    }


def slash(text, **about):
    number = next(_numbers)
    payload = {
        "command": "/yoi",
        "text": text,
        "channel_id": "C1",
        "trigger_id": f"t{number}",
        "response_url": f"https://hooks.slack.com/commands/T1/{number}/secret",
    }
    return {
        "type": "slash_commands",
        "envelope_id": f"s{number}",
        "payload": {**payload, **about},
        "accepts_response_payload": True,
    }


def test_the_first_move_asks_for_an_address_with_a_token_it_never_sees():
    plugin = started()
    assert plugin.asked.wire()[2] == {
        "target": "socket",
        "method": "POST",
        "path": "/api/apps.connections.open",
        "insert": [{"at": "/headers/authorization", "secret": "app", "prefix": "Bearer "}],
        "capture": ["socket_url"],
    }
    opened, patience = answer(plugin, plugin.asked)
    assert opened == Open("gateway", handle="handle-1")
    assert patience == TimerSet("link", 300_000)


def test_hello_makes_the_session_ready_and_looks_at_the_bot_token_once():
    plugin = started()
    answer(plugin, plugin.asked)
    plugin.open("s1")
    ready, clear, status, who = plugin.json(HELLO, session="s1")
    assert (ready, clear) == (Ready("gateway"), TimerClear("link"))
    assert status == Status("connected to Slack (socket 1)")
    assert who.path == "/api/auth.test"
    [status] = plugin.response(who, json={"ok": True, "user": "yoi", "team": "Example"})
    assert status == Status("connected to Slack as yoi in Example")
    assert kinds(plugin.json(HELLO, session="s1")) == [Ready, TimerClear, Status]


def test_a_mention_is_acknowledged_first_and_answered_in_its_thread():
    plugin = live()
    ack, post = plugin.json(event("<@U1BOT> good morning", envelope_id="e9"), session="s1")
    assert ack == Reply('{"envelope_id": "e9"}')
    assert isinstance(post, Request)
    assert (post.target, post.path) == ("web", "/api/chat.postMessage")
    assert post.json == {"channel": "C1", "text": "You said: good morning", "thread_ts": "1.5"}
    assert plugin.response(post, json={"ok": True}) == []
    assert plugin.status()["posted"] == 1


def test_a_retried_envelope_is_acknowledged_and_not_answered_again():
    plugin = live()
    assert len(plugin.json(event("hi", event_id="EvX"))) == 2
    again = plugin.json(event("hi", event_id="EvX", envelope_id="e77"), session="s2")
    assert again == [Reply('{"envelope_id": "e77"}')]
    assert plugin.status()["repeated"] == 1


def test_the_memory_of_envelopes_is_bounded():
    plugin = live()
    for number in range(1100):
        plugin.json(event("", event_id=f"Ev-{number}"))
    assert len(plugin.plugin.answers._seen) == 1000
    assert len(plugin.plugin.outbox._on_the_way) == 50


@pytest.mark.parametrize(
    "about",
    [
        {"bot_id": "B1"},
        {"subtype": "message_changed"},
        {"type": "message", "channel_type": "channel"},
        {"type": "reaction_added"},
        {"channel": "C9"},
    ],
)
def test_what_is_not_for_us_is_only_acknowledged(about):
    plugin = live(channels=["C1"])
    assert kinds(plugin.json(event("hi", **about))) == [Reply]


def test_a_direct_message_is_answered_outside_a_thread_and_outside_the_list():
    plugin = live(channels=["C1"], prefix="")
    _, post = plugin.json(event("hi", type="message", channel_type="im", channel="D1"))
    assert post.json == {"channel": "D1", "text": "hi"}


def test_repeating_somebody_mentions_nobody():
    plugin = live(prefix="")
    _, post = plugin.json(event("<@U1BOT> <!channel> <@U3> a&amp;b {{token}} ${app}"))
    expected = "&lt;!channel&gt; &lt;@U3&gt; a&amp;b {{token}} ${app}"
    assert post.json["text"] == expected
    assert [item.name for item in post.insert] == ["bot"]


def test_help_has_a_button_and_the_button_an_answer():
    plugin = live()
    _, post = plugin.json(event("<@U1BOT> help"))
    assert post.json["blocks"][1]["elements"][0]["action_id"] == "hello"
    pressed = {
        "type": "interactive",
        "envelope_id": "i1",
        "payload": {
            "trigger_id": "t-i",
            "actions": [{"action_id": "hello"}],
            "response_url": "https://hooks.slack.com/actions/T1/2/3",
        },
        "accepts_response_payload": True,
    }
    ack, post = plugin.json(pressed)
    assert ack == Reply('{"envelope_id": "i1"}')
    assert (post.target, post.path, post.insert) == ("hooks", "/actions/T1/2/3", ())


def test_a_command_is_answered_within_its_acknowledgement():
    plugin = live()
    [ack] = plugin.json(slash("good morning"))
    assert json.loads(ack.text)["payload"] == {"text": "You said: good morning"}
    [ack] = plugin.json(slash("help"))
    assert "say <text>" in json.loads(ack.text)["payload"]["text"]
    [ack] = plugin.json(slash("count"))
    assert "3 messages" in json.loads(ack.text)["payload"]["text"]


def test_say_goes_to_the_channel_by_the_response_url():
    plugin = live()
    ack, post = plugin.json(slash("say hello all"))
    assert "payload" not in json.loads(ack.text)
    assert post.target == "hooks"
    assert post.json == {"response_type": "in_channel", "text": "You said: hello all"}


def test_a_command_in_a_foreign_channel_is_told_so():
    [ack] = live(channels=["C1"]).json(slash("hi", channel_id="C9"))
    assert "not used" in json.loads(ack.text)["payload"]["text"]


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
def test_the_next_socket_is_asked_for_while_the_last_one_works(reason):
    plugin = live()
    asked, _ = plugin.json({"type": "disconnect", "reason": reason}, session="s1")
    assert isinstance(asked, Request)
    # Both sockets bring envelopes: each is acknowledged where it came from.
    assert len(plugin.json(event("during"), session="s1")) == 2
    assert answer(plugin, asked, "handle-2")[0] == Open("gateway", handle="handle-2")
    plugin.open("s2")
    assert plugin.close(1000, session="s1") == []
    assert Ready("gateway") in plugin.json(HELLO, session="s2")
    assert plugin.status()["sockets"] == 2


NEEDED = "connection.reconnect_needed"


def test_a_socket_that_goes_before_the_next_is_there_changes_nothing():
    plugin = live()
    asked, _ = plugin.json(REFRESH, session="s1")
    assert plugin.close(1000, session="s1") == []
    assert plugin.event(error_event(NEEDED)) == [], "it was asked for already"
    assert answer(plugin, asked)[0] == Open("gateway", handle="handle-1")


def test_a_lost_socket_is_replaced_when_the_host_needs_an_address():
    plugin = live()
    assert plugin.close(1006, session="s1") == [TimerSet("link", 300_000)]
    [asked, _] = plugin.event(error_event(NEEDED))
    assert isinstance(asked, Request)
    answer(plugin, asked)
    plugin.open("s2")
    assert Ready("gateway") in plugin.json(HELLO, session="s2")


def test_should_the_host_not_say_so_it_asks_all_the_same():
    plugin = live()
    plugin.close(1006, session="s1")
    assert isinstance(plugin.timer("link")[0], Request)


def test_the_pause_doubles_to_a_bound():
    plugin = started()
    pauses = []
    for _ in range(14):
        pause, _ = plugin.response(plugin.asked, status=503)
        pauses.append(pause.after_ms)
        plugin.asked = plugin.timer("link")[0]
    assert 500 <= pauses[0] <= 1000
    assert 150_000 <= pauses[-1] <= 300_000


def test_a_wrong_token_waits_for_a_person_and_says_what_to_do():
    plugin = started()
    pause, status = plugin.response(plugin.asked, json={"ok": False, "error": "invalid_auth"})
    assert pause.after_ms == 600_000
    assert "yoi secret set slack-app" in status.message
    assert plugin.event(error_event(NEEDED)) == [], "asking again would not help"
    assert isinstance(plugin.timer("link")[0], Request)


@pytest.mark.parametrize(
    ("reason", "words"),
    [("link_disabled", "Socket Mode"), ("too_many_websockets", "Slack allows 10")],
)
def test_reasons_that_no_new_socket_would_help(reason, words):
    plugin = live()
    pause, status = plugin.json({"type": "disconnect", "reason": reason}, session="s1")
    assert pause.after_ms >= 60_000
    assert words in status.message
    assert plugin.close(1000, session="s1") == []
    assert plugin.event(error_event(NEEDED)) == []


def test_slack_may_ask_to_wait():
    plugin = started()
    pause, _ = plugin.response(plugin.asked, status=429, json={"ok": False}, retry_after_ms=30_000)
    assert pause.after_ms == 30_000


def test_no_answer_at_all_is_given_up():
    plugin = started()
    assert kinds(plugin.timer("link")) == [TimerSet, Status]
    assert answer(plugin, plugin.asked) == [], "an answer that comes too late opens nothing"


def test_a_dial_that_fails_gets_another_address():
    plugin = started()
    answer(plugin, plugin.asked)
    assert plugin.event(error_event("connection.refused")) == []
    assert "connection.refused" in plugin.status()["problem"]
    assert isinstance(plugin.event(error_event(NEEDED))[0], Request)


@pytest.mark.parametrize("made", [denied_event, send_failed_event])
@pytest.mark.parametrize("command", ["request", "websocket_open"])
def test_a_refusal_is_shown_and_not_repeated_in_a_hurry(made, command):
    plugin = started()
    command_id = plugin.asked.id
    if command == "websocket_open":
        answer(plugin, plugin.asked)
        command_id = "events.3:0"
    refused = made(command_id, "secret.missing", "there is no secret 'slack-app' in the store")
    refused.payload["command"] = command
    pause, status = plugin.event(refused)
    assert pause.after_ms >= 500
    assert "slack-app" in status.message
    assert plugin.logs[-1][0] == "error"


def test_a_post_that_is_refused_leaves_the_socket_alone():
    plugin = live()
    _, post = plugin.json(event("hi"))
    refused = denied_event(post.id)
    refused.payload["command"] = "request"
    assert plugin.event(refused) == []
    assert plugin.status()["phase"] == "live"


def test_a_bot_token_that_is_wrong_shows_at_once():
    plugin = started()
    answer(plugin, plugin.asked)
    plugin.open("s1")
    who = plugin.json(HELLO, session="s1")[-1]
    [status] = plugin.response(who, json={"ok": False, "error": "invalid_auth"})
    assert status == Status("the bot token was not accepted: invalid_auth")


def test_a_post_that_slack_had_no_room_for_is_posted_later():
    plugin = live()
    _, post = plugin.json(event("hi"))
    assert plugin.response(post, status=429, retry_after_ms=2000) == [TimerSet("resend", 2000)]
    assert plugin.timer("resend") == [post]
    assert plugin.timer("resend") == []


def test_a_post_that_may_have_arrived_is_never_repeated():
    plugin = live()
    _, post = plugin.json(event("hi"))
    assert plugin.response(post, error=("request.timeout", "no answer in time")) == []
    assert plugin.status()["failed"] == 1
    assert plugin.logs[-1] == ("warning", "a post was not accepted: no answer in time")


def test_lost_acknowledgements_and_gaps_are_only_noted():
    plugin = live()
    assert plugin.event(send_failed_event("x")) == []
    assert plugin.event(gap_event("overflow")) == []
    assert plugin.json({"type": "news"}) == []
    assert [level for level, _ in plugin.logs] == ["warning", "warning", "debug"]


ODD = [None, 7, "x", [], [None], {}, {"event": 7}, {"event": {"type": []}}, {"actions": 7}]


@pytest.mark.parametrize("payload", ODD, ids=repr)
@pytest.mark.parametrize("kind", ["events_api", "slash_commands", "interactive", "news", None])
def test_an_envelope_of_any_shape_is_acknowledged(kind, payload):
    plugin = live()
    ack, *_ = plugin.json({"type": kind, "envelope_id": "e1", "payload": payload})
    assert json.loads(ack.text) == {"envelope_id": "e1"}


@pytest.mark.parametrize("text", ["", "not json", "[]", "7", '{"envelope_id": 7}', "{}"])
def test_what_is_no_envelope_is_ignored(text):
    plugin = live()
    assert plugin.text(text) == []


@pytest.mark.parametrize("url", ["", "x", "http://[", "//host", 7, None])
def test_a_response_url_without_a_path_is_not_posted_to(url):
    plugin = live()
    assert kinds(plugin.json(slash("say hello", response_url=url))) == [Reply]
