"""The state a stream adds up to, for either kind of subject."""

from msgspec.json import encode
from tests.client.frames import snapshot

from yoi.client import Event, FoldedView, Snapshot
from yoi.protocol.board_events import (
    BoardItem,
    BoardSnapshot,
    BoardSnapshotData,
    TicketChanged,
)
from yoi.protocol.events import TextData, TextDelta, decode_event
from yoi.protocol.service_events import (
    ServiceSnapshot,
    ServiceSnapshotData,
    ServiceStatusChanged,
    ServiceStatusData,
)


def test_nothing_is_known_before_a_snapshot():
    view = FoldedView()
    view.apply(Event(TextDelta(TextData(text="x")), "c", "e-1", b""))
    assert view.snapshot() is None


def test_a_worker_is_folded_and_a_snapshot_replaces_all():
    view = FoldedView()
    view.begin(Snapshot(decode_event(encode(snapshot("a"))), "c", "e-1.s", b""))
    view.apply(Event(TextDelta(TextData(text="x")), "c", "e-2", b""))
    assert view.snapshot().data.in_flight.blocks[0].text == "x"
    view.begin(Snapshot(decode_event(encode(snapshot())), "c", "e-3.s", b""))
    assert (view.snapshot().data.in_flight, view.snapshot().data.entries) == (None, [])


def test_a_service_is_folded():
    view = FoldedView()
    first = ServiceSnapshot(ServiceSnapshotData(status={"n": 1}, diagnostics=[]))
    view.begin(Snapshot(first, "c", "e-1.s", b""))
    view.apply(Event(ServiceStatusChanged(ServiceStatusData(status={"n": 2})), "c", "e-2", b""))
    assert view.snapshot().data.status == {"n": 2}


def test_a_board_is_folded():
    view = FoldedView()
    first = BoardSnapshot(BoardSnapshotData(items=[BoardItem(id="a")], entries=[]))
    view.begin(Snapshot(first, "c", "e-1.s", b""))
    view.apply(Event(TicketChanged(BoardItem(id="a", state="queued")), "c", "e-2", b""))
    assert [one.state for one in view.snapshot().data.items] == ["queued"]
