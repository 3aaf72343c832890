"""A feed by itself: each frame made once, shared, and never of another incarnation."""

import msgspec
import pytest
from tests.core.observation.model import All, Said, hiding, redacted
from tests.core.observation.rooms import Room
from tests.core.observation.wires import read_frames

from yoi.core.observation import Feed, Follower, Framing
from yoi.limits import Limits
from yoi.protocol.observation import (
    BookmarkFrame,
    EventFrame,
    Hop,
    SubjectKind,
    encode_frame,
)


def test_five_hundred_followers_share_one_frame():
    room = Room()
    followers = [Follower(room.feed, 0.0) for _ in range(500)]
    assert len({id(follower.open(None, 0.0)) for follower in followers}) == 1
    room.publish("a")
    assert len({id(follower.pull(0.0, 1000)) for follower in followers}) == 1
    room.publish("b", "c", "d")
    assert len({id(follower.pull(0.0, 10_000)) for follower in followers}) == 1
    assert room.projected == [All([]), *(Said(n, w) for n, w in enumerate("abcd", 1))]


def test_all_who_ask_for_one_past_state_share_one_snapshot():
    room = Room()
    room.publish("a", "b", "c")
    states = [
        Follower(room.feed, 0.0).open(room.feed.cursor(2), 0.0, snapshot_always=True)
        for _ in range(50)
    ]
    assert room.places(states[0]) == [2, 2]
    assert len(set(states)) == 1
    assert len(room.projected) == 1


def test_followers_at_two_places_do_not_drive_out_each_others_frames():
    room = Room()
    early, late = Follower(room.feed, 0.0), Follower(room.feed, 0.0)
    early.open(None, 0.0)
    room.publish("a")
    late.open(None, 0.0)
    room.publish("b", "c")
    spans = [room.feed.span(first, 10_000)[0] for first in (1, 2, 1, 2)]
    assert spans[0] is spans[2]
    assert spans[1] is spans[3]


def test_joined_frames_are_kept_for_a_few_places_only():
    room = Room()
    room.publish(*"abcdefghij")
    for first in range(1, 11):
        assert room.places(room.feed.span(first, 10_000)[0]) == list(range(first, 11))
        assert len(room.feed._spans) <= 4


def test_a_small_budget_is_kept_beside_a_large_one():
    room = Room()
    room.publish(*"abcdef")
    frame = len(room.feed.frame(1))
    assert room.places(room.feed.span(1, 10_000)[0]) == [1, 2, 3, 4, 5, 6]
    assert room.places(room.feed.span(1, 2 * frame)[0]) == [1, 2]
    assert room.places(room.feed.span(1, 2 * frame - 1)[0]) == [1]
    assert room.places(room.feed.span(1, 1)[0]) == [1]


def test_what_is_hidden_takes_no_room_and_hides_no_progress():
    """A frame over the budget after hidden events is handed over, not waited for."""
    room = Room(hiding)
    room.publish("", "", "", "x" * 100)
    data, last = room.feed.span(3, 1)
    assert (room.places(data), last) == ([4], 4)
    room.publish("", "")
    assert room.feed.span(6, 1) == (b"", 6)


def test_nothing_of_one_incarnation_is_shown_in_the_next():
    room = Room()
    room.publish("a", "b", "c")
    room.feed.snapshot(), room.feed.snapshot_at(1), room.feed.span(1, 10_000), room.feed.frame(1)
    room.feed.bookmark(1, up_to_date=True)
    room.restart()
    room.publish("d", "e", "f")
    for data in (
        room.feed.frame(1),
        room.feed.snapshot(),
        room.feed.snapshot_at(1),
        room.feed.span(1, 10_000)[0],
        room.feed.bookmark(1, up_to_date=True),
    ):
        room.places(data)
    room.restart(b"epoch..3")
    room.places(room.feed.snapshot())
    with pytest.raises(IndexError):
        room.feed.frame(1)


def test_a_span_grows_with_the_stream():
    room = Room()
    room.publish("a", "b")
    assert room.places(room.feed.span(1, 10_000)[0]) == [1, 2]
    room.publish("c")
    assert room.places(room.feed.span(1, 10_000)[0]) == [1, 2, 3]


def test_an_untouched_event_keeps_its_bytes_and_a_redacted_one_is_written_again():
    room = Room(redacted)
    raw = b'{ "n" : 1, "words" : "", "newer" : true }'
    room.stream.publish(Said(1, ""), raw)
    room.publish("secret")
    assert raw in room.feed.frame(1)
    assert b"secret" not in room.feed.frame(2)
    assert b"secret" not in room.feed.snapshot()
    assert b"secret" not in room.feed.snapshot_at(1)


def test_a_policy_may_not_hide_a_snapshot():
    """Nothing could follow it. The front refuses such an observer before."""
    room = Room(lambda event: None)
    with pytest.raises(LookupError):
        room.feed.snapshot()


def test_an_envelope_names_its_subject_and_only_that():
    for names in (
        {"kind": SubjectKind.WORKER, "name": 'w"\\\n%s%b', "runtime_id": "r{}"},
        {"kind": SubjectKind.SERVICE, "name": "ä%%", "runtime_id": ""},
    ):
        room = Room(**names)
        room.publish("%b %s")
        ((frame, _),) = read_frames(Framing.WEBSOCKET, room.feed.frame(1))
        assert isinstance(frame, EventFrame)
        envelope = frame.envelope
        worker = names["kind"] is SubjectKind.WORKER
        assert envelope.worker_id == (names["name"] if worker else "")
        assert envelope.service_id == ("" if worker else names["name"])
        assert envelope.runtime_id == names["runtime_id"]
        assert msgspec.json.decode(envelope.payload, type=Said) == Said(1, "%b %s")


def test_the_frame_written_out_is_the_frame_of_the_protocol():
    room = Room()
    room.publish("a")
    data = room.feed.frame(1)
    ((frame, _),) = read_frames(Framing.WEBSOCKET, data)
    assert msgspec.json.decode(encode_frame(frame)) == msgspec.json.decode(data[4:])
    ((mark, _),) = read_frames(Framing.WEBSOCKET, room.feed.bookmark(1, up_to_date=False))
    assert mark == BookmarkFrame(room.feed.cursor(1), up_to_date=False)


def test_fresh_snapshots_are_counted_by_their_reason():
    counted: list[str] = []
    room = Room(limits=Limits(observed_ring_events=1))
    feed = Feed(
        room.stream,
        room.stream.subject,
        Hop.BACKEND,
        room.codec,
        Framing.SSE,
        lambda e: e,
        msgspec.json.encode,
        counted.append,
    )
    follower = Follower(feed, 0.0)
    follower.open(None, 0.0)
    room.publish(*"abc")
    follower.pull(0.0, 1000)
    room.restart()
    follower.pull(0.0, 1000)
    assert counted == ["lagged", "upstream_resync"]
