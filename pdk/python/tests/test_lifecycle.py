"""A plugin that opens its own connection: first move, request, answer, timer, state."""

import pytest

from yoi_pdk import (
    Context,
    Event,
    Open,
    Plugin,
    Request,
    ResponseEvent,
    StartedEvent,
    StateSet,
    TimerEvent,
    TimerSet,
)
from yoi_pdk.testing import PluginHarness, response_event, started_event, timer_event

ASK = Request("api", "POST", "/open", capture=["url"], id="ask")


class Dialler(Plugin):
    def on_event(self, event: Event, ctx: Context):
        if isinstance(event, StartedEvent):
            return ASK
        if isinstance(event, ResponseEvent) and event.ok:
            count = ctx.state("opened", 0) + 1
            return [StateSet("opened", count), Open("gw", handle=event.captured["url"])]
        if isinstance(event, ResponseEvent):
            return TimerSet("again", event.retry_after_ms or 1000)
        if isinstance(event, TimerEvent) and event.name == "again":
            return [ASK, StateSet("opened", None)]
        return None


def test_the_first_move_the_answer_and_the_state():
    plugin = PluginHarness(Dialler, state={"opened": 4})
    assert plugin.started() == [ASK]
    opened = plugin.response(ASK, json={"ok": True}, captured={"url": "h"})
    assert opened == [StateSet("opened", 5), Open("gw", handle="h")]
    assert plugin.state == {"opened": 5}
    assert plugin.open("s2") == []
    assert plugin.close(1006, session="s2") == []


def test_a_failure_a_timer_and_a_forgotten_key():
    plugin = PluginHarness(Dialler, state={"opened": 4})
    assert plugin.response("ask", error=("request.timeout", "too slow")) == [
        TimerSet("again", 1000)
    ]
    assert plugin.response(ASK, status=429, retry_after_ms=30_000) == [TimerSet("again", 30_000)]
    assert plugin.timer("again")[0] == ASK
    assert plugin.state == {}


def test_an_answer_has_a_status_headers_and_a_body():
    event = response_event("ask", json={"a": 1}, headers={"x": "y"}, captured={"url": "h"})
    assert (event.command_id, event.ok, event.status) == ("ask", True, 200)
    assert (event.json(), event.headers, event.captured) == ({"a": 1}, {"x": "y"}, {"url": "h"})
    assert (event.error_code, event.error_message, event.retry_after_ms) == ("", "", None)
    assert (event.connection, event.session) == (None, None)
    refused = response_event("ask", status=500, text="no")
    assert (refused.ok, refused.body, refused.body_kind) == (False, "no", "text")
    with pytest.raises(ValueError, match="Expecting value"):
        refused.json()
    assert response_event("ask", text="[1]").json() == [1]
    with pytest.raises(ValueError, match="empty"):
        response_event("ask", status=204).json()
    failed = response_event("ask", error=("request.dns", "no such name"))
    assert (failed.ok, failed.status) == (False, None)
    assert (failed.error_code, failed.error_message) == ("request.dns", "no such name")
    with pytest.raises(TypeError, match="no id"):
        response_event(Request("api", "GET", "/"))


def test_events_of_the_host_name_no_connection():
    assert timer_event("t").name == "t"
    assert started_event().source == "host"
    assert started_event().connection is None
    assert (started_event().restarts, started_event(2).restarts) == (0, 2)


def test_a_document_that_is_too_large_is_refused():
    class Large(Plugin):
        def on_event(self, event: Event, ctx: Context):
            return Request("api", "POST", "/", json=["x" * 1024 * 1024])

    with pytest.raises(ValueError, match="the bound is"):
        PluginHarness(Large).started()
