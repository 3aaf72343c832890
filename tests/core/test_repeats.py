"""D1: what a gateway sends again is known again, by its own id, and nothing else is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.repeats import Repeats
from yoi.limits import LIMITS
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import Dedupe
from yoi.protocol.ingress import BinaryFrame, IngressEvent, TextFrame
from yoi.types import SessionId

AT = JsonPointer.parse("/id")
WEEK = 604_800_000


def frame(text, ingress="events"):
    return TextFrame(ingress, "gateway", SessionId("s"), 1, text, 0, len(text))


def knowing(keep_ms=WEEK, most=100):
    return Repeats({"events": Dedupe(AT, keep_ms, most)})


def come(repeats, value, now_ms=0):
    """Return whether a message with the id `value` is one that came before."""
    event = frame(msgspec.json.encode({"id": value}).decode())
    key = repeats.mark(event, now_ms)
    if key is not None:
        repeats.accepted("events", key, now_ms)
    return event.duplicate


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("1", "1", True),
        ("1", 1, False),
        (1, 1.0, True),
        (1, True, False),
        ("true", True, False),
        (0, False, False),
        (False, False, True),
        ("", "", True),
        ("a", "A", False),
        ("é", "e\u0301", False),
        (2**53 + 1, 2**53, False),
        (2**70, 2**70, True),
        (1.5, 1.5, True),
        (None, None, False),
        ({"a": 1}, {"a": 1}, False),
        ([1], [1], False),
        ("k" * 500, "k" * 500, True),
        ("k" * 500 + "a", "k" * 500 + "b", False),
        ("k" * (LIMITS.last_value_bytes + 1), "k" * (LIMITS.last_value_bytes + 1), False),
    ],
)
def test_which_ids_are_one(first, second, same):
    repeats = knowing()
    assert not come(repeats, first)
    assert come(repeats, second) is same


@pytest.mark.parametrize("text", ["", "[1]", "no JSON", '{"other": 1}', '{"id": 1', "[" * 100_000])
def test_without_an_id_nothing_is_a_repeat(text):
    repeats = knowing()
    for _ in range(2):
        event = frame(text)
        assert repeats.mark(event, 0) is None
        assert not event.duplicate


def test_only_text_frames_of_its_ingress_are_looked_at():
    repeats = knowing()
    about = {"source": "host", "ingress_name": "events", "created_at": "", "correlation_id": "c"}
    others = [
        IngressEvent(kind="timer", payload={"id": 1}, **about),
        BinaryFrame("events", "g", SessionId("s"), 1, b'{"id": 1}', 0, 9),
        frame('{"id": 1}', "other"),
    ]
    for event in [*others, *others]:
        assert repeats.mark(event, 0) is None
        repeats.lost([event])
    assert not others[-1].duplicate


def test_what_was_lost_is_new_when_it_comes_again():
    repeats = knowing()
    assert not come(repeats, "a")
    assert not come(repeats, "b")
    repeat = frame('{"id": "b"}')
    repeats.mark(repeat, 0)
    # Of the repeat the first one was handled; of the other one nothing was.
    repeats.lost([frame('{"id": "a"}'), repeat, frame("no id")])
    assert not come(repeats, "a")
    assert come(repeats, "b")


def test_a_refused_message_is_not_known():
    repeats = knowing()
    repeats.mark(frame('{"id": "a"}'), 0)  # and then found no room
    assert not come(repeats, "a")


class Model:
    """The ids as a list of (id, when it last came), latest last."""

    def __init__(self, keep_ms, most):
        self.keep_ms, self.most, self.came = keep_ms, most, []

    def come(self, value, now_ms):
        known = any(v == value and now_ms - at <= self.keep_ms for v, at in self.came)
        self.came = [(v, at) for v, at in self.came if v != value]
        self.came = [*self.came, (value, now_ms)][-self.most :]
        return known


@given(
    keep_ms=st.integers(0, 10),
    most=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from("abcde"), st.integers(-6, 6)), max_size=40),
    restart=st.integers(0, 40),
)
def test_it_is_a_list_of_what_came_last(keep_ms, most, steps, restart):
    """Whatever the clock does, and whether the host was restarted in between."""
    rule = Dedupe(AT, keep_ms, most)
    repeats, model, now_ms = Repeats({"events": rule}), Model(keep_ms, most), 100
    for at, (value, passes) in enumerate(steps):
        now_ms += passes
        if at == restart:
            repeats = Repeats({"events": rule})
            repeats.restore("events", [(f'"{v}"', when) for v, when in model.came])
        assert come(repeats, value, now_ms) is model.come(value, now_ms)
