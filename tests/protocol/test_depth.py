"""Depth is told without recursion."""

import pytest

from yoi.protocol.depth import deeper_than


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
