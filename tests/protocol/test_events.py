"""O1: the events' JSON, pinned by golden files, and readers that outlive this version."""

import contextlib
import inspect
import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.event_names import event_name

from yoi.errors import ProtocolMalformed
from yoi.protocol import events as ev
from yoi.protocol.schemas.generate import events_schema, schema_text, typescript_text

GOLDEN = Path(__file__).parent / "golden" / "events"
SCHEMAS = Path(ev.__file__).parent / "schemas"

PROVENANCE = ev.Provenance(
    plugin="chat",
    plugin_id="project:chat",
    digest="sha256:00",
    ingress="events",
    event_id="e-1",
    command_id="c-1",
)
EXAMPLES: list[ev.Event] = [
    ev.UserMessage(ev.UserMessageData(segments=[ev.Segment(kind="text", text="hello")], seq=3)),
    ev.SystemItem(
        ev.SystemItemEnvelope(
            item=ev.SystemItemData(seq=4, text="héllo", at_ms=1, provenance=PROVENANCE)
        )
    ),
    ev.InvokeStart(ev.InvokeStartData(kind="notify")),
    ev.TurnStart(ev.TurnStartData(turn=1)),
    ev.TurnEnd(ev.TurnEndData(turn=1, result="finished")),
    ev.LlmCallStart(ev.LlmCallData(llm_call=1, model="scripted")),
    ev.LlmCallEnd(ev.LlmCallData(llm_call=1, model="scripted")),
    ev.LlmRetry(
        ev.LlmRetryData(
            llm_call=1,
            failed_attempt=1,
            max_attempts=4,
            wait_ms=250,
            elapsed_ms=12,
            error="overloaded",
            status=529,
        )
    ),
    ev.TextDelta(ev.TextData(text="he")),
    ev.TextDone(ev.TextData(text="hello")),
    ev.ThinkingStart(),
    ev.ThinkingDelta(ev.TextData(text="hm")),
    ev.ThinkingDone(ev.TextData(text="hmm")),
    ev.ToolCallStart(ev.ToolCallStartData(id="t1", name="reply")),
    ev.ToolCallArgsDelta(ev.ToolArgsDeltaData(id="t1", json='{"a"')),
    ev.ToolCallDone(ev.ToolCallDoneData(id="t1", name="reply", arguments='{"a":1}')),
    ev.ToolResult(ev.ToolResultData(id="t1", summary="ok", is_error=False, output='{"ok":true}')),
    ev.ApprovalRequest(ev.ApprovalRequestData(id="t1", name="reply", arguments='{"a":1}')),
    ev.ApprovalDone(ev.ApprovalDoneData(id="t1", approved=True, by="operator")),
    ev.Usage(ev.UsageData(input_tokens=10, output_tokens=2, cache_read_input_tokens=4)),
    ev.RunEnd(ev.RunEndData(result="finished")),
    ev.Error(ev.ErrorData(code="provider_error", message="no answer")),
    ev.Snapshot(
        ev.SnapshotData(
            entries=[{"type": "user_input", "seq": 1, "text": "hello"}],
            greeting=ev.Greeting(
                worker_name="triage", provider="scripted", model="scripted", tools=["reply"]
            ),
            status="running",
            in_flight=ev.InFlight(
                blocks=[
                    ev.TextBlock(text="he"),
                    ev.ThinkingBlock(text="hm", finished=True),
                    ev.ToolCallBlock(id="t1", name="reply", args='{"a"', state="streaming_args"),
                ]
            ),
            waiting=[ev.ApprovalRequestData(id="t0", name="reply", arguments="{}")],
            left_out=2,
        )
    ),
    ev.Status(ev.StatusData(status="idle")),
    ev.Alert(ev.AlertData(level="warning", source="notify", message="too many", timestamp_ms=5)),
    ev.CompactStart(),
    ev.CompactDone(ev.CompactDoneData(new_segment_id="9")),
    ev.CompactFailed(ev.CompactFailedData(error="no answer")),
    ev.Configured(ev.ConfiguredData(tools=["reply"], seq=2)),
    ev.Shutdown(),
]


