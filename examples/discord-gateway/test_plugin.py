"""The bot tested as any Python code is: `pytest`, without Yoi and without Discord."""

import json
from pathlib import Path

import pytest

from yoi_pdk import (
    Autoreply,
    Close,
    Heartbeat,
    Match,
    Open,
    Ready,
    Request,
    Send,
    Status,
    StopConnection,
    TimerClear,
    TimerSet,
)
from yoi_pdk.testing import (
    PluginHarness,
    denied_event,
    error_event,
    gap_event,
    load_plugin,
    send_failed_event,
    started_event,
    text_event,
)

Discord = load_plugin(Path(__file__).parent)
BOT, CHANNEL = "1001", "2002"
RESUME_AT = "wss://gateway-us-east1-b.discord.gg"
LIMIT = {"total": 1000, "remaining": 1000, "reset_after": 14_400_000, "max_concurrency": 1}
BOT_ANSWER = {"url": "wss://gateway.discord.gg", "shards": 1, "session_start_limit": LIMIT}


def only(kind, commands):
    return [one for one in commands if type(one) is kind]


def started(state=None, **config):
    plugin = PluginHarness(Discord, config=config, state=state or {})
    plugin.first = plugin.started()
    return plugin


def dialled(**config):
    plugin = started(**config)
    [asked] = only(Request, plugin.first)
    plugin.response(asked, json=BOT_ANSWER)
    plugin.open("s1")
    return plugin


def hello(plugin, session="s1"):
    return plugin.json({"op": 10, "d": {"heartbeat_interval": 40_000}}, session=session)


def event(plugin, seq, kind, data=None, session="s1"):
    return plugin.json({"op": 0, "s": seq, "t": kind, "d": data or {}}, session=session)


READY = {"session_id": "abc", "resume_gateway_url": RESUME_AT + "/", "user": {"id": BOT}}


def live(**config):
    plugin = dialled(**config)
    hello(plugin)
    event(plugin, 1, "READY", READY)
    return plugin


def message(text, message_id="9001", **about):
    about = {"author": {"id": "7"}, "channel_id": CHANNEL, "mentions": [], **about}
    return {"id": message_id, "content": text, **about}


def test_the_first_move_asks_where_to_begin_with_a_token_it_never_sees():
    plugin = started()
    asked, patience = plugin.first
    assert (asked.method, asked.path) == ("GET", "/api/v10/gateway/bot")
    assert asked.insert[0].prefix == "Bot "
    assert patience == TimerSet("link", 60_000)
    opened, _ = plugin.response(asked, json=BOT_ANSWER)[:2]
    assert opened == Open("gateway", url="wss://gateway.discord.gg/?v=10&encoding=json")


def test_hello_starts_heartbeats_with_the_last_number_and_identifies():
    commands = hello(dialled())
    [beat] = only(Heartbeat, commands)
    assert (beat.every_ms, beat.json, beat.ack) == (40_000, {"op": 1, "d": None}, Match("/op", 11))
    assert 0 <= beat.first_ms < 40_000
    assert beat.insert[0].name == "seq"
    [asked_for] = only(Autoreply, commands)
    assert asked_for.when.wire() == {"at": "/op", "equals": 1}
    [identify] = only(Send, commands)
    assert identify.json["op"] == 2
    assert identify.json["d"]["token"] is None
    assert identify.json["d"]["intents"] == 4608
    assert [one.at for one in identify.insert] == ["/d/token"]


def test_ready_is_kept_and_makes_the_session_good():
    plugin = dialled()
    hello(plugin)
    commands = event(plugin, 1, "READY", READY)
    assert only(Ready, commands) == [Ready("gateway")]
    assert only(TimerClear, commands) == [TimerClear("link")]
    assert plugin.state["session"] == {"id": "abc", "url": RESUME_AT, "user": BOT}
    assert plugin.state["seq"] == 1


