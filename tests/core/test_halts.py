"""What ends a connection for good, what revives it, and how failed dials are judged."""

import dataclasses

import pytest
from tests.core.test_connection import CLEAN, SETTINGS, machine, only, opened

from yoi.core.connection_state import ConnectionState
from yoi.core.halts import HOW, REVIVED_BY, WHY, Change, Halt, HaltJudge
from yoi.core.session_effects import CloseCurrent, Dial, End, Failed, Timer
from yoi.errors import ConnectionFailure, PermissionDenied
from yoi.limits import LIMITS
from yoi.types import SessionId


def answered(status):
    return ConnectionFailure("connection.handshake", f"{status}", hint="see", status=status)


def test_each_end_has_words_and_a_person_can_change_each():
    assert set(REVIVED_BY) == set(WHY) == set(Halt)
    assert set(HOW) == set(Change)
    assert all(Change.PERSON in changes for changes in REVIVED_BY.values())


@pytest.mark.parametrize("status", [401, 403])
def test_a_few_refusals_of_the_credentials_end_it(status):
    answers = HaltJudge(SETTINGS, LIMITS)
    refused = answered(status)
    for _ in range(LIMITS.unauthorised_dials - 1):
        assert answers.judge_dial(refused) == (None, refused)
    halt, error = answers.judge_dial(refused)
    assert (halt, error.code, error.fields["status"]) == (
        Halt.UNAUTHORISED, "connection.unauthorised", status,
    )  # fmt: skip
    assert error.hint == "see"


@pytest.mark.parametrize("between", [200, 404, 503])
def test_other_answers_between_refusals_begin_nothing_anew(between):
    answers = HaltJudge(SETTINGS, LIMITS)
    statuses = [401, between, 403, between] * LIMITS.unauthorised_dials
    ends = [answers.judge_dial(answered(status))[0] for status in statuses]
    assert ends.index(Halt.UNAUTHORISED) == 2 * LIMITS.unauthorised_dials - 2


def test_what_went_well_or_changed_begins_the_count_anew():
    answers = HaltJudge(SETTINGS, LIMITS)
    for _ in range(3):
        for _ in range(LIMITS.unauthorised_dials - 1):
            assert answers.judge_dial(answered(401))[0] is None
        answers.forget()


def test_other_statuses_are_tried_again_unless_the_manifest_says_so():
    answers = HaltJudge(dataclasses.replace(SETTINGS, fatal_statuses=frozenset({410, 503})), LIMITS)
    for status in (404, 429, 500):
        assert [answers.judge_dial(answered(status))[0] for _ in range(20)] == [None] * 20
    assert answers.judge_dial(answered(410))[0] is Halt.FATAL_STATUS
    assert answers.judge_dial(answered(503))[1].code == "connection.fatal_status"
    assert answers.judge_dial(PermissionDenied("denied.not_granted", "no"))[0] is Halt.DENIED


def test_a_halted_connection_says_so_until_it_is_started_again():
    made = machine(fatal_statuses=frozenset({410}))
    made.start(0.0)
    (failed,) = made.dial_failed(1.0, answered(410))
    assert (made.state, made.halt) == (ConnectionState.FAILED, Halt.FATAL_STATUS)
    assert failed == Failed(failed.error, None)
    assert made.start(2.0) == [Dial()]
    assert made.halt is None


def test_a_stop_has_the_reason_it_was_made_for():
    made = opened()
    made.stop(1.0, 1012, "no longer allowed", Halt.DENIED)
    made.ended(1.0, CLEAN, 0, 1.0)
    assert (made.state, made.halt) == (ConnectionState.STOPPED, Halt.DENIED)


def test_a_person_ends_what_is_open_and_waits_for_no_pause():
    made = opened()
    assert only(made.demanded(1.0), CloseCurrent)
    effects = made.ended(1.5, CLEAN, 0, 1.5)
    assert made.retry_at == 1.5
    assert not only(effects, Failed)
    for _ in range(9):
        made.timer_fired(Timer.RETRY, 99.0, 0.0)
        made.dial_failed(99.0, answered(500))
    assert made.failures > 0
    assert Dial() in made.demanded(100.0)
    assert made.failures == 0


def test_a_person_who_asks_while_it_closes_for_good_has_it_dialled():
    made = opened()
    made.stop(1.0, 1000, "")
    assert made.demanded(1.1) == []
    made.ended(1.2, CLEAN, 0, 1.2)
    assert (made.state, made.retry_at) == (ConnectionState.WAITING, 1.2)


TOO_BIG = ConnectionFailure(
    "connection.too_big", "a message has 9 bytes", hint="max_message_bytes = 9", size=9, allowed=8
)
OVERSIZED = End(1009, "", False, TOO_BIG)


def end_of_a_session(made, number, end, lived_s=1.0):
    at = made.retry_at or 0.0
    made.timer_fired(Timer.RETRY, at, 0.0)
    made.dialled(at, SessionId(f"s{number}"), None, "192.0.2.1:443")
    return made.ended(at + lived_s, end, 1, at + lived_s)


def test_messages_over_the_grant_end_it_after_a_few_sessions_and_name_the_key():
    made = machine()
    made.start(0.0)
    for number in range(LIMITS.oversized_sessions):
        assert made.halt is None
        effects = end_of_a_session(made, number, OVERSIZED)
    assert (made.state, made.halt) == (ConnectionState.FAILED, Halt.OVERSIZED)
    (failed,) = only(effects, Failed)
    assert (failed.error.code, failed.retry_in_ms) == ("connection.oversized", None)
    assert failed.error.hint == TOO_BIG.hint
    assert failed.error.fields["size"] == 9
    assert Dial() in made.start(99.0)
    assert end_of_a_session(made, 9, OVERSIZED)
    assert made.state is ConnectionState.WAITING  # the count begins anew


@pytest.mark.parametrize(("end", "lived_s"), [(CLEAN, 1.0), (OVERSIZED, 3_601.0)])
def test_a_session_that_went_otherwise_or_well_for_long_is_not_one_of_the_row(end, lived_s):
    made = machine()
    made.start(0.0)
    for number in range(LIMITS.oversized_sessions * 3):
        end_of_a_session(made, number, *((end, lived_s) if number % 2 else (OVERSIZED, 1.0)))
        assert made.halt is None