def test_every_event_has_an_example():
    assert {type(example) for example in EXAMPLES} == set(get_args(ev.Event))


@pytest.mark.parametrize("example", EXAMPLES, ids=event_name)
def test_the_wire_form_is_the_golden_one_and_reads_back(example):
    golden = json.loads((GOLDEN / f"{event_name(example)}.json").read_text(encoding="utf-8"))
    assert json.loads(ev.encode_event(example)) == golden
    assert ev.decode_event(json.dumps(golden)) == example


def test_no_golden_file_is_left_over():
    assert {path.stem for path in GOLDEN.iterdir()} == {event_name(e) for e in EXAMPLES}


@pytest.mark.parametrize(
    "text",
    [
        '{"event":"memory_worker","data":{"worker":"x"}}',  # the ancestor's, not ours
        '{"event":"status","data":{"status":"dreaming"}}',  # a value from the future
        '{"event":"text_delta"}',
        '{"event":"turn_start","data":{"turn":9007199254740992}}',  # no browser holds that
        '{"event":"turn_start","data":{"turn":-1}}',
        '{"event":"brand_new"}',
    ],
)
def test_what_a_newer_version_says_is_tolerated_and_kept(text):
    """The ancestor's decoder failed on unknown names (weakness 18)."""
    event = ev.decode_event(text)
    assert isinstance(event, ev.UnknownEvent)
    again = msgspec.json.decode(msgspec.json.encode(event))
    assert again["event"] == json.loads(text)["event"]
    assert again["data"] == json.loads(text).get("data")


def test_unknown_fields_are_ignored():
    event = ev.decode_event('{"event":"text_delta","data":{"text":"a","lang":"en"},"v":2}')
    assert event == ev.TextDelta(ev.TextData(text="a"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "3",
        '{"data":{}}',
        '{"event":3}',
        "[" * 100_000,
        '{"event":"\ud800"}',
        b'{"event":"\xff"}',
        b'{"event":"text_done","data":{"text":"\xff"}}',
    ],
)
def test_what_is_no_event_at_all_is_refused(text):
    with pytest.raises(ProtocolMalformed) as caught:
        ev.decode_event(text)
    assert caught.value.code == "protocol.malformed"


def test_an_endless_name_is_refused():
    with pytest.raises(ProtocolMalformed):
        ev.decode_event(json.dumps({"event": "x" * 1000}))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise_anything_else(data):
    with contextlib.suppress(ProtocolMalformed):
        ev.decode_event(data)


def test_schema_and_typescript_are_what_the_types_say():
    """Regenerate them with `python -m yoi.protocol.schemas`."""
    assert (SCHEMAS / "events.schema.json").read_text(encoding="utf-8") == schema_text()
    assert (SCHEMAS / "events.ts").read_text(encoding="utf-8") == typescript_text()


def test_a_description_is_the_same_whether_or_not_docstrings_keep_their_indentation(monkeypatch):
    made = msgspec.json.schema_components

    def indenting(*args, **kwargs):
        references, components = made(*args, **kwargs)
        for node in components.values():
            lines = inspect.cleandoc(node["description"]).split("\n")
            node["description"] = "\n".join(
                [lines[0], *(f"    {line}" if line else "" for line in lines[1:])]
            )
        return references, components

    plain = schema_text()
    monkeypatch.setattr(msgspec.json, "schema_components", indenting)
    assert schema_text() == plain


def test_the_schema_knows_exactly_our_events():
    schema = events_schema()
    names = {
        schema["$defs"][ref["$ref"].rsplit("/", 1)[1]]["properties"]["event"]["enum"][0]
        for ref in schema["oneOf"]
    }
    assert names == {event_name(example) for example in EXAMPLES}
