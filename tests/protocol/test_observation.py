"""Frames, diagnostics and close codes: what the contract says is what there is."""

import contextlib
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS
from yoi.protocol import observation as ob
from yoi.protocol.cursors import CURSOR_CHARS, CursorFault

CONTRACT = Path(__file__).parents[2] / "docs" / "design" / "observation.md"
ENVELOPE = ob.Envelope(
    cursor="c",
    event_id="e-1",
    payload=msgspec.Raw(b'{"event":"shutdown"}'),
    runtime_id="r",
    worker_id="w",
)
FRAMES = [
    ob.EventFrame(ENVELOPE),
    ob.DiagnosticFrame(ob.observation_diagnostic(ob.Hop.BACKEND, "lagged", dropped=3)),
    ob.ResumedFrame("c"),
    ob.BookmarkFrame("c", up_to_date=False),
]


def table(header: str) -> list[list[str]]:
    """Return the rows of the contract's table whose first line begins with `header`."""
    lines = CONTRACT.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def codes_of_contract() -> dict[str, int | None]:
    codes: dict[str, int | None] = {}
    for cell, close, _ in table("| name | close |"):
        for name in names_in(cell):
            if name != "cursor_*":
                codes[name] = None if close == "-" else int(close)
    return codes


def test_the_contract_lists_every_code_with_its_close():
    listed = codes_of_contract()
    for fault in CursorFault:
        if fault is not CursorFault.MALFORMED:
            listed[f"cursor_{fault}"] = None
    assert listed == {
        name: None if meaning.close is None else int(meaning.close)
        for name, meaning in ob.OBSERVATION_CODES.items()
    }


def test_the_contract_answers_every_fault_of_a_cursor_as_the_codes_do():
    answers = {
        name: cell
        for _, cell in table("| a client presents |")
        for name in names_in(cell)
        if name.startswith("cursor_")
    }
    assert set(answers) == {f"cursor_{fault}" for fault in CursorFault}
    for name, cell in answers.items():
        meaning = ob.OBSERVATION_CODES[name]
        if meaning.close is None:
            assert "snapshot" in cell
            assert meaning.action == "resync"
        else:
            assert f"close {int(meaning.close)}" in cell
            assert meaning.action == "stop"


@pytest.mark.parametrize("name", ob.OBSERVATION_CODES)
def test_every_code_says_what_it_means_and_what_to_do(name):
    meaning = ob.OBSERVATION_CODES[name]
    assert len(meaning.words) > 10
    assert meaning.scope in ("client", "stream", "runtime", "backend")
    if meaning.close is None:
        assert meaning.action in ("resync", "continue")
    else:
        assert meaning.action == ("stop" if meaning.close.final else "reconnect")
    entry = ob.observation_diagnostic(ob.Hop.RUNTIME, name)
    assert entry.code == f"runtime.{name}"
    assert entry.name == name
    assert entry.close_code == meaning.close
    assert entry.retryable == (meaning.action != "stop")


def test_every_close_code_is_used_and_on_its_side_of_the_line():
    assert {meaning.close for meaning in ob.OBSERVATION_CODES.values()} - {None} == set(
        ob.CloseCode
    )
    assert all(4000 <= code < 5000 and code.final == (code >= 4500) for code in ob.CloseCode)


def test_an_unlisted_diagnostic_is_a_defect():
    with pytest.raises(LookupError):
        ob.observation_diagnostic(ob.Hop.RUNTIME, "nonsense")


def test_a_diagnostics_words_are_bounded_and_harmless():
    entry = ob.observation_diagnostic(ob.Hop.RUNTIME, "lagged", "\x1b[2J\u202e" + "x" * 10_000)
    assert entry.message.isprintable()
    assert len(entry.message) <= LIMITS.message_chars


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_a_frame_reads_back(frame):
    data = ob.encode_frame(frame)
    for again in (ob.decode_frame(data), ob.decode_frame(data.decode())):
        assert ob.encode_frame(again) == data


