"""What is said now: pieces become blocks, within a bound of bytes, all or nothing."""

import copy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.observation.strategies import SPOKEN, struct

from yoi.core.observation.inflight import InFlight
from yoi.errors import ProtocolMalformed
from yoi.protocol import events as ev

SPEECH = st.lists(st.one_of([struct(kind) for kind in SPOKEN]), max_size=25)


def text(piece: str) -> ev.TextDelta:
    return ev.TextDelta(ev.TextData(text=piece))


def args(call_id: str, piece: str) -> ev.ToolCallArgsDelta:
    return ev.ToolCallArgsDelta(ev.ToolArgsDeltaData(id=call_id, json=piece))


def folded(events, most=1 << 20) -> InFlight:
    fold = InFlight(most)
    for event in events:
        fold.add(event)
    return fold


def test_pieces_become_blocks_in_the_order_they_began():
    fold = folded(
        [
            ev.ThinkingStart(),
            ev.ThinkingDelta(ev.TextData(text="h")),
            ev.ThinkingDelta(ev.TextData(text="m")),
            text("he"),
            ev.ToolCallStart(ev.ToolCallStartData(id="1", name="reply")),
            args("1", "{"),
            ev.ToolCallStart(ev.ToolCallStartData(id="2", name="close")),
            args("2", "["),
            args("1", "}"),
            ev.ToolCallDone(ev.ToolCallDoneData(id="1", name="reply", arguments="{}")),
        ]
    )
    assert fold.blocks() == [
        ev.ThinkingBlock(text="hm"),
        ev.TextBlock(text="he"),
        ev.ToolCallBlock(id="1", name="reply", args="{}", state="done"),
        ev.ToolCallBlock(id="2", name="close", args="[", state="streaming_args"),
    ]


def test_a_finished_text_replaces_its_pieces_and_the_next_begins_another():
    fold = folded([text("hal"), ev.TextDone(ev.TextData(text="hello")), text("again")])
    assert fold.blocks() == [ev.TextBlock(text="hello", finished=True), ev.TextBlock(text="again")]


def test_a_call_whose_start_was_not_heard_is_begun_by_its_pieces():
    fold = folded([args("1", "{")])
    assert fold.blocks() == [
        ev.ToolCallBlock(id="1", name="", args="{", state="streaming_args"),
    ]


@given(SPEECH, SPEECH)
def test_a_fold_goes_on_from_its_own_blocks_and_from_a_copy(before, after):
    fold = folded(before)
    again = InFlight.of(fold.blocks(), 1 << 20)
    twin = fold.copy()
    assert again.blocks() == twin.blocks() == fold.blocks()
    assert again.size == twin.size == fold.size
    for event in after:
        for each in (fold, again, twin):
            each.add(event)
    assert again.blocks() == twin.blocks() == fold.blocks()
    assert again.size == twin.size == fold.size


@given(SPEECH, SPEECH)
def test_a_copy_goes_its_own_way(before, after):
    fold = folded(before)
    shown = copy.deepcopy(fold.blocks())
    twin = fold.copy()
    for event in after:
        twin.add(event)
    assert fold.blocks() == shown
    twin.clear()
    assert (twin.size, twin.snapshot()) == (0, None)


@given(SPEECH)
def test_the_size_is_no_less_than_the_json(events):
    fold = folded(events)
    assert fold.size >= len(msgspec.json.encode(fold.blocks())) - 2


@given(SPEECH, st.integers(0, 600))
def test_what_does_not_fit_is_refused_and_changes_nothing(events, most):
    fold = InFlight(most)
    for event in events:
        before = (fold.size, fold.blocks())
        try:
            fold.add(event)
        except ProtocolMalformed:
            assert (fold.size, fold.blocks()) == before
        assert fold.size <= most


def test_empty_blocks_are_not_for_nothing():
    """A flood of starts holds as little as a flood of text."""
    starts = [ev.ToolCallStart(ev.ToolCallStartData(id=str(n), name="")) for n in range(1000)]
    with pytest.raises(ProtocolMalformed):
        folded(starts, most=10_000)
    thoughts = [ev.ThinkingStart(), ev.ThinkingDone(ev.TextData(text=""))] * 1000
    with pytest.raises(ProtocolMalformed):
        folded(thoughts, most=10_000)


def test_a_flood_of_small_pieces_is_held_as_few_strings():
    fold = folded([text("ab")] * 50_000, most=1 << 20)
    assert max(len(block.pieces) for block in fold._blocks) <= 1025
    assert fold.blocks() == [ev.TextBlock(text="ab" * 50_000)]


def test_blocks_over_the_bound_are_not_taken_on():
    with pytest.raises(ProtocolMalformed):
        InFlight.of([ev.TextBlock(text="x" * 2000)], 1000)


def test_two_blocks_of_one_call_id_stay_two():
    """Only a foreign snapshot holds such; nothing of it is lost or counted twice."""
    twice = [ev.ToolCallBlock(id="1", name="n", args=a, state="done") for a in ("{}", "[]")]
    fold = InFlight.of(twice, 1000)
    assert fold.blocks() == twice
    assert fold.size == fold.copy().size == InFlight.of(fold.blocks(), 1000).size


def test_text_that_has_no_json_is_refused():
    with pytest.raises(ProtocolMalformed):
        InFlight().add(text("\ud800"))
