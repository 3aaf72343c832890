"""RFC 6901 pointers: one spelling, one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.limits import LIMITS
from yoi.permissions import JsonPointer, PointerFault, array_index


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("/foo", ("foo",)),
        ("/foo/0", ("foo", "0")),
        ("/", ("",)),
        ("/a~1b", ("a/b",)),
        ("/m~0n", ("m~n",)),
        ("/~01", ("~1",)),
        ("/c%d", ("c%d",)),
        ('/k"l', ('k"l',)),
        ("/ ", (" ",)),
        ("/a//b", ("a", "", "b")),
    ],
)
def test_the_examples_of_rfc_6901(text, tokens):
    assert JsonPointer.parse(text).tokens == tokens
    assert str(JsonPointer.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "#/a",
        "/a~",
        "/a~2",
        "/a\nb",
        "/\ud800",
        "/" * (LIMITS.pointer_tokens + 1),
        "/" + "a" * LIMITS.pointer_chars,
        None,
        7,
        ["/a"],
    ],
)
def test_what_is_no_place_is_refused(text):
    with pytest.raises(PointerFault):
        JsonPointer.parse(text)


TOKENS = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=8),
    min_size=1,
    max_size=8,
)


@given(TOKENS)
def test_every_place_has_one_spelling(tokens):
    pointer = JsonPointer(tuple(tokens))
    assert JsonPointer.parse(str(pointer)) == pointer


@given(TOKENS, TOKENS)
def test_a_place_holds_itself_and_what_lies_inside(tokens, more):
    outer = JsonPointer(tuple(tokens))
    assert outer.holds(outer)
    assert outer.holds(JsonPointer((*tokens, *more)))
    assert not JsonPointer((*tokens, *more)).holds(outer)


@pytest.mark.parametrize(
    ("token", "index"),
    [
        ("0", 0),
        ("10", 10),
        ("01", None),
        ("-", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        ("1e3", None),
        ("\u0661", None),
        ("\u00b2", None),
        ("9" * 5000, None),
    ],
)
def test_array_indices_are_plain_decimal(token, index):
    assert array_index(token) == index
