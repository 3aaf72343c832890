"""A service's events: pinned as JSON, tolerant to read, bounded."""

import contextlib
import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS
from yoi.protocol import service_events as sev
from yoi.protocol.diagnostics import diagnostic
from yoi.protocol.events import UnknownEvent

ENTRY = diagnostic("2026-01-01T00:00:00Z", "notice.gap", "service:chat", "frames may be missing")
EXAMPLES = {
    "service_snapshot": (
        sev.ServiceSnapshot(
            sev.ServiceSnapshotData(status={"lifecycle": "ready"}, diagnostics=[{"code": "x"}])
        ),
        {"status": {"lifecycle": "ready"}, "diagnostics": [{"code": "x"}]},
    ),
    "service_status": (
        sev.ServiceStatusChanged(sev.ServiceStatusData(status={"a": [1]}, redacted=True)),
        {"status": {"a": [1]}, "redacted": True},
    ),
    "diagnostic": (sev.diagnosed(ENTRY), json.loads(msgspec.json.encode(ENTRY))),
    "service_stopped": (sev.ServiceStopped(), None),
}


def test_every_event_has_an_example():
    assert {type(event) for event, _ in EXAMPLES.values()} == set(get_args(sev.ServiceEvent))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_wire_form_is_pinned_and_reads_back(name):
    event, data = EXAMPLES[name]
    wanted = {"event": name} if data is None else {"event": name, "data": data}
    assert json.loads(sev.encode_service_event(event)) == wanted
    assert sev.decode_service_event(json.dumps(wanted)) == event


def test_what_a_newer_version_says_is_kept_unread():
    for text in ('{"event":"service_moved","data":{"to":1}}', '{"event":"diagnostic","data":3}'):
        event = sev.decode_service_event(text)
        assert isinstance(event, UnknownEvent)
        assert json.loads(msgspec.json.encode(event)) == json.loads(text)


@pytest.mark.parametrize(
    "data", ["", "[]", '{"data":{}}', b'{"event":"\xff"}', '{"event":"\ud800"}', "[" * 100_000]
)
def test_what_is_no_event_is_refused(data):
    with pytest.raises(ProtocolMalformed):
        sev.decode_service_event(data)


def test_an_endless_event_is_refused_unread():
    with pytest.raises(ProtocolMalformed, match="over its bound"):
        sev.decode_service_event(b" " * (LIMITS.observed_event_bytes + 1))


@given(st.binary(max_size=200) | st.text(st.characters(), max_size=200))
def test_arbitrary_input_never_raises_anything_else(data):
    with contextlib.suppress(ProtocolMalformed):
        sev.decode_service_event(data)
