"""A pairing code: once, in time, within its tries, and ordinary words cost nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.pairing import ALPHABET, Heard, Offer, State, new_code, spoken_code

CODE, WRONG = "K7QF-2M9P", "K7QF-2M9Q"


def offer(tries=3):
    return Offer(CODE, until=600.0, tries=tries)


@pytest.mark.parametrize(
    "text", [CODE, f"  {CODE.lower()} ", f"@bot {CODE}", f"/start {CODE} please"]
)
def test_who_says_it_is_let_in_once(text):
    one = offer()
    assert one.hear(text, 599.0) is Heard.RIGHT
    assert (one.state, one.hear(text, 599.0)) == (State.TAKEN, Heard.NOTHING)


def test_too_late_and_too_often():
    late = offer()
    assert late.hear(CODE, 600.0) is Heard.NOTHING
    assert late.state is State.EXPIRED
    tried = offer(2)
    assert [tried.hear(WRONG, 0.0) for _ in range(2)] == [Heard.WRONG] * 2
    assert (tried.state, tried.hear(CODE, 0.0)) == (State.EXHAUSTED, Heard.NOTHING)


@given(st.text(max_size=200))
def test_ordinary_words_use_up_no_try(text):
    one = offer(1)
    if spoken_code(text) is None:
        assert one.hear(text, 0.0) is Heard.NOTHING
        assert one.hear(CODE, 0.0) is Heard.RIGHT


def test_a_code_far_into_a_text_is_not_looked_for():
    assert spoken_code("word " * 50 + CODE) is None
    assert spoken_code(CODE + "X") is None


@given(st.binary(min_size=8, max_size=16))
def test_every_code_can_be_said(random):
    code = new_code(random)
    assert spoken_code(code.lower()) == code
    assert set(code) <= {*ALPHABET, "-"}
    assert 256 % len(ALPHABET) == 0
