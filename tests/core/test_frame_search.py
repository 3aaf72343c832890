"""What the host reads in a message is what the guest's `json` would: or it says that it cannot."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.frame_search import PointerReader
from yoi.core.frame_watch import FrameWatch
from yoi.core.senders import SenderFilter
from yoi.limits import Limits
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import LastValue
from yoi.permissions.match import Match, json_equal
from yoi.permissions.senders import SenderRule

S = JsonPointer.parse("/s")
DEEP = JsonPointer.parse("/d/1/id")


def read(text, *pointers, **limits):
    return PointerReader(pointers or (S, DEEP), Limits(**limits)).read(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"x": NaN, "s": 1}',
        '{"x": [Infinity, -Infinity], "s": 1}',
        '{"x": "\\ud800", "s": 1}',
        '{"\\ud800": 0, "s": 1}',
        '{"s": 0, "s": 1}',
        '{"s": 1, "x": 1e999}',
        '{"s": 1, "x": ' + "9" * 4000 + "}",
        "\t\r\n" + " " * 100 + '{"s": 1}',
    ],
)
def test_odd_json_is_read_as_the_guest_reads_it(text):
    assert json.loads(text)["s"] == 1
    assert read(text) == {S: 1}


@pytest.mark.parametrize(
    "text",
    ["", "s", "{", '{"s": 1,}', '{"s": 01}', '\ufeff{"s": 1}', "{'s': 1}", '{"s": 1} x', "[}"],
)
def test_what_is_no_json_for_the_guest_holds_nothing(text):
    with pytest.raises(ValueError):
        json.loads(text)
    assert read(text) == {}


def test_an_odd_value_itself_is_not_known_and_that_is_said():
    for odd in ("NaN", "-Infinity", '"\\udfff"', '[1, {"a": NaN}]'):
        assert read(f'{{"s": {odd}}}', S) is None
    watch = FrameWatch([LastValue("seq", S)])
    watch.look('{"s": NaN}')
    assert watch.cut_short
    assert watch.last == {}
    watch.look('{"x": NaN, "s": 2}')
    assert not watch.cut_short
    assert watch.last == {"seq": 2}


def test_odd_json_is_read_up_to_a_bound_and_nesting_without_end_not_at_all():
    large = '{"s": 1, "x": NaN, "y": "' + "y" * 1000 + '"}'
    assert read(large, odd_json_chars=2000) == {S: 1}
    assert read(large, odd_json_chars=1000) is None
    assert read('{"s": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}") is None


def test_a_sender_cannot_hide_from_the_operators_list_behind_odd_json():
    """W9: what the host cannot read is not delivered; what it reads is judged."""
    rule = SenderRule(Match(JsonPointer.parse("/t"), ("say",)), S, ("ann",))
    hear = SenderFilter((rule,)).hear
    assert hear('{"t": "say", "s": "ann", "x": NaN}').delivered
    for text in (
        '{"t": "say", "s": "eve", "x": NaN}',
        '{"t": "say", "s": "eve", "x": "\\ud800"}',
        '{"t": "say", "s": "ann", "s": "eve"}',
        " " * 65 + '{"t": "say", "s": "eve"}',
        '{"t": "say", "s": "eve", "x": NaN, "y": "' + "y" * 300_000 + '"}',
        '{"t": "say", "s": "eve", "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ):
        assert not hear(text).delivered, text[:80]


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["s", "d", "id", "x", '"', "\ud800"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def at_pointer(value, pointer):
    for token in pointer.tokens:
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and token.isdigit() and int(token) < len(value):
            value = value[int(token)]
        else:
            return ()
    return (value,)


@given(ODD, st.booleans())
def test_the_host_and_pythons_json_agree(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    found = read(text)
    if found is None:
        return  # it says that it does not know
    for pointer in (S, DEEP):
        expected = at_pointer(json.loads(text), pointer)
        if expected:
            assert json_equal(found[pointer], expected[0])
        else:
            assert pointer not in found
