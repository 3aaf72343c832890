"""The plugin tested as any Python code is: `pytest`, without Yoi and without a hub."""

from pathlib import Path

import pytest

from yoi_pdk import (
    Heartbeat,
    HostError,
    Notify,
    Ready,
    Send,
    Status,
    StopConnection,
    insert_secret,
)
from yoi_pdk.testing import PluginHarness, load_plugin

HomeAssistant = load_plugin(Path(__file__).parent)
DOOR, HALL = "binary_sensor.front_door", "light.hall"


def made(state=None, **config):
    return PluginHarness(HomeAssistant, config={"watch": [DOOR, HALL], **config}, state=state)


def signed_in(**about):
    plugin = made(**about)
    plugin.started()
    plugin.open("s1")
    plugin.json({"type": "auth_required", "ha_version": "2026.11.2"}, session="s1")
    plugin.json({"type": "auth_ok", "ha_version": "2026.11.2"}, session="s1")
    return plugin


def all_of_them(**states):
    told = {e: {"s": s, "a": {}, "c": "x", "lc": since} for e, (s, since) in states.items()}
    return {"id": 2, "type": "event", "event": {"a": told}}


def changed(entity, state, since):
    plus = {"s": state, "lc": since, "c": "x"}
    return {"id": 2, "type": "event", "event": {"c": {entity: {"+": plus}}}}


def notified(commands):
    return [one.text for one in commands if isinstance(one, Notify)]


def test_it_signs_in_pings_and_subscribes():
    plugin = made()
    assert plugin.json({"type": "auth_required"}) == [
        Send(
            json={"type": "auth", "access_token": None},
            insert=[insert_secret("/access_token", "token")],
        )
    ]
    ready, beat, said, watch = plugin.json({"type": "auth_ok", "ha_version": "1"}, session="s1")
    assert (ready, said) == (Ready("hub"), Status("signed in at 1"))
    assert isinstance(beat, Heartbeat)
    assert (watch.json["entity_ids"], watch.id) == ([DOOR, HALL], "watch.s1")
    assert plugin.json({"id": 1, "type": "pong"}) == []


def test_without_entities_it_does_not_ask_for_all():
    commands = made(watch=[]).json({"type": "auth_ok"})
    assert not [one for one in commands if isinstance(one, Send)]


def test_a_refused_token_ends_the_connection_until_the_secret_is_changed():
    stop, said = made().json({"type": "auth_invalid", "message": "Invalid access token"})
    assert stop == StopConnection("hub", reason="Invalid access token", until="secret")
    assert "Invalid access token" in said.message


def test_each_change_is_told_once_and_the_first_states_are_not():
    plugin = signed_in()
    first = all_of_them(**{DOOR: ("off", 10.0), HALL: ("off", 10.0), "lock.front": ("locked", 1.0)})
    assert notified(plugin.json(first)) == []
    opened = changed(DOOR, "on", 11.0)
    assert notified(plugin.json(opened)) == [f"{DOOR}: off -> on"]
    assert notified(plugin.json(opened)) == []
    assert notified(plugin.json(changed(DOOR, "off", 10.5))) == []  # older than what is known
    assert notified(plugin.json(changed("lock.front", "unlocked", 12.0))) == []
    brighter = {"id": 2, "type": "event", "event": {"c": {HALL: {"+": {"a": {"brightness": 9}}}}}}
    assert notified(plugin.json(brighter)) == []
    assert plugin.state["house"] == {DOOR: ["on", 11.0], HALL: ["off", 10.0]}


def test_what_changed_while_nobody_listened_is_told_after_the_break():
    plugin = signed_in(state={"house": {DOOR: ["off", 10.0], HALL: ["off", 10.0]}})
    back = all_of_them(**{DOOR: ("on", 12.5), HALL: ("off", 10.0)})
    assert notified(plugin.json(back)) == [f"{DOOR}: off -> on (seen after a break)"]
    assert notified(plugin.json(back)) == []


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {"a": 1},
        {"c": {DOOR: 1}},
        {"c": {DOOR: {"+": 1}}},
        {"a": {DOOR: {"s": 1}}},
        {"r": 1},
    ],
)
def test_what_is_no_change_is_none(odd):
    assert signed_in().json({"id": 2, "type": "event", "event": odd}) == []


def test_a_service_is_called_and_the_call_waits_for_the_hub():
    plugin = signed_in()
    waiting = plugin.deferred("call_service", {"service": "light.turn_on", "entity": HALL})
    (question,) = waiting.commands
    assert question.id == waiting.id
    assert question.json["domain"] == "light"
    assert question.json["target"] == {"entity_id": HALL}
    plugin.json({"id": 3, "type": "result", "success": True, "result": {}}, in_reply_to=question)
    assert plugin.completed[waiting.id].summary == "done"


def test_the_hubs_refusal_is_the_calls():
    plugin = signed_in()
    waiting = plugin.deferred("call_service", {"service": "light.turn_on", "entity": "light.x"})
    error = {"code": "not_found", "message": "no such thing"}
    answer = {"id": 3, "type": "result", "success": False, "error": error}
    plugin.json(answer, in_reply_to=waiting.id)
    assert plugin.completed == {waiting.id: "no such thing (not_found)"}


def test_an_answer_that_comes_too_late_completes_nothing():
    plugin = signed_in()
    waiting = plugin.deferred("call_service", {"service": "light.turn_on", "entity": HALL})
    plugin.give_up(waiting.id)
    # The host gives no `in_reply_to` then; an answer with one would be refused.
    assert plugin.json({"id": 3, "type": "result", "success": True, "result": {}}) == []
    with pytest.raises(HostError):
        plugin.json({"id": 3, "type": "result", "success": True}, in_reply_to=waiting.id)


def test_only_listed_services_are_called_and_only_while_signed_in():
    plugin = signed_in(services=["light.turn_on"])
    call = {"service": "lock.unlock", "entity": "lock.front"}
    assert plugin.tool("call_service", call).summary == "lock.unlock is not allowed"
    plugin.close(1001)
    call = {"service": "light.turn_on", "entity": HALL}
    assert plugin.tool("call_service", call).summary == "the hub is not connected"


def test_a_refused_subscription_is_shown():
    plugin = signed_in()
    error = {"code": "unauthorized", "message": "Unauthorized"}
    answer = {"id": 2, "type": "result", "success": False, "error": error}
    (said,) = plugin.json(answer, in_reply_to="watch.s1")
    assert "Unauthorized" in said.message
    assert plugin.status()["trouble"] == said.message


def test_the_states_are_a_tool():
    plugin = signed_in(state={"house": {DOOR: ["on", 1_700_000_000.0]}})
    result = plugin.tool("states")
    assert result.summary == "1 entities"
    assert '"state": "on"' in result.content


def test_the_list_of_entities_is_bounded():
    with pytest.raises(ValueError, match="at most 32"):
        made(watch=[f"light.n{n}" for n in range(33)])
