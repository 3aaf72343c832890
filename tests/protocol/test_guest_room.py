"""What cannot fit into a guest is known before the guest gets it."""

import pytest

from yoi.limits import LIMITS, MIB
from yoi.protocol.guest_room import enough, needed_in_python
from yoi.protocol.ingress import BinaryFrame, TextFrame
from yoi.types import SessionId


def text(content: str) -> TextFrame:
    return TextFrame("i", "c", SessionId("s"), 1, content, 0, len(content.encode()))


@pytest.mark.parametrize(
    ("content", "mib"),
    [
        ("x" * MIB, 2),
        ("\u00e9" * MIB, 2),
        ("x" * (MIB - 1) + "\u20ac", 4),
        ("x" * (MIB - 1) + "\U0001f600", 8),
    ],
)
def test_one_wide_character_makes_all_wide(content, mib):
    assert needed_in_python(text(content)) == LIMITS.guest_python_bytes + mib * MIB


def test_json_counts_as_what_it_becomes():
    content = "[" + ",".join('{"a":1}' for _ in range(10_000)) + "]"
    assert needed_in_python(text(content)) > needed_in_python(text("x" + content)) + 1_000_000


@pytest.mark.parametrize(("byte", "times"), [(b"x", 3), (b"\xff", 4)])
def test_binary_is_counted_with_its_way_through_the_call(byte, times):
    event = BinaryFrame("i", "c", SessionId("s"), 1, byte * MIB, 0, MIB)
    assert needed_in_python(event) == LIMITS.guest_python_bytes + times * MIB


def test_what_is_asked_for_is_enough_and_may_be_granted():
    assert enough(100 * MIB) == 128 * MIB
    assert enough(500 * MIB) == LIMITS.guest_memory_max_bytes
