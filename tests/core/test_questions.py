"""Which message answers which question: every state, and what a hostile server may send."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.questions import Questions, QuestionState, Stray, _transition
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import Limits
from yoi.permissions import JsonPointer

ID, SEQ = JsonPointer.parse("/id"), JsonPointer.parse("/reply_to")
LIMITS = Limits(
    questions_per_session=4, questions_remembered=3, question_ms=10_000, question_memory_ms=5_000
)


def asked(*numbers, now=0.0):
    questions = Questions(LIMITS)
    for number in numbers:
        questions.require_room(ID, now)
        questions.asked(f"q{number}", ID, number, now)
    return questions


def test_the_first_message_with_the_number_answers_and_no_second():
    questions = asked(1, 2)
    assert questions.answered({ID: 2}, 2, 1.0) == "q2"
    assert questions.answered({ID: 2}, 2, 1.0) is Stray.REPEATED
    assert questions.answered({ID: 1}, 2, 1.0) == "q1"
    assert questions.open == ()


@pytest.mark.parametrize("value", ["1", 1.5, True, [1], {"id": 1}, 3, 0, -1, 2**53, 2**70, inf])
def test_what_is_no_number_of_the_session_answers_nothing(value):
    questions = asked(1, 2)
    assert questions.answered({ID: value}, 2, 1.0) is Stray.UNKNOWN
    assert questions.open == ("q1", "q2")


def test_a_number_that_was_no_question_and_no_number_are_ordinary():
    questions = asked(2)
    assert questions.answered({ID: 1}, 3, 0.0) is None  # a heartbeat's
    assert questions.answered({ID: None}, 3, 0.0) is None
    assert questions.answered({}, 3, 0.0) is None
    assert questions.answered({ID: 2.0}, 3, 0.0) == "q2"


def test_numbers_that_are_written_as_text_are_compared_as_text():
    questions = Questions(LIMITS)
    for number in (1, 3):
        questions.asked(f"q{number}", ID, f"r{number}", 0.0)
    assert questions.answered({ID: "r2"}, 3, 0.0) is None  # a heartbeat's
    for value in (3.5, "r4", "r0", "3", "r03 ", "r-1", "x3", "r" + "9" * 5000, "r", ""):
        assert questions.answered({ID: value}, 3, 0.0) is Stray.UNKNOWN
    assert questions.answered({ID: "r3"}, 3, 0.0) == "q3"
    assert questions.answered({ID: "r3"}, 3, 0.0) is Stray.REPEATED


def test_each_question_has_its_own_place():
    questions = asked(1)
    questions.asked("q2", SEQ, 2, 0.0)
    assert questions.places == (ID, SEQ)
    assert questions.answered({SEQ: 1}, 2, 0.0) is None
    assert questions.answered({ID: 1, SEQ: 2}, 2, 0.0) == "q1"
    assert questions.answered({ID: 1, SEQ: 2}, 2, 0.0) == "q2"


def test_an_answer_after_the_deadline_is_late():
    questions = asked(1)
    assert questions.answered({ID: 1}, 1, 10.0) is Stray.LATE
    assert questions.open == ()


def test_what_was_given_up_is_late():
    questions = asked(1, 2)
    questions.give_up("q1", 1.0)
    questions.give_up("q1", 1.0)
    questions.give_up("another plugin's", 1.0)
    assert questions.answered({ID: 1}, 2, 1.0) is Stray.LATE
    questions.give_up_all(1.0)
    assert questions.answered({ID: 2}, 2, 1.0) is Stray.LATE


def test_an_id_that_is_asked_again_is_another_question():
    questions = asked(1)
    questions.asked("q1", ID, 2, 0.0)
    assert questions.open == ("q1",)
    assert questions.answered({ID: 1}, 2, 0.0) is Stray.LATE
    assert questions.answered({ID: 2}, 2, 0.0) == "q1"


def test_the_open_are_bounded_and_the_ended_forgotten():
    questions = asked(1, 2, 3, 4)
    with pytest.raises(ConnectionFailure) as refused:
        questions.require_room(ID, 0.0)
    assert refused.value.code == "connection.questions"
    questions.require_room(ID, 10.0)  # all are late by now
    assert questions.answered({ID: 1}, 4, 10.0) is None  # three are remembered
    assert questions.answered({ID: 2}, 4, 10.0) is Stray.LATE
    assert questions.places == (ID,)
    assert questions.answered({ID: 2}, 4, 15.0) is None
    assert questions.places == ()  # nothing is read any more


def test_the_places_are_bounded():
    """Each makes the host look at another place of every frame."""
    questions = Questions(Limits())
    places = [JsonPointer.parse(f"/{n}") for n in range(Limits().question_places)]
    for number, at in enumerate(places, 1):
        questions.require_room(at, 0.0)
        questions.asked(f"q{number}", at, number, 0.0)
    questions.require_room(places[0], 0.0)
    with pytest.raises(ConnectionFailure) as refused:
        questions.require_room(ID, 0.0)
    assert refused.value.code == "connection.questions"


def test_no_other_transition():
    questions = asked(1)
    question = questions._open["q1"]
    _transition(question, QuestionState.ANSWERED)
    for state in QuestionState:
        with pytest.raises(YoiError):
            _transition(question, state)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "give up", "wait"]),
        st.integers(min_value=1, max_value=12),
    ),
    max_size=80,
)


@given(_STEPS)
def test_no_question_has_two_answers_and_everything_is_bounded(steps):
    questions = Questions(LIMITS)
    drawn, now = 0, 0.0
    answers: list[str] = []
    for what, number in steps:
        match what:
            case "ask":
                try:
                    questions.require_room(ID, now)
                except ConnectionFailure:
                    continue
                drawn += 1
                questions.asked(f"q{drawn}", ID, drawn, now)
            case "answer":
                before = questions.open
                found = questions.answered({ID: number}, drawn, now)
                if isinstance(found, str):
                    assert found == f"q{number}"
                    assert found in before
                    answers.append(found)
            case "give up":
                questions.give_up(f"q{number}", now)
            case "wait":
                now += number
        assert len(questions.open) <= 4
        assert len(questions._by_number) <= 4 + 3
    assert len(answers) == len(set(answers))
