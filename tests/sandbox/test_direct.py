"""What the direct binding takes over of the arguments of one import, whatever a guest passes."""

import ctypes
import time

import pytest

from yoi.limits import KIB, LIMITS
from yoi.sandbox import deny_all
from yoi.sandbox.direct import _VAL, Bytes, _lifted, _Lifter, _RawVal
from yoi.sandbox.state import GuestState, Stop

STRING, LIST, U8, U32 = 12, 13, 2, 6


@pytest.fixture
def kept() -> list[object]:
    """What the addresses in arguments point to: it lives as long as the test."""
    return []


def values(kept: list[object], kind: int, count: int) -> int:
    """Return the address of `count` values of `kind`."""
    made = (_RawVal * count)()
    for one in made:
        one.kind = kind
    kept.append(made)
    return ctypes.addressof(made)


def listed(kept: list[object], kind: int, count: int, lists: int = 1) -> int:
    """Return the address of `lists` lists of `count` values of `kind`."""
    made, inner = (_RawVal * lists)(), values(kept, kind, count)
    for one in made:
        one.kind, one.word, one.data = LIST, count, inner
    kept.append(made)
    return ctypes.addressof(made)


def test_all_byte_lists_of_a_call_share_one_bound(kept: list[object]) -> None:
    at = listed(kept, U8, 40 * KIB, 3)
    lifter = _Lifter(0, LIMITS.host_call_bytes)
    found = [lifter.lift(at + index * _VAL) for index in range(3)]
    assert [len(one) for one in found] == [40 * KIB, 24 * KIB, 0]
    assert all(isinstance(one, Bytes) and one.full_size == 40 * KIB for one in found)


def test_all_lists_of_a_call_share_one_bound(kept: list[object]) -> None:
    at = listed(kept, U32, 900, 2)
    lifter = _Lifter(0, LIMITS.host_call_bytes)
    assert [len(lifter.lift(at + index * _VAL)) for index in range(2)] == [900, 124]


def test_all_texts_of_a_call_share_one_bound(kept: list[object]) -> None:
    text = ctypes.create_string_buffer(b"x" * 600)
    kept.append(text)
    lifter = _Lifter(0, 1000)
    raw = _RawVal(STRING, 600, ctypes.addressof(text), 0)
    assert lifter.lift(ctypes.addressof(raw)) == "x" * 600
    with pytest.raises(Stop):
        lifter.lift(ctypes.addressof(raw))


def test_the_deadline_is_looked_at_before_a_handler_has_a_list(kept: list[object]) -> None:
    """wasmtime takes an argument over whole before the host is asked: that time counts."""
    state = GuestState(LIMITS, deny_all)
    state.begin(0.0)
    time.sleep(0)
    with pytest.raises(Stop) as stopped:
        _lifted(state, 0, listed(kept, U32, 1), 1)
    assert stopped.value.code == "sandbox.deadline"
