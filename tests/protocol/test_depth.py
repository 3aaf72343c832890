"""Depth is told without recursion."""

import json
import re
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.protocol.depth import deeper_than, json_beyond


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
