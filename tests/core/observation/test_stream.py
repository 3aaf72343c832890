"""A stream by itself; test_model.py has its histories."""

import pytest
from tests.core.observation.model import KEYS, LIMITS, SUBJECT, All, AllView, Said

from yoi.core.observation import Feed, Framing, Stream
from yoi.errors import ProtocolMalformed
from yoi.limits import Limits
from yoi.protocol.cursors import CursorCodec, CursorFault, Position
from yoi.protocol.observation import Hop

EPOCH = b"epoch..1"


def made(limits: Limits = LIMITS, head: int = 0) -> Stream:
    return Stream(SUBJECT, AllView([]), EPOCH, limits, head=head)


@pytest.mark.parametrize("epoch", [b"", b"short", b"longer than eight"])
def test_an_epoch_that_a_cursor_could_not_hold_is_refused(epoch):
    with pytest.raises(ValueError, match="8 bytes"):
        Stream(SUBJECT, AllView([]), epoch)
    stream = made()
    with pytest.raises(ValueError, match="8 bytes"):
        stream.restart(AllView([]), epoch, "upstream_resync")


def test_an_incarnation_is_told_apart_from_the_one_before():
    stream = made()
    with pytest.raises(ValueError, match="of its own"):
        stream.restart(AllView([]), EPOCH, "upstream_resync")


def test_a_copy_goes_on_after_what_it_missed_in_the_numbers_of_its_origin():
    stream = made()
    stream.publish(Said(1, ""), b"{}")
    generation = stream.generation
    stream.rebase(AllView([]), Position(EPOCH, 9), "upstream_resync")
    assert stream.position == Position(EPOCH, 9)
    assert stream.generation > generation
    assert stream.judge(Position(EPOCH, 9)) is None
    assert stream.judge(Position(EPOCH, 1)) is CursorFault.EXPIRED
    assert stream.publish(Said(10, ""), b"{}") == 10


def test_a_stream_goes_on_from_a_stored_place():
    """A backend that restarts keeps its epoch: cursors of before are good or expired, not wrong."""
    stream = made(head=7)
    assert (stream.oldest, stream.head) == (8, 7)
    assert stream.judge(Position(EPOCH, 7)) is None
    assert stream.judge(Position(EPOCH, 6)) is CursorFault.EXPIRED
    assert stream.judge(Position(EPOCH, 8)) is CursorFault.FUTURE
    assert stream.publish(Said(1, ""), b"{}") == 8
    assert stream.held(8).event == Said(1, "")
    assert stream.snapshot_at(7) == All([])


def test_what_is_not_held_is_an_index_error():
    stream = made()
    for number in range(8):
        stream.publish(Said(number, ""), b"{}")
    for seq in (-1, 0, 1, 3, 9):
        with pytest.raises(IndexError):
            stream.held(seq)
    for seq in (0, 2, 9):
        with pytest.raises(IndexError):
            stream.snapshot_at(seq)


@pytest.mark.parametrize("every", [1, 2, 3, 5, 100])
def test_a_past_state_is_the_same_from_whichever_mark_it_is_folded(every):
    stream = made(Limits(observed_mark_events=every, observed_ring_events=7))
    said = [Said(number, "") for number in range(1, 21)]
    for count, event in enumerate(said, 1):
        stream.publish(event, b"{}")
        for seq in range(stream.oldest - 1, stream.head + 1):
            assert stream.snapshot_at(seq) == All(said[:seq])
        with pytest.raises(IndexError):
            stream.snapshot_at(stream.oldest - 2)
        assert count == stream.head
    stream.restart(AllView([]), b"another-", "upstream_resync")
    stream.publish(said[0], b"{}")
    assert stream.snapshot_at(0) == All([])


def test_an_event_larger_than_the_ring_is_held_alone():
    stream = made(Limits(observed_ring_bytes=10))
    stream.publish(Said(1, ""), b"x" * 8)
    stream.publish(Said(2, ""), b"x" * 100)
    assert (stream.oldest, stream.head, stream.ring_bytes) == (2, 2, 100)
    stream.publish(Said(3, ""), b"x")
    assert (stream.oldest, stream.ring_bytes) == (3, 1)


def test_listeners_hear_from_when_they_listen_until_they_are_dropped():
    class Ears:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def published(self, seq, held):
            self.heard.append(seq)

        def restarted(self, reason):
            self.heard.append(reason)

        def ended(self, reason):
            self.heard.append(reason)

    stream, early, late = made(), Ears(), Ears()
    stream.listen(early)
    stream.publish(Said(1, ""), b"{}")
    stream.listen(late)
    assert stream.listeners == 2
    stream.publish(Said(2, ""), b"{}")
    stream.drop(early)
    stream.drop(early)
    stream.restart(AllView([]), b"epoch..2", "upstream_resync")
    with pytest.raises(ProtocolMalformed):
        stream.publish(Said(0, "poison"), b"{}")
    stream.end("stream_closed")
    stream.end("shutdown")
    assert early.heard == [1, 2]
    assert late.heard == [2, "upstream_resync", "stream_closed"]
    assert stream.end_reason == "stream_closed"


def test_a_closed_feed_is_told_nothing_more():
    stream = made()
    feed = Feed(
        stream,
        SUBJECT,
        Hop.BACKEND,
        CursorCodec(KEYS, Hop.BACKEND, SUBJECT, "all"),
        Framing.WEBSOCKET,
        lambda event: event,
        lambda event: b"{}",
    )
    stream.publish(Said(1, ""), b"{}")
    feed.frame(1)
    feed.close()
    for number in range(10):
        stream.publish(Said(number, ""), b"{}")
    assert feed._frames.keys() == {1}
