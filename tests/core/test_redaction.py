"""W9: a server that echoes a granted secret does not tell the guest; a courtesy, with its edges."""

import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.core.redaction import Masker
from yoi.limits import LIMITS
from yoi.types import Secret

VALUE = 'xapp-1/A0/"quoted"\\é+0123456789'


def masker(*values):
    return Masker([Secret(f"s{index}", value) for index, value in enumerate(values)])


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        json.dumps(VALUE).replace("/", "\\/"),
        urlencode({"token": VALUE}),
        quote(VALUE, safe=""),
        json.dumps({"echo": [VALUE, VALUE]}),
    ],
)
def test_the_forms_that_servers_echo(form):
    hidden = masker(VALUE).text(f"before {form} after")
    assert "0123456789" not in hidden
    assert "[secret s0]" in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    assert masker(VALUE).data(f"x {form}".encode()) == masker(VALUE).text(f"x {form}").encode()


def test_json_stays_json():
    frame = json.dumps({"token": VALUE, "n": 1})
    assert json.loads(masker(VALUE).text(frame)) == {"token": "[secret s0]", "n": 1}


def test_without_secrets_nothing_is_looked_at():
    none = Masker([])
    text, data = "a" * 100, b"a" * 100
    assert not none
    assert none.text(text) is text
    assert none.data(data) is data
    assert masker(VALUE).text(text) is text


def test_short_values_may_be_ordinary_words():
    assert not masker("a" * (LIMITS.mask_min_chars - 1))
    assert masker("a" * LIMITS.mask_min_chars)


def test_a_value_that_holds_another_is_masked_whole():
    short, long = "0123456789abcdef", "xx-0123456789abcdef-yy"
    assert masker(short, long).text(f"{long} {short}") == "[secret s1] [secret s0]"


def test_its_repr_shows_nothing():
    assert VALUE not in repr(masker(VALUE))


@settings(deadline=None)
@given(
    st.text(min_size=LIMITS.mask_min_chars, max_size=40), st.text(max_size=20), st.text(max_size=20)
)
def test_no_known_value_gets_through(value, before, after):
    mask = masker(value)
    assert value not in mask.text(before + value + after).replace("[secret s0]", "\0") or (
        # What is left may only come of text around the mask, never the value as it stood.
        value in (before + "\0" + after)
    )
