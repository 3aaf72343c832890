"""What is fuzzed: each target runs one round of examples from a seed and raises what it finds."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from tests.core.observation.model import ObservationMachine
from tests.core.observation.strategies import EVENTS, SERVICE_EVENTS
from tests.workers.test_interleavings import OPS
from tests.workers.test_watching import WatchedSimulation

from yoi.core.observation import ServiceView, WorkerView
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.protocol import observation as ob
from yoi.protocol import service_events as sev
from yoi.protocol.cursors import CursorCodec, CursorFault, CursorKeys, Position

Target = Callable[[int, int], None]
"""Runs about so many examples from a seed."""

SMALL = Limits(
    snapshot_entries=4,
    snapshot_bytes=500,
    snapshot_alerts=2,
    snapshot_diagnostics=3,
    observed_inflight_bytes=900,
    observed_aside_bytes=500,
    observed_depth=6,
)
GREETING = ev.Greeting(worker_name="w", provider="p", model="m", tools=["t"])
KEYS = CursorKeys(b"new.", {b"new.": b"n" * 32, b"old.": b"o" * 32})
SUBJECT = ob.Subject(ob.SubjectKind.WORKER, "w", "r")
CODEC = CursorCodec(KEYS, ob.Hop.BACKEND, SUBJECT, "all")
# Shrinking histories of workers takes minutes each; the seed finds them again.
_UNSHRUNK = (Phase.generate,)
_ALL = (Phase.generate, Phase.target, Phase.shrink)


def _settings(examples: int, phases: tuple[Phase, ...] = _ALL) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        stateful_step_count=80,
    )


def _run(strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> Target:
    def target(number: int, examples: int) -> None:
        @seed(number)
        @_settings(examples)
        @given(strategy)
        def round_of(value: Any) -> None:
            check(value)

        round_of()

    return target


_SCRAPS = [b'"', b"{", b"[", b"\\ud800", b"1e999", b"\xff", b"0" * 50, b"9" * 5000]
_CUTS = st.tuples(
    st.sampled_from(["flip", "cut", "drop", "double", "insert", "splice"]),
    st.integers(0),
    st.integers(0),
    st.binary(max_size=4) | st.sampled_from(_SCRAPS),
)


def damaged(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for `valid` bytes with up to six accidents."""

    def damage(data: bytes, cuts: list[tuple[str, int, int, bytes]]) -> bytes:
        for how, first, second, more in cuts:
            if not data:
                return more
            at, to = sorted((first % len(data), second % len(data)))
            match how:
                case "flip":
                    data = data[:at] + bytes([data[at] ^ (1 << second % 8)]) + data[at + 1 :]
                case "cut":
                    data = data[:at]
                case "drop":
                    data = data[:at] + data[to:]
                case "double":
                    data = data[:to] + data[at:to] * 3 + data[to:]
                case "insert":
                    data = data[:at] + more + data[at:]
                case _:
                    data = data[to:] + data[:at]
        return data

    return st.builds(damage, valid, st.lists(_CUTS, max_size=6))


def _frame(payload: bytes, suffix: str) -> bytes:
    envelope = ob.Envelope(
        cursor=CODEC.encode(b"e" * 8, 7),
        event_id="e-7" + suffix,
        payload=msgspec.Raw(payload),
        runtime_id="r",
        worker_id="w",
    )
    return ob.encode_frame(ob.EventFrame(envelope))


FRAMES = st.one_of(
    st.builds(_frame, EVENTS.map(ev.encode_event), st.sampled_from(["", ".s"])),
    st.sampled_from(sorted(ob.OBSERVATION_CODES)).map(
        lambda name: ob.encode_frame(
            ob.DiagnosticFrame(ob.observation_diagnostic(ob.Hop.RUNTIME, name))
        )
    ),
    st.sampled_from([ob.ResumedFrame("c"), ob.BookmarkFrame("c", up_to_date=False)]).map(
        ob.encode_frame
    ),
)


