"""W9, K3: a server that gives a secret back tells nobody, in the forms that the documents list."""

import base64
import html
import json
import re
import string
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.core.redaction import MASK, NOTHING, Masker, StreamMask, finished
from yoi.core.secret_forms import FORMS, forms
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS
from yoi.types import Secret

VALUES = [
    'xapp-1/A0/"quoted"\\é+0123456789 =&<>\'%😀',
    "xoxb-1234567890-AbCdEfGhIjKl",
    '"begins with a sign 0123456789"',
    "\\\\begins and ends with them 0123\\\\",
    "-----BEGIN KEY-----\nMIIE/+aG0\r\nabc=\n-----END KEY-----\n",
    "ключ-от-всех-дверей-без-латиницы",
    "+/=&%$\"\\'<>~`!@#^*()",
]


def lower_hex(text):
    return re.sub("%..", lambda found: found[0].lower(), text)


def go_json(text):
    """As Go writes JSON: what HTML would read is escaped."""
    written = json.dumps(text, ensure_ascii=False)
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


WRITERS = {
    "raw": [str, lambda v: v.encode().decode("latin-1")],
    "json": [
        json.dumps,
        lambda v: json.dumps(v, ensure_ascii=False),
        lambda v: json.dumps(v).replace("/", "\\/"),
        lambda v: json.dumps(v).replace("\\u00e9", "\\u00E9"),
        go_json,
    ],
    "json in json": [
        lambda v: json.dumps(json.dumps({"a": v})),
        lambda v: json.dumps(json.dumps([json.dumps(v, ensure_ascii=False)])),
        lambda v: json.dumps(json.dumps(v).replace("/", "\\/")).replace("/", "\\/"),
        lambda v: json.dumps(go_json(v)),
    ],
    "percent": [
        quote,
        quote_plus,
        lambda v: quote(v, safe=""),
        lambda v: quote(v, safe="-_.!~*'()"),
        lambda v: quote(v, safe=";,/?:@&=+$-_.!~*'()#"),
        lambda v: lower_hex(quote(v, safe="")),
        lambda v: urlencode({"a": v, "b": 1}),
        lambda v: "".join(
            c if c.isascii() and c.isalnum() else "".join(f"%{b:02X}" for b in c.encode())
            for c in v
        ),
        lambda v: quote(quote(v, safe=""), safe=""),
        lambda v: "https://x/?next=" + quote("https://y/?a=" + quote(v), safe=""),
    ],
    "html": [
        html.escape,
        lambda v: html.escape(v, quote=False),
        lambda v: html.escape(v).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        lambda v: html.escape(v).replace("&#x27;", "&apos;"),
        lambda v: html.escape(html.escape(v)),
        lambda v: json.dumps(html.escape(v)),
    ],
    "base64": [
        lambda v: base64.b64encode(v.encode()).decode(),
        lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
        lambda v: "Basic " + base64.b64encode(b"user:" + v.encode()).decode(),
        lambda v: base64.b64encode(b"ab" + v.encode() + b"cd").decode().replace("/", "\\/"),
        lambda v: quote(base64.b64encode(b"a" + v.encode() + b"b").decode(), safe=""),
    ],
    "hex": [lambda v: v.encode().hex(), lambda v: v.encode().hex().upper()],
}
WRITTEN = [(name, at) for name, writers in WRITERS.items() for at in range(len(writers))]


def masker(*values):
    return Masker([Secret(f"s{index}", value) for index, value in enumerate(values)])


def test_each_form_that_the_documents_list_is_tried():
    assert WRITERS.keys() == FORMS.keys()


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("form", "at"), WRITTEN)
def test_every_form_is_masked(value, form, at):
    written = WRITERS[form][at](value)
    hidden = masker(value).text(f"before {written} after")
    assert MASK in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    left = hidden.removeprefix("before ").removesuffix(" after").replace(MASK, "")
    # Of a longer Base64 a character at each end is made of the neighbour, too.
    assert len(left) <= len(written) - len(value) + 2
    assert "0123" not in left
    data = written.encode("latin-1" if (form, at) == ("raw", 1) else "utf-8")
    assert masker(value).found_in(b"\xff\x00" + data + b"\xff")


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_stays_json_at_each_level(value, levels, ascii_only):
    frame = {"a": f"x{value}y", "token": value, value: [value, value], "n": 1}
    for _ in range(levels):
        frame = json.dumps(frame, ensure_ascii=ascii_only)
    hidden = masker(value).text(frame)
    for _ in range(levels):
        hidden = json.loads(hidden)
    assert hidden == {"a": f"x{MASK}y", "token": MASK, MASK: [MASK, MASK], "n": 1}


def test_without_secrets_nothing_is_looked_at():
    text, document = "a" * 100, {"a": 1}
    error = ConnectionFailure("connection.lost", "gone")
    assert not NOTHING
    assert NOTHING.text(text) is text
    assert NOTHING.document(document) is document
    assert NOTHING.error(error) is error
    assert not NOTHING.found_in(b"a" * 100)
    assert masker(VALUES[0]).text(text) is text
    assert masker(VALUES[0]).document(document) is document
    assert masker(VALUES[0]).error(error) is error


def test_documents_are_masked_in_texts_and_names():
    value = VALUES[0]
    made = masker(value).document({"a": [f"x{value}", None, 1.5], value: {"b": json.dumps(value)}})
    assert made == {"a": [f"x{MASK}", None, 1.5], MASK: {"b": f'"{MASK}"'}}


