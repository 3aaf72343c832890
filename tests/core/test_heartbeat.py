import pytest

from yoi.core.heartbeat import Beat, Heartbeat, HeartbeatSpec


def beating(acknowledged=True):
    return Heartbeat(0.0, every_ms=10_000, first_ms=4_000, acknowledged=acknowledged)


def test_the_first_comes_early_and_none_drifts():
    heart = beating(acknowledged=False)
    assert heart.wait_ms(0.0) == 4_000
    assert heart.due(4.5, False) == (Beat.SEND, 500)
    heart.sent(False)
    # Late by half a second; the next one is not.
    assert heart.wait_ms(4.5) == 9_500
    assert heart.due(14.0, False) == (Beat.SEND, 0)


def test_what_was_missed_is_not_made_up_for():
    """A host that slept sends one, not a hundred."""
    heart = beating(acknowledged=False)
    assert heart.due(1004.0, False) == (Beat.SEND, 1_000_000)
    assert heart.wait_ms(1004.0) == 10_000


def test_a_heartbeat_that_nobody_answers_ends_the_session_when_the_next_is_due():
    heart = beating()
    heart.due(4.0, False)
    heart.sent(False)
    heart.acked(5.0)
    assert heart.last_ack == 5.0
    assert heart.due(14.0, False)[0] is Beat.SEND
    heart.sent(False)
    assert heart.due(24.0, False)[0] is Beat.DEAD


def test_both_clocks_rest_while_reading_is_paused():
    heart = beating()
    heart.due(4.0, False)
    heart.sent(False)
    heart.paused()
    # Paused and resumed: the answer may have been held back.
    assert heart.due(14.0, False)[0] is Beat.SEND
    heart.sent(True)
    assert heart.due(24.0, True)[0] is Beat.SEND
    heart.sent(False)
    assert heart.due(34.0, False)[0] is Beat.DEAD


def test_one_that_could_not_be_sent_is_not_waited_for():
    heart = beating()
    heart.due(4.0, False)
    assert heart.due(14.0, False)[0] is Beat.SEND


@pytest.mark.parametrize(
    ("every", "first"), [(999, None), (3_600_001, None), (1000, -1), (1000, 3_600_001)]
)
def test_a_heartbeat_faster_than_the_bound_is_refused(every, first):
    with pytest.raises(ValueError, match="heartbeat"):
        HeartbeatSpec(every_ms=every, first_ms=first, render=lambda last: "")
