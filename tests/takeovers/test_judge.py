"""The judge of `make cluster` sees what it is there for."""

import pytest

from takeovers.checker import SLACK_S, Answer, Lane, Stream, judge
from yoi.journal.jetstream_server import NatsSettings


def a_run():
    """Return a stream and answers of a run in which a second machine took over, in good order."""
    stream = Stream(NatsSettings(("nats://127.0.0.1:1",)))
    stream.pids = {"s1": 11, "s2": 22}
    stream.owners = {("lane", 5): "s1", ("lane", 6): "s2"}
    stream.lanes["lane"] = Lane(
        accepted={"a.1": 1, "a.2": 2, "b.1": 3},
        handled=["a.1", "a.2"],
        dead={"b.1"},
        begun=[(100.0, 5), (200.0, 6)],
    )
    stream.notified["ops"] = [("lane", "a.1", "c")]
    answers = [Answer(101.0, 11, 1, 1), Answer(201.0, 22, 2, 2)]
    return stream, stream.lanes["lane"], answers


def test_good_order_is_good():
    stream, _, answers = a_run()
    found = judge(stream, {"lane": answers})
    assert (found["accepted"], found["owners"], found["notified"]) == (3, 2, 1)
    wrong = {key: value for key, value in found.items() if value}
    assert set(wrong) == {"accepted", "owners", "notified"}


def lost(stream, lane, answers):
    lane.dead.clear()


def reordered(stream, lane, answers):
    lane.handled.reverse()


def handled_twice(stream, lane, answers):
    lane.handled.append("a.2")


def effects_repeated(stream, lane, answers):
    answers.append(Answer(202.0, 22, 2, 3))


def count_went_back(stream, lane, answers):
    answers.append(Answer(202.0, 22, 3, 2))


def epochs_decreasing(stream, lane, answers):
    lane.begun[1] = (200.0, 4)
    stream.owners["lane", 4] = "s2"


def owners_unknown(stream, lane, answers):
    del stream.pids["s1"]


def notifies_repeated(stream, lane, answers):
    stream.notified["ops"] *= 2


def sends_by_stale_owner(stream, lane, answers):
    answers.append(Answer(200.0 + SLACK_S + 0.1, 11, 3, 3))


def unread(stream, lane, answers):
    lane.missed = 1


@pytest.mark.parametrize(
    "fault",
    [
        lost, reordered, handled_twice, effects_repeated, count_went_back, epochs_decreasing,
        owners_unknown, notifies_repeated, sends_by_stale_owner, unread,
    ],
)  # fmt: skip
def test_each_fault_is_seen(fault):
    stream, lane, answers = a_run()
    fault(stream, lane, answers)
    assert judge(stream, {"lane": answers})[fault.__name__] > 0