def test_a_value_of_digits_is_masked_as_a_number_too():
    document = {"a": 12345678901234567890, "b": [True, 1]}
    assert masker("12345678901234567890").document(document) == {"a": MASK, "b": [True, 1]}


def test_a_document_too_deep_to_look_through_is_not_handed_on():
    value = VALUES[1]
    deep = value
    for _ in range(600):
        deep = [deep]
    assert value not in json.dumps(masker(value).document(deep))


def test_errors_keep_their_code_and_lose_the_value():
    value = VALUES[1]
    error = ConnectionFailure(
        "connection.lost", f"said {value}", hint=f"look at {value}", why=[value], close_code=4000
    )
    masked = masker(value).error(error)
    assert type(masked) is ConnectionFailure
    assert (masked.code, masked.message, masked.hint) == (
        "connection.lost",
        f"said {MASK}",
        f"look at {MASK}",
    )
    assert masked.fields == {"why": [MASK], "close_code": 4000}


def test_the_mask_says_nothing_of_the_name():
    hidden = Masker([Secret("operators-own-name", VALUES[1])]).text(VALUES[1])
    assert hidden == MASK


def test_short_values_may_be_ordinary_words():
    assert not masker("a" * (LIMITS.mask_min_chars - 1))
    assert masker("a" * LIMITS.mask_min_chars)


def test_a_value_that_holds_another_is_masked_whole():
    short, long = "0123456789abcdef", "xx-0123456789abcdef-yy"
    assert masker(short, long).text(f"{long} {short}") == f"{MASK} {MASK}"


def test_its_repr_shows_nothing():
    value = VALUES[1]
    mask = masker(value)
    assert value not in repr(mask)
    assert value not in repr(mask._forms)


@given(
    st.text(min_size=LIMITS.mask_min_chars, max_size=40), st.text(max_size=20), st.text(max_size=20)
)
def test_no_known_value_gets_through(value, before, after):
    mask = masker(value)
    assert value not in mask.text(before + value + after).replace(MASK, "\0") or (
        # What is left may only come of text around the mask, never the value as it stood.
        value in (before + "\0" + after)
    )


@given(
    st.text(alphabet='\\"/ab%&\né', min_size=LIMITS.mask_min_chars, max_size=24),
    st.sampled_from(WRITTEN),
)
def test_values_made_of_what_is_escaped_are_masked_too(value, written):
    form, at = written
    text = WRITERS[form][at](value)
    assert MASK in masker(value).text(f"<{text}>")


@settings(max_examples=50)
@given(st.text(string.printable, max_size=200))
def test_other_text_is_left_alone(text):
    assert masker("xoxb-1234567890-AbCdEfGhIjKl").text(text) == text


@pytest.mark.parametrize(
    "value", ["xoxb-1234567890-AbCdEfGhIjKl", 'a\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"b0123456789']
)
@pytest.mark.parametrize("piece", ["\\", '\\"', "%25", "&amp;", "x"])
def test_no_text_makes_the_search_try_many_ways(value, piece):
    """It would not end: with each part of the value the ways to divide a run would multiply."""
    text = f"{value[:-1]}{piece * 2000}" * 5
    assert masker(value).text(text) == text


@pytest.mark.parametrize(("piece", "together"), [(1, 5), (7, 1), (64 * 1024, 1024)])
@pytest.mark.parametrize("value", [*VALUES, "-a-b-c-d-e-f-g-h-i-j", "a\\b\\\\c\\d\\e\\f\\g\\h\\"])
@given(data=st.data())
@settings(max_examples=15)
def test_a_piece_at_a_time_finds_what_a_search_of_the_whole_finds(value, piece, together, data):
    made = [write(value) for writers in WRITERS.values() for write in writers]
    anchors = [form.anchor for form in forms(value)]
    cut = st.sampled_from(made).flatmap(
        lambda text: st.integers(0, len(text)).map(lambda at: text[at:])
    )
    one = st.one_of(
        st.sampled_from(made),
        cut,
        st.sampled_from(anchors),
        st.integers(0, 40).map(lambda many: "\\" * many),
        st.integers(0, 40).map(lambda many: "x" * many),
    )
    text = "".join(data.draw(st.lists(one, max_size=10)))
    whole = by_pieces = text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yoi.core.secret_forms._PIECE_CHARS", piece)
        patch.setattr("yoi.core.secret_forms._TOGETHER_CHARS", together)
        for form in forms(value):
            whole = form.pattern.sub(MASK, whole)
            by_pieces = finished(form.masking(by_pieces, MASK))
    assert by_pieces == whole


KEY = "sk-proj-AbCd0123/efGh4567"


@settings(deadline=None)
@given(st.data(), st.sampled_from([str, *WRITERS["base64"], lambda v: v.encode().hex()]))
def test_a_text_that_comes_in_pieces_is_masked_however_it_is_cut(data, write):
    text = f"a {write(KEY)} and sk-proj {write(KEY)[:-3]}, s"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stream = StreamMask(masker(KEY))
    said = "".join([*map(stream.hear, pieces), stream.end()])
    assert said == masker(KEY).text(text)
    assert MASK in said


def test_nothing_is_held_that_begins_no_value():
    stream = StreamMask(masker(KEY))
    assert stream.hear("a word") == "a word"
    assert stream.hear(" sk-pro") == " "
    assert stream.hear("file") == "sk-profile"
    assert (stream.hear("sk-proj"), stream.end(), stream.end()) == ("", "sk-proj", "")
    assert StreamMask(NOTHING).hear("s") == "s"
