"""S7, P4, W4: the gate decides per command, and asks both keys each time."""

import msgspec
import pytest

from yoi.core.effects import ConnectionCommand, NotifyWorker, Refused, SendMessage, SetStatus
from yoi.core.gate import CommandGate, GatedConnection
from yoi.permissions import Decision
from yoi.protocol.commands import OutputCommand
from yoi.protocol.ingress import EventKind, IngressEvent, TextFrame
from yoi.protocol.outcomes import Reply
from yoi.types import SessionId

EVENT = TextFrame("events", "gateway", SessionId("s1"), 1, "hi", 0, 2)
YES = Decision(allowed=True)
NO = Decision(allowed=False, code="denied.not_granted", message="no", hint="yoi plugin enable x")


def gate(authorise=lambda: YES) -> CommandGate:
    return CommandGate(
        {
            "gateway": GatedConnection("gateway", frozenset({"wss://a.example/ws"}), authorise),
            "other": GatedConnection("other", frozenset({"wss://b.example/ws"}), lambda: YES),
        }
    )


def send(**payload) -> OutputCommand:
    return OutputCommand(
        correlation_id="c",
        source_event_id=EVENT.event_id,
        command_id="c1",
        kind="websocket_send",
        payload=payload,
        requested_at="2026-01-01T00:00:00Z",
    )


def test_a_reply_goes_to_the_session_that_asked():
    effect = gate().judge_reply(Reply("yes"), EVENT)
    assert effect == SendMessage(
        "s1.1", "s1.1:0", "websocket_send", "gateway", SessionId("s1"), "yes", None
    )


def test_current_means_whichever_session_is_open():
    effect = gate().judge(send(text="x", session="current"), EVENT)
    assert isinstance(effect, SendMessage)
    assert effect.session is None


def test_a_session_never_crosses_connections():
    effect = gate().judge(send(text="x", connection="other"), EVENT)
    assert isinstance(effect, SendMessage)
    assert (effect.connection, effect.session) == ("other", None)


def test_the_ancestors_url_form_finds_its_connection():
    effect = gate().judge(send(text="x", url="wss://b.example/ws"), EVENT)
    assert isinstance(effect, SendMessage)
    assert effect.connection == "other"


def test_an_undeclared_connection_or_url_is_denied_with_a_hint():
    for payload in ({"connection": "nope"}, {"url": "wss://evil.example/"}):
        effect = gate().judge(send(text="x", **payload), EVENT)
        assert isinstance(effect, Refused)
        assert (effect.status, effect.code) == ("denied", "denied.not_requested")
        assert "connections" in effect.hint


def test_permission_is_asked_for_each_send():
    answers = [YES, NO, YES]
    judge = gate(lambda: answers.pop(0))
    effects = [judge.judge_reply(Reply("x"), EVENT) for _ in range(3)]
    assert [type(e) for e in effects] == [SendMessage, Refused, SendMessage]
    assert effects[1].hint == "yoi plugin enable x"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("websocket_open", {}),
        ("websocket_close", {}),
        ("websocket_reconnect", {}),
        ("websocket_heartbeat", {"every_ms": 30_000, "text": "x"}),
        ("websocket_autoreply", {"when": {"at": "/op", "equals": 1}, "text": "x"}),
        ("websocket_ready", {}),
        ("websocket_stop", {}),
    ],
)
def test_whatever_steers_a_connection_needs_both_keys_each_time(kind, more):
    def asked(connection):
        command = send(connection=connection, **more)
        command.kind = kind
        return command

    answers = [YES, NO, YES]
    judge = gate(lambda: answers.pop(0)).judge
    effects = [judge(asked("gateway"), EVENT) for _ in range(3)]
    assert [type(e) for e in effects] == [ConnectionCommand, Refused, ConnectionCommand]
    assert effects[1].code == "denied.not_granted"
    assert judge(asked("nope"), EVENT).code == "denied.not_requested"


def test_binary_is_base64_and_decoded_once():
    effect = gate().judge(send(data="AAH/"), EVENT)
    assert isinstance(effect, SendMessage)
    assert effect.data == b"\x00\x01\xff"


def test_payloads_that_do_not_fit_fail_alone():
    for payload in (
        {},
        {"text": "x", "data": "AA=="},
        {"text": 1},
        {"data": "not base64"},
        {"text": "x", "session": "any"},
        {"text": "x", "headers": {}},
    ):
        effect = gate().judge(send(**payload), EVENT)
        assert isinstance(effect, Refused), payload
        assert (effect.status, effect.code) == ("failed", "service.command_malformed")


def test_an_event_without_a_connection_must_name_one():
    event = IngressEvent(
        kind=EventKind.ERROR,
        source="host",
        ingress_name="events",
        payload={},
        created_at="2026-01-01T00:00:00Z",
        correlation_id="e",
    )
    effect = gate().judge_reply(Reply("x"), event)
    assert isinstance(effect, Refused)
    assert "connection" in effect.hint


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("timer_set", {"name": "t", "after_ms": 10}),
        ("request", {"target": "api", "method": "GET", "path": "/"}),
    ],
)
def test_without_an_ingress_nothing_is_begun_that_would_have_an_answer(kind, payload):
    command = msgspec.structs.replace(send(**payload), kind=kind)
    assert not isinstance(gate().judge(command, EVENT), Refused)
    tool = TextFrame("", "gateway", SessionId("s1"), 1, "hi", 0, 2)
    refused = gate().judge(command, tool)
    assert isinstance(refused, Refused)
    assert "no ingress" in refused.message


def test_status_updates_need_no_grant():
    command = send()
    command.kind, command.payload = "diagnostic_status_update", {"status": {"ok": True}}
    effect = gate(lambda: NO).judge(command, EVENT)
    assert isinstance(effect, SetStatus)
    assert effect.update.status == {"ok": True}


def test_an_unknown_kind_is_unsupported():
    command = send()
    command.kind = "host_request_dispatch"
    effect = gate().judge(command, EVENT)
    assert isinstance(effect, Refused)
    assert (effect.status, effect.code) == ("unsupported", "denied.unsupported")


def notify(**payload) -> OutputCommand:
    command = send(**payload)
    command.kind = "notify"
    return command


def test_a_worker_is_notified_only_with_both_keys():
    """T3, P4: asked each time, for the worker that is named."""
    asked = []

    def may_notify(worker):
        asked.append(worker)
        return YES if worker == "triage" else NO

    judge = CommandGate({}, may_notify=may_notify).judge
    effect = judge(notify(worker="triage", text="hi"), EVENT)
    assert isinstance(effect, NotifyWorker)
    assert (effect.ingress, effect.event_id) == ("events", EVENT.event_id)
    refused = judge(notify(worker="other", text="hi"), EVENT)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code) == ("denied", "denied.not_granted")
    assert asked == ["triage", "other"]


def test_a_gate_without_workers_lets_nobody_notify():
    refused = gate().judge(notify(worker="triage", text="hi"), EVENT)
    assert isinstance(refused, Refused)
    assert refused.status == "denied"


def test_a_malformed_notify_is_refused_alone():
    for payload in ({"worker": "w"}, {"worker": "", "text": "x"}, {"worker": "w", "text": 1},
                    {"worker": "w", "text": "x", "start_run": True}):  # fmt: skip
        refused = gate().judge(notify(**payload), EVENT)
        assert isinstance(refused, Refused)
        assert refused.code == "service.command_malformed"
