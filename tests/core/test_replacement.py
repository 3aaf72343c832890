"""The states of a replacement, and what a queue does when its ingresses change under it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.ingress_queue import EVENT_OVERHEAD_BYTES, IngressPolicy, IngressQueue
from yoi.core.replacement import Replacement, ReplacementState
from yoi.errors import YoiError
from yoi.permissions import JsonPointer
from yoi.protocol.ingress import TextFrame
from yoi.types import SessionId

_S = ReplacementState
WAY = [_S.PREPARING, _S.DRAINING, _S.STARTING, _S.TRIAL, _S.DONE]


@pytest.mark.parametrize("steps", range(1, 5))
def test_it_may_be_refused_until_it_is_done(steps):
    one = Replacement()
    for state in WAY[1:steps]:
        one.go(state)
    assert not one.over
    one.go(_S.REFUSED)
    assert one.over


@pytest.mark.parametrize("end", [_S.DONE, _S.REFUSED])
@pytest.mark.parametrize("to", _S)
def test_what_is_over_stays_over(end, to):
    one = Replacement()
    for state in WAY[1:4]:
        one.go(state)
    one.go(end)
    with pytest.raises(YoiError, match="cannot go"):
        one.go(to)


def frame(ingress, number, text="x"):
    return TextFrame(ingress, "gateway", SessionId("s"), number, text, 0, len(text))


def queue(*names, **more):
    return IngressQueue([IngressPolicy(name, **more) for name in names])


def test_what_waits_of_an_ingress_that_stays_keeps_its_place_and_its_cost():
    waiting = queue("a", "b")
    frames = [frame("a", 1), frame("b", 1), frame("a", 2)]
    for one in frames:
        waiting.offer(one)
    assert waiting.reshape([IngressPolicy("a", max_events=2), IngressPolicy("c")]) == [frames[1]]
    assert waiting.depth == 2
    assert waiting.bytes == 2 * (1 + EVENT_OVERHEAD_BYTES)
    assert waiting.account("a").max_events == 2
    assert "b" not in waiting.ingresses
    assert waiting.take(8, 1000) == [frames[0], frames[2]]


def test_an_ingress_that_is_ordered_otherwise_waits_for_no_attempt():
    waiting = queue("a")
    first, second = frame("a", 1), frame("a", 2)
    waiting.offer(first)
    waiting.offer(second)
    waiting.hold(first)
    assert waiting.take(8, 1000) == []
    waiting.reshape([IngressPolicy("a", order_key=JsonPointer.parse("/k"))])
    assert waiting.take(8, 1000) == [first, second]


def test_an_ingress_that_stays_as_it_is_still_waits_for_the_attempt():
    waiting = queue("a")
    first, second = frame("a", 1), frame("a", 2)
    waiting.offer(first)
    waiting.offer(second)
    waiting.hold(first)
    waiting.reshape([IngressPolicy("a"), IngressPolicy("b")])
    assert waiting.take(8, 1000) == []
    waiting.release(first)
    assert waiting.take(8, 1000) == [first, second]


def test_not_while_events_are_with_a_guest():
    waiting = queue("a")
    waiting.offer(frame("a", 1))
    waiting.take(8, 1000)
    with pytest.raises(RuntimeError):
        waiting.reshape([IngressPolicy("a")])


NAMES = st.sampled_from("abc")


@given(
    st.lists(NAMES, max_size=20),
    st.lists(st.tuples(st.sets(NAMES, min_size=1), st.sampled_from([None, "/k"])), max_size=5),
)
def test_nothing_is_lost_or_counted_twice(arrived, shapes):
    """Every event waits, was given back as gone, or is taken in its order."""
    waiting = queue("a", "b", "c")
    frames = [frame(name, number) for number, name in enumerate(arrived)]
    for one in frames:
        waiting.offer(one)
    gone = []
    for names, key in shapes:
        at = None if key is None else JsonPointer.parse(key)
        policies = [IngressPolicy(name, order_key=at) for name in sorted(names)]
        gone += waiting.reshape(policies)
    taken = []
    while batch := waiting.take(64, 1 << 20):
        taken += batch
        waiting.settle(len(batch))
    assert sorted([*gone, *taken], key=frames.index) == frames
    assert taken == sorted(taken, key=frames.index)
    assert (waiting.depth, waiting.bytes) == (0, 0)