def test_frames_are_what_the_contract_shows():
    text = CONTRACT.read_text(encoding="utf-8")
    shown = [json.loads(line) for line in text.splitlines() if line.startswith('{"kind"')]
    assert {frame["kind"] for frame in shown} == {"event", "resumed", "bookmark", "diagnostic"}
    for frame in shown:
        read = ob.decode_frame(json.dumps(frame))
        assert not isinstance(read, ob.UnknownFrame)
        assert json.loads(ob.encode_frame(read)).keys() == frame.keys()


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_fields_of_a_newer_server_are_ignored(frame):
    data = json.loads(ob.encode_frame(frame))
    for value in list(data.values()):
        if isinstance(value, dict):
            value["newer"] = {"a": [1]}
    assert ob.decode_frame(json.dumps({**data, "newer": 1})) == ob.decode_frame(
        json.dumps(data)
    ) or (isinstance(frame, ob.EventFrame))


def test_a_kind_of_a_newer_server_is_named_and_harmless():
    assert ob.decode_frame('{"kind":"poll","x":[]}') == ob.UnknownFrame("poll")
    hostile = ob.decode_frame(json.dumps({"kind": "\x1b[31m" + "x" * 9999}))
    assert isinstance(hostile, ob.UnknownFrame)
    assert hostile.kind.isprintable()
    assert len(hostile.kind) <= 64


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"nonsense",
        b'{"kind":3}',
        b'{"kind":"event"}',
        b'{"kind":"event","envelope":{}}',
        b'{"kind":"event","envelope":{"cursor":"c","event_id":"e","payload":nope}}',
        b'{"kind":"event","envelope":{"cursor":1,"event_id":"e","payload":{}}}',
        b'{"kind":"diagnostic","diagnostic":{"code":"x"}}',
        b'{"kind":"resumed"}',
        b'{"kind":"bookmark","cursor":null}',
        b'{"kind":"\xff"}',
        b'{"kind":"x","y":"\xff"}',
        b'{"kind":"event","envelope":{"cursor":"c","event_id":"e","payload":{"x":"\xff"}}}',
        '{"kind":"\ud800"}',
        '{"kind":"x"}{"kind":"x"}',
    ],
)
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(ProtocolMalformed) as caught:
        ob.decode_frame(data)
    assert caught.value.code == "protocol.malformed"


@pytest.mark.parametrize("kind", ["event", "poll"])
def test_a_tower_of_lists_is_refused(kind):
    tower = "[" * 200_000 + "]" * 200_000
    frame = f'{{"kind":"{kind}","envelope":{{"cursor":"c","event_id":"e","payload":{tower}}}}}'
    with pytest.raises(ProtocolMalformed):
        ob.decode_frame(frame)


def test_an_endless_frame_is_refused_unread():
    most = LIMITS.observed_event_bytes + LIMITS.observe_envelope_bytes
    with pytest.raises(ProtocolMalformed, match="over its bound"):
        ob.decode_frame(b" " * (most + 1))
    with pytest.raises(ProtocolMalformed, match="over its bound"):
        ob.decode_frame("é" * (most // 2 + 1))


def test_the_largest_event_fits_the_largest_frame():
    envelope = msgspec.structs.replace(
        ENVELOPE, cursor="c" * CURSOR_CHARS, worker_id="w" * LIMITS.name_bytes,
        runtime_id="r" * LIMITS.name_bytes, event_id="e" * 64,
    )  # fmt: skip
    around = len(ob.encode_frame(ob.EventFrame(envelope)))
    assert around <= LIMITS.observe_envelope_bytes


@given(st.binary(max_size=200) | st.text(st.characters(), max_size=200))
def test_arbitrary_input_never_raises_anything_else(data):
    with contextlib.suppress(ProtocolMalformed):
        ob.decode_frame(data)


FRAME_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["cursor", "event_id", "payload", "code", "scope", "up_to_date"]),
            inner,
            max_size=6,
        )
    ),
)


@given(
    st.sampled_from(["event", "diagnostic", "resumed", "bookmark", "poll"]),
    st.dictionaries(
        st.sampled_from(["envelope", "diagnostic", "cursor", "up_to_date", "kind"]), FRAME_JSON
    ),
)
def test_almost_frames_are_read_or_refused_and_what_is_read_can_be_sent(kind, rest):
    with contextlib.suppress(ProtocolMalformed):
        frame = ob.decode_frame(json.dumps({"kind": kind, **rest}))
        if not isinstance(frame, ob.UnknownFrame):
            assert ob.decode_frame(ob.encode_frame(frame)) is not None


def test_a_subject_is_named_as_in_a_url():
    assert str(ob.Subject(ob.SubjectKind.WORKER, "w")) == "worker/w"
    assert str(ob.Subject(ob.SubjectKind.SERVICE, "s", "r")) == "r/service/s"