def _check_frame(data: bytes) -> None:
    """A frame is refused, or can be sent on; its payload is refused, unread, or can be folded."""
    with contextlib.suppress(ProtocolMalformed):
        frame = ob.decode_frame(data)
        if not isinstance(frame, ob.UnknownFrame):
            ob.decode_frame(ob.encode_frame(frame))
        if isinstance(frame, ob.EventFrame):
            _check_event(bytes(frame.envelope.payload))


def _check_event(data: bytes) -> None:
    with contextlib.suppress(ProtocolMalformed):
        event = ev.decode_event(data)
        view = WorkerView(GREETING, SMALL)
        with contextlib.suppress(ProtocolMalformed):
            view.apply(event)
        again = ev.decode_event(ev.encode_event(view.snapshot()))
        assert isinstance(again, ev.Snapshot)
        assert WorkerView.of(again, SMALL).snapshot() == view.snapshot()


def _check_service_event(data: bytes) -> None:
    with contextlib.suppress(ProtocolMalformed):
        event = sev.decode_service_event(data)
        view = ServiceView({}, SMALL)
        with contextlib.suppress(ProtocolMalformed):
            view.apply(event)
        again = sev.decode_service_event(sev.encode_service_event(view.snapshot()))
        assert isinstance(again, sev.ServiceSnapshot)
        assert ServiceView.of(again, SMALL).snapshot() == view.snapshot()


CURSORS = st.builds(CODEC.encode, st.binary(min_size=8, max_size=8), st.integers(0, 2**64 - 1))


def _check_cursor(pair: tuple[str, bytes]) -> None:
    """No damage makes a place of another: it is the cursor itself, or it is none."""
    cursor, data = pair
    text = data.decode("latin-1")
    read = CODEC.decode(text)
    if text == cursor:
        assert isinstance(read, Position)
    else:
        assert read in (CursorFault.MALFORMED, CursorFault.KEY_UNKNOWN)


def _check_fold(events: tuple[list[Any], list[Any]]) -> None:
    """Split anywhere, over the wire, all or nothing, within bounds."""
    before, after = events
    view = WorkerView(GREETING, SMALL)
    for event in before:
        _apply(view, event)
    shown = ev.decode_event(ev.encode_event(view.snapshot()))
    assert isinstance(shown, ev.Snapshot)
    again, twin = WorkerView.of(shown, SMALL), view.copy()
    for event in after:
        for each in (view, again, twin):
            _apply(each, event)
        assert view.snapshot() == again.snapshot() == twin.snapshot()
        assert len(ev.encode_event(view.snapshot())) < 500 + 900 + 500 + 400


def _apply(view: WorkerView, event: Any) -> None:
    before = ev.encode_event(view.snapshot())
    try:
        view.apply(event)
    except ProtocolMalformed:
        assert ev.encode_event(view.snapshot()) == before


def _model(number: int, examples: int) -> None:
    @seed(number)
    class Machine(ObservationMachine):
        pass

    run_state_machine_as_test(Machine, settings=_settings(examples))


def _workers(number: int, examples: int) -> None:
    @seed(number)
    @_settings(examples, _UNSHRUNK)
    @given(
        st.integers(0, 2**32),
        st.lists(st.tuples(OPS | st.just("fault"), st.integers(0, 40)), min_size=5, max_size=60),
    )
    def lives(life: int, ops: list[tuple[str, int]]) -> None:
        asyncio.run(WatchedSimulation(life).live(ops))

    lives()


TARGETS: dict[str, tuple[Target, int]] = {
    "model": (_model, 150),
    "folds": (_run(st.tuples(st.lists(EVENTS), st.lists(EVENTS)), _check_fold), 300),
    "workers": (_workers, 150),
    "frames": (_run(damaged(FRAMES), _check_frame), 1500),
    "events": (_run(damaged(EVENTS.map(ev.encode_event)), _check_event), 1500),
    "service_events": (
        _run(damaged(SERVICE_EVENTS.map(sev.encode_service_event)), _check_service_event),
        1500,
    ),
    "cursors": (
        _run(
            CURSORS.flatmap(lambda text: st.tuples(st.just(text), damaged(st.just(text.encode())))),
            _check_cursor,
        ),
        1000,
    ),
}
"""Each with the examples of one round, which takes seconds."""