def test_a_direct_message_is_answered_once_by_its_own_id():
    plugin = live()
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("hi @everyone")))
    assert post.path == f"/api/v10/channels/{CHANNEL}/messages"
    assert post.json == {
        "content": "You said: hi @everyone",
        "message_reference": {"message_id": "9001", "fail_if_not_exists": False},
        "allowed_mentions": {"parse": []},
        "nonce": "9001",
        "enforce_nonce": True,
    }
    assert event(plugin, 2, "MESSAGE_CREATE", message("hi @everyone")) == []
    assert plugin.state["outbox"] == ["9001"]
    plugin.response(post, json={"id": "1"})
    assert plugin.state["outbox"] == []
    assert plugin.status()["posted"] == 1


@pytest.mark.parametrize(
    "about",
    [
        {"author": {"id": BOT, "bot": True}},
        {"guild_id": "5"},
        {"guild_id": "5", "mentions": [{"id": "8"}]},
        {"channel_id": "../../users/@me"},
        {"id": "x"},
        {"author": 7, "mentions": 7, "guild_id": "5"},
    ],
)
def test_what_is_not_for_us_is_only_counted(about):
    plugin = live()
    assert only(Request, event(plugin, 2, "MESSAGE_CREATE", message("hi", **about))) == []
    assert plugin.state["seq"] == 2


def test_a_mention_in_a_server_is_answered_without_the_mention():
    plugin = live()
    about = {"guild_id": "5", "mentions": [{"id": BOT}]}
    data = message(f"<@{BOT}> hello", **about)
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", data))
    assert post.json["content"] == "You said: hello"


@pytest.mark.parametrize(("op", "d"), [(7, None), (9, True)])
def test_a_session_that_may_be_resumed_is_left_with_a_code_that_keeps_it(op, d):
    plugin = live()
    event(plugin, 2, "TYPING_START")
    assert plugin.json({"op": op, "d": d}, session="s1") == [Close("gateway", code=4000)]
    [opened] = only(Open, plugin.close(4000, session="s1"))
    assert opened.url == f"{RESUME_AT}/?v=10&encoding=json"
    plugin.open("s2")
    [resume] = only(Send, hello(plugin, "s2"))
    assert resume.json == {"op": 6, "d": {"token": None, "session_id": "abc", "seq": 2}}
    assert [one.at for one in resume.insert] == ["/d/token"]
    assert Ready("gateway") in event(plugin, 3, "RESUMED", session="s2")
    assert plugin.status()["resumed"] == 1


def test_a_session_that_is_over_is_begun_anew_after_a_moment():
    plugin = live()
    stop, pause = plugin.json({"op": 9, "d": False}, session="s1")[:2]
    assert stop == StopConnection("gateway")
    assert 1_000 <= pause.after_ms <= 5_000
    assert "session" not in plugin.state
    assert plugin.close(1000, session="s1") == []
    assert only(Request, plugin.timer("link"))


@pytest.mark.parametrize("code", [4007, 4009])
def test_codes_after_which_nothing_can_be_resumed(code):
    plugin = live()
    commands = plugin.close(code, session="s1")
    assert only(StopConnection, commands)
    [asked] = only(Request, commands)
    assert asked.path == "/api/v10/gateway/bot"


@pytest.mark.parametrize("code", [1000, 1006, 4000, 4001, 4008])
def test_other_codes_are_resumed(code):
    plugin = live()
    assert only(Open, plugin.close(code, session="s1"))
    assert plugin.state["session"]["id"] == "abc"


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013, 4014])
def test_fatal_codes_say_what_a_person_has_to_do(code):
    plugin = live()
    commands = plugin.close(code, session="s1")
    assert not only(Open, commands)
    assert not only(Request, commands)
    assert only(Status, commands)[0].message.startswith("not connected: ")


def test_two_identifies_are_five_seconds_apart_also_over_a_restart():
    plugin = live()
    kept = dict(plugin.state)
    for key in ("session", "seq"):
        kept.pop(key)
    again = started(kept)
    again.response(only(Request, again.first)[0], json=BOT_ANSWER)
    again.open("s1")
    commands = hello(again)
    assert not only(Send, commands)
    [wait] = [one for one in only(TimerSet, commands) if one.name == "identify"]
    assert 0 < wait.after_ms <= 5_500


