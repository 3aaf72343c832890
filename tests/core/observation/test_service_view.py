"""A service's view: the latest status and recent diagnostics, within bounds, all or nothing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.observation.strategies import SERVICE_EVENTS

from yoi.core.observation.service_view import ServiceView
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol import service_events as sev
from yoi.protocol.events import MOST, UnknownEvent

SMALL = Limits(
    snapshot_diagnostics=3, snapshot_bytes=120, observed_aside_bytes=60, observed_depth=4
)


def tried(view: ServiceView, event: object) -> None:
    before = sev.encode_service_event(view.snapshot())
    try:
        view.apply(event)
    except ProtocolMalformed:
        assert sev.encode_service_event(view.snapshot()) == before


def said(**fields: object) -> sev.ServiceDiagnosed:
    return sev.ServiceDiagnosed(dict(fields))


@given(st.lists(SERVICE_EVENTS, max_size=15), st.lists(SERVICE_EVENTS, max_size=8))
def test_a_fold_goes_on_from_its_snapshot_and_from_a_copy(before, after):
    view = ServiceView({}, SMALL)
    for event in before:
        tried(view, event)
    shown = sev.decode_service_event(sev.encode_service_event(view.snapshot()))
    again, twin = ServiceView.of(shown, SMALL), view.copy()
    for event in after:
        assert again.snapshot() == twin.snapshot() == view.snapshot()
        for each in (view, again, twin):
            tried(each, event)
    assert again.snapshot() == twin.snapshot() == view.snapshot()


@given(st.lists(SERVICE_EVENTS, max_size=15), st.lists(SERVICE_EVENTS, max_size=8))
def test_a_copy_goes_its_own_way(before, after):
    view = ServiceView({}, SMALL)
    for event in before:
        tried(view, event)
    shown = sev.encode_service_event(view.snapshot())
    twin = view.copy()
    for event in after:
        tried(twin, event)
    assert sev.encode_service_event(view.snapshot()) == shown


@given(st.lists(SERVICE_EVENTS, max_size=30))
def test_a_snapshot_is_bounded_whatever_comes(events):
    view = ServiceView({}, SMALL)
    for event in events:
        tried(view, event)
    data = view.snapshot().data
    sizes = [len(msgspec.json.encode(entry)) for entry in data.diagnostics]
    assert len(sizes) <= SMALL.snapshot_diagnostics
    assert sum(sizes) <= SMALL.snapshot_bytes
    assert len(msgspec.json.encode(data.status)) <= SMALL.observed_aside_bytes


def test_the_oldest_diagnostics_make_room_and_are_counted():
    view = ServiceView({}, SMALL)
    for number in range(5):
        view.apply(said(n=number))
    data = view.snapshot().data
    assert data.diagnostics == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert data.left_out == 2
    view.apply(said(text="x" * 200))
    assert (view.snapshot().data.diagnostics, view.snapshot().data.left_out) == ([], 6)


def test_the_count_of_what_is_left_out_stays_one_that_every_reader_can_hold():
    data = sev.ServiceSnapshotData(status={}, diagnostics=[{}] * 4, left_out=MOST)
    assert ServiceView.of(sev.ServiceSnapshot(data), SMALL).snapshot().data.left_out == MOST


@pytest.mark.parametrize(
    "bad",
    [{"x": "y" * 100}, {"n": 10**5000}, {"t": "\ud800"}, {"deep": [[[[[1]]]]]}],
    ids=["large", "number", "surrogate", "deep"],
)
def test_a_status_that_cannot_be_held_or_passed_on_is_refused(bad):
    view = ServiceView({"a": 1}, SMALL)
    with pytest.raises(ProtocolMalformed):
        view.apply(sev.ServiceStatusChanged(sev.ServiceStatusData(status=bad)))
    with pytest.raises(ProtocolMalformed):
        view.apply(sev.ServiceSnapshot(sev.ServiceSnapshotData(status=bad, diagnostics=[])))
    assert view.snapshot().data.status == {"a": 1}
    if "x" not in bad:
        with pytest.raises(ProtocolMalformed):
            view.apply(sev.ServiceDiagnosed(bad))
    assert view.snapshot().data.diagnostics == []


def test_a_snapshot_replaces_all_and_the_unknown_and_the_end_nothing():
    view = ServiceView({"a": 1}, SMALL)
    view.apply(said(n=1))
    fresh = sev.ServiceSnapshot(
        sev.ServiceSnapshotData(status={"b": 2}, diagnostics=[{"n": 2}], left_out=7, redacted=True)
    )
    view.apply(fresh)
    view.apply(sev.ServiceStopped())
    view.apply(UnknownEvent("newer", msgspec.Raw(b"1")))
    assert view.snapshot() == fresh


def test_the_largest_parts_together_fit_one_event():
    limits = Limits()
    assert (
        limits.snapshot_bytes + limits.observed_aside_bytes + 64 * 1024
        <= limits.observed_event_bytes
    )
