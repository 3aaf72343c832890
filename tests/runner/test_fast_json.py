"""The runner's json is the standard one, but for the depth that would overflow the engine."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yoi_runner import fast_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


def outcome(call, *args, **options):
    try:
        return repr(call(*args, **options))
    except Exception as exc:
        return type(exc), str(exc)


@given(VALUES)
def test_it_writes_what_json_writes(value):
    assert fast_json.dumps(value) == json.dumps(value)
    assert fast_json.dumps(value, indent=1, sort_keys=False) == json.dumps(value, indent=1)


@given(VALUES, st.sampled_from(["", " ", "\n", "x", "\ufeff"]), st.sampled_from(["", " ", "]"]))
def test_it_reads_what_json_reads_and_refuses_alike(value, before, after):
    text = before + json.dumps(value) + after
    assert outcome(fast_json.loads, text) == outcome(json.loads, text)
    assert outcome(fast_json.loads, text.encode()) == outcome(json.loads, text.encode())


@given(st.text(alphabet='{}[]",:\\ntf1e-. \n', max_size=40))
def test_it_reads_broken_text_alike(text):
    assert outcome(fast_json.loads, text) == outcome(json.loads, text)


@pytest.mark.parametrize("value", [{1, 2}, object(), {"a": {1}}, [b"x"], {(1, 2): 3}])
def test_it_refuses_to_write_the_same_values(value):
    assert outcome(fast_json.dumps, value) == outcome(json.dumps, value)
    assert fast_json.dumps({"a": [1]}) == '{"a": [1]}', "a failure leaves nothing behind"


def test_a_circle_is_found_and_forgotten():
    circle: list[object] = []
    circle.append(circle)
    for _ in range(2):
        with pytest.raises(ValueError, match="Circular"):
            fast_json.dumps(circle)
    assert fast_json.dumps([[1], [1]]) == "[[1], [1]]"


LOADS_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "parse_float": st.sampled_from([str, float]),
        "parse_int": st.just(str),
        "parse_constant": st.just(str),
        "object_hook": st.just(len),
        "object_pairs_hook": st.just(list),
        "strict": st.booleans(),
        "unknown": st.none(),
    },
)
DUMPS_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "skipkeys": st.booleans(),
        "ensure_ascii": st.booleans(),
        "check_circular": st.booleans(),
        "allow_nan": st.booleans(),
        "indent": st.none() | st.integers(0, 3),
        "separators": st.sampled_from([(",", ":"), None]),
        "default": st.sampled_from([str, repr, None]),
        "sort_keys": st.booleans(),
        "unknown": st.none(),
    },
)
ODD = VALUES | st.binary(max_size=4) | st.lists(st.complex_numbers() | st.binary(max_size=2))


@given(ODD, DUMPS_OPTIONS)
def test_every_option_and_every_refusal_of_dumps_is_the_same(value, options):
    assert outcome(fast_json.dumps, value, **options) == outcome(json.dumps, value, **options)


@given(
    st.text(alphabet='{}[]",:\\ntf1e-.NaI \n\t', max_size=30) | VALUES.map(json.dumps),
    LOADS_OPTIONS,
)
def test_every_option_and_every_refusal_of_loads_is_the_same(text, options):
    assert outcome(fast_json.loads, text, **options) == outcome(json.loads, text, **options)


@given(st.none() | st.integers() | st.binary(max_size=8) | st.lists(st.integers(), max_size=2))
def test_what_is_not_text_is_refused_alike(value):
    assert outcome(fast_json.loads, value) == outcome(json.loads, value)


class Text(str):
    pass


class Table(dict):
    pass


def test_subclasses_are_read_and_written_alike():
    assert fast_json.loads(Text('{"a": [1]}')) == {"a": [1]}
    table = Table(a=Text("x"))
    assert fast_json.dumps([table, table]) == json.dumps([table, table])


def test_writing_inside_of_writing_is_the_standard_one():
    """A dict that is encoded may run Python code: the open containers must not be mixed up."""

    class Nested(dict):
        def items(self):
            return [("inner", fast_json.dumps([1, {"a": self.depth}]))]

    nested = Nested(x=1)
    nested.depth = 2
    value = {"outer": nested}
    assert fast_json.dumps(value) == json.dumps(value)
    assert fast_json.dumps([1]) == "[1]"


def test_options_are_honoured():
    assert fast_json.loads("1.5", parse_float=str) == "1.5"
    assert math.isnan(fast_json.loads("NaN"))
    assert fast_json.dumps({"é": 1}, ensure_ascii=False) == '{"é": 1}'


DEEP = fast_json.MAX_DEPTH


@pytest.mark.parametrize(
    "text",
    [
        "[" * (DEEP + 1),
        "[" * 200_000,
        '{"a":' * 100_000,
        '[{"a":' * DEEP + "1" + "}]" * DEEP,
        '["' + "]" * DEEP + '",' + "[" * DEEP + "1" + "]" * (DEEP + 1),
        '["\\"",' + "[" * DEEP + "]" * (DEEP + 1),
    ],
)
def test_deeper_nesting_than_the_bound_is_refused_before_it_is_parsed(text):
    with pytest.raises(RecursionError, match="nested deeper"):
        fast_json.loads(text)
    with pytest.raises(RecursionError, match="nested deeper"):
        fast_json.decode(json.JSONDecoder(), text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP + "]" * DEEP,
        json.dumps([[]] * 5000),
        json.dumps(["[" * 5000, '\\"[{' * 5000]),
        json.dumps([{"a": "\\"}] * 1000),
    ],
)
def test_wide_documents_and_brackets_in_strings_are_not(text):
    assert fast_json.loads(text) == json.loads(text)