def test_the_days_identifies_are_counted_and_kept():
    limit = {**LIMIT, "remaining": 1}
    plugin = started()
    plugin.response(plugin.first[0], json={**BOT_ANSWER, "session_start_limit": limit})
    plugin.open("s1")
    assert only(Send, hello(plugin))
    assert plugin.state["identify"]["left"] == 0
    again = started({"identify": plugin.state["identify"]})
    again.open("s1")  # dialled by the host, say after a change of the secret
    commands = hello(again)
    assert not only(Send, commands)
    assert only(StopConnection, commands)
    assert "no IDENTIFY is left today" in only(Status, commands)[0].message


def test_nothing_is_dialled_when_none_is_left():
    plugin = started()
    limit = {**LIMIT, "remaining": 0, "reset_after": 7_200_000}
    answer = {**BOT_ANSWER, "session_start_limit": limit}
    pause, status = plugin.response(plugin.first[0], json=answer)[:2]
    assert pause == TimerSet("link", 7_200_000)
    assert "no IDENTIFY" in status.message


def test_a_gap_in_the_numbers_leaves_the_socket_and_handles_nothing_more_of_it():
    plugin = live()
    event(plugin, 2, "TYPING_START")
    gap = gap_event("sequence", missing=[(None, 3, 3)], session="s1")
    assert plugin.event(gap) == [Close("gateway", code=4000)]
    assert event(plugin, 4, "MESSAGE_CREATE", message("four")) == []
    assert plugin.state["seq"] == 2
    plugin.close(4000, session="s1")
    plugin.open("s2")
    assert only(Send, hello(plugin, "s2"))[0].json["d"]["seq"] == 2
    assert only(Request, event(plugin, 3, "MESSAGE_CREATE", message("three"), "s2"))


def test_a_channel_has_one_post_on_its_way_and_keeps_its_order():
    plugin = live()
    [first] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("a", "9001")))
    assert only(Request, event(plugin, 3, "MESSAGE_CREATE", message("b", "9002"))) == []
    other = message("c", "9003", channel_id="42")
    assert only(Request, event(plugin, 4, "MESSAGE_CREATE", other))
    [second] = only(Request, plugin.response(first, json={"id": "1"}))
    assert second.json["nonce"] == "9002"


def test_what_was_refused_for_now_is_posted_later():
    plugin = live()
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("a")))
    limited = {"retry_after": 1.5, "global": False}
    [wait] = only(TimerSet, plugin.response(post, status=429, json=limited))
    assert wait.name == "outbox"
    assert 1_400 <= wait.after_ms <= 1_600
    assert plugin.status()["waiting"] == 1


def test_what_may_have_arrived_is_posted_again_with_its_nonce():
    plugin = live()
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("a")))
    unknown = plugin.response(post, error=("service.effect_unknown", "interrupted"))
    assert only(TimerSet, unknown)[0].name == "outbox"
    assert plugin.status()["waiting"] == 1


def test_a_post_that_the_host_refuses_is_asked_again_and_blocks_nothing():
    plugin = live()
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("a")))
    refused = denied_event(post.id, "secret.missing")
    refused.payload["command"] = "request"
    [wait] = plugin.event(refused)
    assert wait == TimerSet("outbox", 60_000)
    assert plugin.status()["waiting"] == 1


def test_an_outage_of_the_api_loses_no_post():
    plugin = live()
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("a")))
    for _ in range(100):
        [wait] = plugin.response(post, error=("request.connect", "no route"))
        assert wait.after_ms <= 60_000
        plugin.plugin.outbox._held.clear()  # its time is over
        [post] = plugin.timer("outbox")
    assert plugin.status()["waiting"] == 1


def test_an_address_outside_the_grant_is_not_asked_for_again():
    plugin = live()
    plugin.json({"op": 7}, session="s1")
    plugin.close(4000, session="s1")
    refused = denied_event("x", "denied.not_requested", "outside the target")
    refused.payload["command"] = "websocket_open"
    assert only(TimerSet, plugin.event(refused))
    assert only(Request, plugin.timer("link")), "it begins anew where the API says"


