"""The account of `make faults` finds what it is there to find."""

import random

import pytest

from faults.network import Frames, Proxy
from faults.world import Gateway, Lane


def lane(handled, gaps, passed):
    made = Lane("lane-0", "echo", random.Random(0), Gateway(signs_in=False), Proxy(1))
    made.gateway.sent = dict.fromkeys(range(1, 6), 4000)
    made.proxy.passed = passed
    made.handled, made.gaps = set(handled), gaps
    return made


def test_what_was_handled_given_up_or_inside_a_gap_is_accounted_for():
    found = lane([1, 2], [(10, 20)], {4: 10, 5: 20}).account({3})
    assert (found["in_gaps"], found["unaccounted"]) == (2, 0)


@pytest.mark.parametrize("moment", [9, 21])
def test_what_is_missing_outside_of_every_gap_is_not(moment):
    found = lane([1, 2, 3, 4], [(10, 20), (30, 40)], {5: moment}).account(set())
    assert found["unaccounted"] == 1


def server_frame(text):
    size = len(text)
    head = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return head + text


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_frames_are_whole_once_their_last_byte_has_passed(step):
    found = []
    frames = Frames(found.append)
    texts = [b"a", b"b" * 125, b"c" * 126, b"", b"d" * 3000]
    told = b"HTTP/1.1 101 Switching\r\nA: b\r\n\r\n" + b"".join(map(server_frame, texts))
    for start in range(0, len(told) - 1, step):
        frames.passed(told[start : min(start + step, len(told) - 1)])
    assert found == texts[:-1]
    frames.passed(told[-1:])
    assert found == texts
