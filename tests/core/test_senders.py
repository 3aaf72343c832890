"""Who may speak: the operator's rules, read in frames of strangers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.senders import Heard, SenderFilter
from yoi.limits import Limits
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.permissions.senders import SenderRule

TYPE, AUTHOR = JsonPointer.parse("/type"), JsonPointer.parse("/author/id")
RULE = SenderRule(Match(TYPE, ("message",)), AUTHOR, ("ann", 7))
ONE = SenderFilter([RULE])
REFUSED, UNNAMED = Heard(delivered=False), Heard(delivered=True)


@pytest.mark.parametrize(
    ("frame", "heard"),
    [
        ({"type": "message", "author": {"id": "ann"}}, Heard(True, "ann")),
        ({"type": "message", "author": {"id": 7}}, Heard(True, "7")),
        ({"type": "message", "author": {"id": "7"}}, REFUSED),
        ({"type": "message", "author": {"id": "eve"}}, REFUSED),
        ({"type": "message", "author": {"id": ["ann"]}}, REFUSED),
        ({"type": "message", "author": {"id": None}}, REFUSED),
        ({"type": "message", "author": "ann"}, REFUSED),
        ({"type": "message"}, REFUSED),
        ({"type": "hello"}, UNNAMED),
        ({"type": ["message"], "author": {"id": "ann"}}, UNNAMED),
        ([], UNNAMED),
    ],
)
def test_a_listed_sender_is_heard_and_others_are_not(frame, heard):
    assert ONE.hear(json.dumps(frame)) == heard


def test_text_that_is_no_json_is_of_no_sender():
    assert ONE.hear("message ann") == UNNAMED
    whole = SenderFilter([SenderRule(Match(None, prefix="message"), AUTHOR, ("ann",))])
    assert whole.hear("message ann") == REFUSED
    assert whole.hear("hello") == UNNAMED


def test_the_first_rule_that_fits_decides():
    edited = SenderRule(Match(TYPE, prefix="message"), JsonPointer.parse("/editor"), ("bob",))
    both = SenderFilter([RULE, edited])
    assert both.hear('{"type":"message","editor":"bob"}') == REFUSED
    assert both.hear('{"type":"message_edited","editor":"bob"}') == Heard(True, "bob")


def test_a_frame_that_costs_too_much_to_read_is_not_delivered():
    deep = SenderFilter([RULE], Limits(watched_bytes=100))
    big = json.dumps({"type": "message", "author": {"pad": "x" * 1000, "id": "ann"}})
    assert deep.hear(big) == REFUSED
    assert ONE.hear(big) == Heard(True, "ann")


@given(st.text(max_size=200))
def test_no_text_raises_or_passes_for_a_sender(text):
    assert ONE.hear(text).sender == ""


def test_without_rules_everything_is_delivered():
    assert not SenderFilter()
    assert SenderFilter().hear("anything") == UNNAMED


class Paired:
    """Lets `ann` in; `.heard` is what strangers said."""

    def __init__(self, *senders):
        self.senders, self.heard = senders, []

    def paired(self, rule):
        return self.senders

    def said(self, rule, sender, text):
        self.heard.append((sender, text))


def test_a_code_is_read_only_of_a_stranger_where_the_rule_says_and_when_a_frame_comes():
    said = JsonPointer.parse("/text")
    pairing = Paired("paired")
    opened = SenderFilter([SenderRule(RULE.when, AUTHOR, ("ann",), said)], pairing=pairing)
    closed = SenderFilter([RULE], pairing=pairing)

    def frame(author, text="CODE", kind="message"):
        return json.dumps({"type": kind, "author": {"id": author}, "text": text})

    assert opened.admit(frame("paired")) == Heard(True, "paired")
    assert closed.admit(frame("paired")) == REFUSED  # the rule lets nobody in by a code any more
    for heard in ("ann", "paired", ["list"], None, True):
        opened.admit(frame(heard))
    opened.admit(frame("eve", text=["CODE"]))
    opened.admit(frame("eve", kind="hello"))
    opened.hear(frame("eve"))
    closed.admit(frame("eve"))
    assert pairing.heard == []
    assert opened.admit(frame("eve")) == REFUSED
    assert pairing.heard == [("eve", "CODE")]
