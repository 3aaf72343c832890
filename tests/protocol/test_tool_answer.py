"""S7: a tool's output and its commands are two things; what does not fit is refused whole."""

import pytest

from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.protocol.commands import parse_payload
from yoi.protocol.deferral import Deferral, ToolComplete
from yoi.protocol.tool_answer import parse_tool_answer

AT = "2026-01-01T00:00:00Z"


def parse(text):
    return parse_tool_answer(text, "reply", "tool.1", AT)


@pytest.mark.parametrize("text", ['"done"', "[1]", "null", '{"summary": "s", "content": null}'])
def test_what_asks_for_nothing_is_output_as_it_is(text):
    answer = parse(text)
    assert answer.commands == []
    assert answer.output is not None or text == "null"


def test_commands_leave_the_output_and_name_the_call():
    answer = parse(
        '{"summary": "sent", "output_commands": ['
        '{"command_id": "c", "kind": "websocket_send", "payload": {"text": "x"}},'
        '{"kind": "timer_clear", "payload": {"name": "t"}}]}'
    )
    assert answer.output == {"summary": "sent"}
    assert [one.command_id for one in answer.commands] == ["c", "tool.1:1"]
    assert {one.source_event_id for one in answer.commands} == {"tool.1"}
    assert {one.requested_at for one in answer.commands} == {AT}


@pytest.mark.parametrize(
    ("commands", "code"),
    [
        ("{}", "service.command_malformed"),
        ('[{"kind": "x"}]', "service.command_malformed"),
        ('[{"kind": "x", "payload": {}, "source_event_id": "e"}]', "service.command_malformed"),
        ('[{"kind": "x\\u0007", "payload": {}}]', "service.command_malformed"),
        (
            '[{"kind": "x", "payload": {}, "command_id": "a"},'
            ' {"kind": "x", "payload": {}, "command_id": "a"}]',
            "service.command_malformed",
        ),
        ("[" + "[" * 100_000, "sandbox.answer_malformed"),
    ],
)
def test_bad_commands_refuse_the_whole_answer(commands, code):
    with pytest.raises(GuestRefused) as caught:
        parse('{"summary": "s", "output_commands": ' + commands + "}")
    assert caught.value.code == code


def test_the_number_of_commands_is_bounded():
    one = '{"kind": "x", "payload": {}}'
    many = ",".join([one] * (LIMITS.commands_per_event + 1))
    with pytest.raises(GuestRefused):
        parse('{"output_commands": [' + many + "]}")


def test_a_deferred_call_has_no_output_yet():
    answer = parse(
        '{"defer": {"id": "q1", "timeout_ms": 5000},'
        ' "output_commands": [{"kind": "timer_clear", "payload": {"name": "t"}}]}'
    )
    assert answer.deferral == Deferral("q1", 5000)
    assert len(answer.commands) == 1
    assert parse('{"defer": {"id": "q1", "timeout_ms": 1}}').commands == []


@pytest.mark.parametrize(
    "text",
    [
        '{"defer": true}',
        '{"defer": {"id": "q1"}}',
        '{"defer": {"id": "", "timeout_ms": 1}}',
        '{"defer": {"id": "a\\nb", "timeout_ms": 1}}',
        '{"defer": {"id": "q1", "timeout_ms": 0}}',
        f'{{"defer": {{"id": "q1", "timeout_ms": {LIMITS.deferred_max_ms + 1}}}}}',
        '{"defer": {"id": "q1", "timeout_ms": 1, "for": 2}}',
        '{"defer": {"id": "q1", "timeout_ms": 1}, "summary": "done"}',
    ],
)
def test_a_deferral_that_does_not_fit_refuses_the_answer(text):
    with pytest.raises(GuestRefused) as refused:
        parse(text)
    assert refused.value.code == "service.command_malformed"


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"call": "q1"},
        {"call": "q1", "result": 1, "error": "no"},
        {"call": 1, "result": 1},
        {"call": "q" * 129, "result": 1},
        {"call": "q1", "error": ["no"]},
        {"call": "q1", "result": 1, "to": "x"},
    ],
)
def test_a_completion_that_does_not_fit_is_malformed(payload):
    with pytest.raises(GuestRefused) as refused:
        parse_payload("tool_complete", payload)
    assert refused.value.code == "service.command_malformed"


def test_a_completion_has_a_result_or_an_error():
    assert parse_payload("tool_complete", {"call": "q1", "result": None}) == ToolComplete(
        "q1", None, None
    )
    assert parse_payload("tool_complete", {"call": "q1", "error": "no"}).error == "no"