def test_a_post_that_discord_will_never_take_is_given_up():
    plugin = live()
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("a")))
    plugin.response(post, status=403, json={"message": "Missing Access"})
    assert (plugin.status()["failed"], plugin.status()["waiting"]) == (1, 0)


def test_posts_outlive_a_restart_and_a_late_answer_of_the_earlier_life_changes_nothing():
    plugin = live()
    [post] = only(Request, event(plugin, 2, "MESSAGE_CREATE", message("a")))
    again = started(dict(plugin.state))
    [repeated] = only(Request, again.first)
    assert repeated.json == post.json
    assert repeated.id != post.id
    assert again.response(post, error=("service.effect_unknown", "interrupted")) == []
    again.response(repeated, json={"id": "1"})
    assert again.state["outbox"] == []


def test_the_outbox_is_bounded():
    plugin = live()
    for number in range(220):
        event(plugin, number + 2, "MESSAGE_CREATE", message("a", str(9000 + number)))
    assert plugin.status()["waiting"] == 200
    assert len([key for key in plugin.state if key.startswith("post.")]) == 200
    for number in range(220):
        long = message("\U0001f600" * 2000, str(19000 + number))
        event(plugin, number + 222, "MESSAGE_CREATE", long)
    assert plugin.status()["waiting"] < 100
    assert (
        sum(len(json.dumps(one, ensure_ascii=False).encode()) for one in plugin.state.values())
        < 2**20
    )


def test_an_instance_that_replaces_another_keeps_the_open_session():
    plugin = live()
    again = PluginHarness(Discord, state=dict(plugin.state))
    open_one = {"connection": "gateway", "session": "s1", "since": "", "ready": True}
    assert again.event(started_event(connections=[open_one])) == []
    assert only(Request, event(again, 2, "MESSAGE_CREATE", message("a")))


@pytest.mark.parametrize("op", [7, 9, 10])
def test_what_a_dead_socket_said_steers_nothing_after_a_restart(op):
    """The host kept it on disk; its events are handled, and its orders are nobody's any more."""
    plugin = live()
    again = started(dict(plugin.state))
    d = {"heartbeat_interval": 40_000} if op == 10 else False
    assert again.json({"op": op, "d": d}, session="s1") == []
    assert again.state["session"]["id"] == "abc"
    late = event(again, 2, "MESSAGE_CREATE", message("late"))
    assert only(Request, late)
    assert only(Ready, event(again, 3, "RESUMED")) == []
    again.open("s2")
    assert only(Send, hello(again, "s2"))[0].json["d"]["seq"] == 3


def test_the_host_asks_for_an_address_when_resuming_never_gets_ready():
    plugin = live()
    needed = error_event("connection.reconnect_needed")
    needed.payload["fresh"] = True
    assert only(Request, plugin.event(needed))
    assert "session" not in plugin.state


def test_a_refused_sign_in_is_shown_and_tried_again():
    plugin = dialled()
    hello(plugin)
    refused = denied_event("x", "secret.missing", "there is no secret 'discord-bot' in the store")
    pause, status = plugin.event(refused)[:2]
    assert pause.name == "link"
    assert "discord-bot" in status.message
    assert plugin.event(send_failed_event("y"))
    # Not stopped, which would end what can be resumed.
    assert plugin.timer("link")[0] == Close("gateway", code=4000)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "7", '{"op":0}', '{"op":0,"s":"1","d":7}', '{"op":10,"d":{}}', '{"op":99}'],
)
def test_messages_of_any_shape(text):
    plugin = live()
    plugin.text(text_event(text, session="s1"))
    assert plugin.state["seq"] == 1
    odd = {"t": "MESSAGE_CREATE", "op": 0, "s": 2, "d": [json.dumps(text)]}
    assert only(Request, plugin.json(odd, session="s1")) == []
