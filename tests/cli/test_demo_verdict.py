"""The account of the demo: a frame is answered, explained by a gap, or unaccounted for."""

from hypothesis import given
from hypothesis import strategies as st

from yoi.cli.demo_verdict import Gap, settle
from yoi.limits import LIMITS


def report(*sent_ms, answered=0):
    return {
        "sent": answered + len(sent_ms),
        "answered": answered,
        "unanswered": [
            {"id": number, "sent_ms": at, "broke_ms": None} for number, at in enumerate(sent_ms)
        ],
    }


def test_every_frame_answered():
    verdict = settle(report(answered=7), [])
    assert (verdict.replies, verdict.unaccounted, verdict.sound) == (7, 0, True)


def test_a_frame_inside_a_gap_is_explained():
    verdict = settle(report(1000, 1500, 2000, answered=1), [Gap(1000, 2000)])
    assert (verdict.lost_in_gap, verdict.answers_lost, verdict.unaccounted) == (3, 0, 0)


def test_an_answer_under_way_when_the_connection_broke_is_counted_apart():
    verdict = settle(report(9_999), [Gap(10_000, 11_000)])
    assert (verdict.lost_in_gap, verdict.answers_lost, verdict.sound) == (0, 1, True)


def test_a_frame_long_before_or_after_any_gap_is_unaccounted():
    gap = Gap(10_000, 11_000)
    early, late = gap.since_ms - LIMITS.dispatch_ms - 1, gap.until_ms + 1
    verdict = settle(report(early, late), [gap])
    assert (verdict.unaccounted, verdict.sound) == (2, False)


def test_without_a_gap_nothing_is_explained():
    assert settle(report(1000), []).unaccounted == 1


def test_unanswered_frames_that_the_report_does_not_list_are_unaccounted():
    verdict = settle({"sent": 10, "answered": 5, "unanswered": []}, [Gap(0, 10**15)])
    assert verdict.unaccounted == 5


@given(
    st.lists(st.integers(0, 10_000)),
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000))),
)
def test_the_parts_always_add_up(sent, answered, gaps):
    verdict = settle(report(*sent, answered=answered), [Gap(*gap) for gap in gaps])
    assert verdict.frames == (
        verdict.replies + verdict.lost_in_gap + verdict.answers_lost + verdict.unaccounted
    )
