"""The judge of `make cluster` sees what it is there for."""

import pytest

from takeovers.checker import SLACK_S, Lane, Stream, judge
from takeovers.records import Answer, Signing
from yoi.journal.jetstream_server import NatsSettings


class Noted:
    def __init__(self, answers, signing=None):
        self.answers, self.signing, self.tells = answers, signing, True


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
    found = judge(stream, {"lane": Noted(answers)})
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


def notifies_lost(stream, lane, answers):
    lane.accepted["b.2"] = 20
    lane.handled.append("b.2")


def sends_by_stale_owner(stream, lane, answers):
    answers.append(Answer(200.0 + SLACK_S + 0.1, 11, 3, 3))


def unread(stream, lane, answers):
    lane.missed = 1


@pytest.mark.parametrize(
    "fault",
    [
        lost, reordered, handled_twice, effects_repeated, count_went_back, epochs_decreasing,
        owners_unknown, notifies_repeated, sends_by_stale_owner, unread, notifies_lost,
    ],
)  # fmt: skip
def test_each_fault_is_seen(fault):
    stream, lane, answers = a_run()
    fault(stream, lane, answers)
    assert judge(stream, {"lane": Noted(answers)})[fault.__name__] > 0


def test_what_is_held_on_its_way_was_sent_before():
    stream, lane, answers = a_run()
    # Sent by the first owner before it ended its socket, and heard after the second one's.
    lane.accepted["b.2"] = 4
    lane.handled.append("b.2")
    answers[:] = [Answer(101.0, 11, 1, 1), Answer(201.0, 22, 4, 3), Answer(150.0, 11, 2, 2)]
    found = judge(stream, {"lane": Noted(answers)})
    assert not found["count_went_back"]
    assert not found["sends_by_stale_owner"]


def test_what_is_merged_counts_from_when_it_was_first_sent():
    stream, _, _ = a_run()
    answers = [
        # The first socket's were held, and arrive while the second repeats them.
        Answer(201.0, 11, 5, 5),
        Answer(150.0, 11, 5, 5, merged=True),
        Answer(150.0, 11, 6, 6),
        Answer(201.1, 11, 6, 6, merged=True),
    ]
    assert not judge(stream, {"lane": Noted(answers)})["count_went_back"]
    answers.append(Answer(202.0, 11, 7, 5))
    assert judge(stream, {"lane": Noted(answers)})["count_went_back"] == 1


def signed_in():
    """Return the account of a session in good order."""
    signing = Signing()
    signing.began(acknowledged=False)
    for number, nonce in ((1, "n1"), (2, "n2")):
        signing.said(number)
        assert not signing.answered(number, nonce)
    return signing


def identifies_unneeded(signing):
    signing.began(acknowledged=True)


def resumed_wrongly(signing):
    signing.resumed_wrongly += 1


def unanswered(signing):
    signing.said(3)
    signing.began(acknowledged=True)


def answered_twice(signing):
    signing.answered(1, "another")


@pytest.mark.parametrize(
    "fault", [identifies_unneeded, resumed_wrongly, unanswered, answered_twice]
)
def test_each_fault_of_a_session_is_seen(fault):
    stream, _, answers = a_run()
    signing = signed_in()
    fault(signing)
    assert judge(stream, {"lane": Noted(answers, signing)})[fault.__name__] > 0


def test_an_answer_that_is_repeated_under_its_nonce_is_merged():
    stream, _, answers = a_run()
    signing = signed_in()
    assert signing.answered(2, "n2")
    answers.append(Answer(202.0, 22, 2, 2, merged=True))
    # Said within a session of which no client had heard yet: it ends with that session.
    fresh = Signing()
    fresh.began(acknowledged=False)
    fresh.said(1)
    fresh.began(acknowledged=False)
    found = judge(stream, {"lane": Noted(answers, signing), "other": Noted([], fresh)})
    assert found["merged"] == 1
    assert not any(found[key] for key in ("answered_twice", "effects_repeated", "unanswered"))
