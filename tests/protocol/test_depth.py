"""Depth is told without recursion."""

import json
import re
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.protocol import depth
from yoi.protocol.depth import deeper_than, json_beyond, more_values_than, parsed_bytes


@pytest.mark.parametrize(
    ("value", "depth"),
    [(1, 0), ("text", 0), ({}, 1), ([], 1), ({"a": 1}, 1), ({"a": []}, 2), ([1, [2, [3]]], 3)],
)
def test_an_object_or_list_counts_as_one_level(value, depth):
    assert not deeper_than(value, depth)
    assert depth == 0 or deeper_than(value, depth - 1)


def test_what_would_overflow_a_recursive_walk_is_told():
    value = []
    for _ in range(100_000):
        value = [value]
    assert deeper_than(value, 32)
    while value:
        (value,) = value  # taken apart here: freeing it in one go recurses too


LISTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\ \u00e9a\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='[]{}"\\a'), inner),
    max_leaves=20,
)


@given(value=LISTS, levels=st.integers(0, 6))
def test_depth_is_told_from_json_as_from_what_it_makes(value, levels):
    for data in (msgspec.json.encode(value), json.dumps(value, indent=1).encode()):
        assert json_beyond(data, levels, 10_000) == deeper_than(value, levels)


@given(value=LISTS)
def test_containers_are_counted_and_texts_are_none(value):
    count = len(re.findall(r"[\[{]", json.dumps(_without_texts(value))))
    data = json.dumps(value).encode()
    assert not json_beyond(data, 100, max(count, data.count(b'"')))
    if count > 1:
        assert json_beyond(data, 100, count - 1)


def _without_texts(value):
    if isinstance(value, dict):
        return {str(number): _without_texts(one) for number, one in enumerate(value.values())}
    if isinstance(value, list):
        return [_without_texts(one) for one in value]
    return None


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"[]," * 2_000_000 + b"0]",
        b"[[]" + b',""' * 2_000_000 + b"]",
        b'{"a":' * 1_000_000,
        b'[[]"' + b'\\"' * 2_000_000,
        b'[[]"' + b"\\\\" * 2_000_000,
        b"[[]" + b'"' * 2_000_001,
    ],
    ids=["lists", "texts", "never closed", "quotes", "backslashes", "only quotes"],
)
def test_what_is_large_is_told_without_building_it(data):
    tracemalloc.start()
    try:
        json_beyond(data, 1, 50_000)
        # Copies of it, but not an object for each of its parts.
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data)
    finally:
        tracemalloc.stop()


JSON = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a,[{"\\é:'), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.sampled_from('a,["\\'), max_size=6), inner, max_size=5)
    ),
)


def _values(value):
    if isinstance(value, dict):
        return 1 + sum(map(_values, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_values, value))
    return 1


@given(value=JSON, slice_bytes=st.integers(1, 9), escaped=st.booleans())
def test_values_are_never_undercounted_and_texts_hide_nothing(value, slice_bytes, escaped):
    text = json.dumps(value, ensure_ascii=escaped)
    count = _values(value)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(depth, "_SLICE", slice_bytes)
        for data in (text, text.encode()):
            assert not more_values_than(2 * count, data)  # an empty container counts as two
            assert count == 1 or more_values_than(count - 1, data)


def test_punctuation_in_texts_is_no_value():
    chat = json.dumps({"text": "one, [two], {three}, " * 1000, "more": '\\",[' * 1000})
    assert not more_values_than(4, chat)
    assert not more_values_than(4, chat.encode())
    assert more_values_than(1, chat)


def test_counting_stops_at_the_bound():
    class Slices(bytes):
        taken = 0

        def __getitem__(self, key):
            Slices.taken += isinstance(key, slice)
            return bytes.__getitem__(self, key)

    assert more_values_than(50_000, Slices(b"[" + b"[]," * 4_000_000 + b"0]"))
    assert Slices.taken * depth._SLICE < 300_000, "of 12 MB"


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("[" + "[]," * 999 + "[]]", 17_000 * 2),
        ("[" + "123456," * 999 + "1]", 31_000),
        ("[" + '{"entity_id":"s0000001","state":1},' * 999 + "0]", 186_000),
        ('{"text":"' + "a, [b], {c}" * 1000 + '"}', 1000),
    ],
)
def test_what_parsing_takes_is_never_overstated(text, most):
    assert 0 < parsed_bytes(text) <= most
