"""The feed tested as any Python code is: `pytest`, without Yoi and without the exchange."""

import json
from pathlib import Path

import pytest

from yoi_pdk import Complete, Ready, Request, Send, StopConnection, TimerSet
from yoi_pdk.testing import PluginHarness, gap_event, load_plugin, text_event

Market = load_plugin(Path(__file__).parent)
SNAPSHOT = {"lastUpdateId": 100, "bids": [["10.0", "1"]], "asks": [["11.0", "1"]]}


def change(first, last, bids=(), asks=(), symbol="BTCUSDT"):
    return {
        "e": "depthUpdate",
        "s": symbol,
        "U": first,
        "u": last,
        "b": [list(one) for one in bids],
        "a": [list(one) for one in asks],
    }


def heard(plugin, message, connection="stream", asked=None):
    reply = None if asked is None else asked.id
    return plugin.text(text_event(json.dumps(message), connection=connection, in_reply_to=reply))


def said(result):
    return json.loads(result.content)


def only(kind, commands):
    return [one for one in commands if type(one) is kind]


@pytest.fixture
def plugin():
    made = PluginHarness(Market)
    made.started()
    return made


def followed(plugin):
    """Return the request for the first snapshot."""
    commands = plugin.open("s1", connection="stream")
    [asked] = only(Request, commands)
    return asked


def best(plugin):
    return said(plugin.tool("best_price", {"symbol": "BTCUSDT"}))


def test_it_subscribes_and_asks_for_the_book(plugin):
    subscribe, asked = plugin.open("s1", connection="stream")
    assert subscribe.json["params"] == ["btcusdt@depth@100ms"]
    assert asked.query == {"symbol": "BTCUSDT", "limit": "1000"}


def test_changes_that_came_before_the_snapshot_are_put_into_it(plugin):
    asked = followed(plugin)
    heard(plugin, change(95, 99, bids=[("9.0", "1")]))
    heard(plugin, change(100, 102, bids=[("10.5", "2")]))
    plugin.response(asked, json=SNAPSHOT)
    assert best(plugin) == {"bid": "10.5", "ask": "11.0", "change": 102}
    heard(plugin, change(103, 104, bids=[("10.5", "0")]))
    assert best(plugin)["bid"] == "10.0"


def test_a_snapshot_that_is_too_old_is_asked_again_a_moment_later(plugin):
    asked = followed(plugin)
    heard(plugin, change(205, 206))
    [again] = only(TimerSet, plugin.response(asked, json=SNAPSHOT))
    assert only(Request, plugin.timer(again.name))
    assert "error" in best(plugin)


def test_a_busy_exchange_is_waited_for(plugin):
    asked = followed(plugin)
    [again] = only(
        TimerSet, plugin.response(asked, status=429, json={"code": -1003}, retry_after_ms=7_000)
    )
    assert again.after_ms == 7_000


@pytest.mark.parametrize("body", [None, [], {"lastUpdateId": "x"}, {**SNAPSHOT, "bids": [["x"]]}])
def test_what_is_no_snapshot_is_asked_again(plugin, body):
    assert only(TimerSet, plugin.response(followed(plugin), json=body))


def test_a_gap_makes_the_book_anew(plugin):
    plugin.response(followed(plugin), json=SNAPSHOT)
    [asked] = only(Request, plugin.event(gap_event("sequence", connection="stream")))
    assert "error" in best(plugin)
    plugin.response(asked, json={**SNAPSHOT, "lastUpdateId": 300})
    assert best(plugin)["change"] == 300


@pytest.mark.parametrize(
    "message",
    [
        [],
        7,
        {"result": None, "id": 1},
        {"e": "depthUpdate", "s": 5, "U": 1, "u": 2, "b": [], "a": []},
        {"e": "depthUpdate", "s": "BTCUSDT", "U": "1", "u": 2, "b": [], "a": []},
        {"e": "depthUpdate", "s": "BTCUSDT", "U": 1, "u": 2, "b": [["NaN", "1"]], "a": []},
        {"e": "depthUpdate", "s": "BTCUSDT", "U": 1, "u": 2, "b": [["1"]], "a": []},
        {"e": "depthUpdate", "s": "OTHER", "U": 1, "u": 2, "b": [], "a": []},
    ],
)
def test_what_is_no_change_is_left(plugin, message):
    plugin.response(followed(plugin), json=SNAPSHOT)
    assert heard(plugin, message) == []
    assert best(plugin)["change"] == 100


def test_it_signs_in_with_a_key_it_does_not_have(plugin):
    [logon] = only(Send, plugin.open("a1", connection="account"))
    assert logon.json == {"id": None, "method": "session.logon", "params": {"apiKey": None}}
    assert logon.sign == "account"
    answer = {"id": 1, "status": 200, "result": {}}
    commands = heard(plugin, answer, "account", logon)
    assert only(Ready, commands) == [Ready("account")]
    assert plugin.status()["signed_in"]


def test_a_refused_key_ends_it_and_says_why(plugin):
    [logon] = only(Send, plugin.open("a1", connection="account"))
    answer = {"status": 401, "error": {"code": -2015, "msg": "Invalid API-key"}}
    commands = heard(plugin, answer, "account", logon)
    [stop] = only(StopConnection, commands)
    assert "Invalid API-key" in stop.reason
    assert "Invalid API-key" in said(plugin.tool("balance"))["error"]


def test_what_the_account_holds_is_asked_and_the_call_waits(plugin):
    [logon] = only(Send, plugin.open("a1", connection="account"))
    heard(plugin, {"status": 200, "result": {}}, "account", logon)
    deferred = plugin.deferred("balance")
    [asked] = deferred.commands
    held = {"balances": [{"asset": "BTC", "free": "1"}]}
    [done] = heard(plugin, {"status": 200, "result": held}, "account", asked)
    assert isinstance(done, Complete)
    assert said(done.result) == held


def ordered(plugin):
    values = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.1", "price": "10"}
    deferred = plugin.deferred("limit_order", values)
    [request] = deferred.commands
    return request


def test_an_order_is_signed_by_the_host_and_known_by_the_call(plugin):
    request = ordered(plugin)
    assert (request.method, request.path, request.sign) == ("POST", "/api/v3/order", "trade")
    assert len(request.query["newClientOrderId"]) <= 36
    [done] = plugin.response(request, json={"orderId": 7, "status": "NEW"})
    assert said(done.result)["orderId"] == 7


def test_an_order_of_which_nobody_knows_is_said_to_be_so(plugin):
    failed = ("request.timeout", "no answer came")
    [done] = plugin.response(ordered(plugin), error=failed, may_have_arrived=True)
    assert "nobody knows" in done.error


def test_a_refused_order_says_what_the_exchange_said(plugin):
    [done] = plugin.response(ordered(plugin), status=400, json={"code": -1013, "msg": "too small"})
    assert done.error == "too small"
