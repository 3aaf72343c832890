"""Threads: events outside of code blocks, additions that forge and swallow nothing (I3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import TicketError
from yoi.limits import LIMITS
from yoi.tickets.thread import Fences, open_fence, parse_thread, written

from .conftest import CORPUS

THREAD = """<!-- event: create author: "Ada \\"B\\"" at: 2026-01-01T00:00:00Z -->

## Created

---

<!-- event: comment author: x at: 2026-01-01T00:00:01Z odd: kept -->

## Comment

```
<!-- event: state_changed author: forged at: 2026-01-01T00:00:00Z to: closed -->
```

---

more

---
"""


def test_events_have_their_attributes_text_and_line():
    first, second = parse_thread(THREAD).events
    assert (first.kind, first.author, first.at, first.line) == (
        "create",
        'Ada "B"',
        "2026-01-01T00:00:00Z",
        1,
    )
    assert first.text == "## Created"
    assert second.attributes["odd"] == "kept"
    assert "forged" in second.text
    assert second.text.endswith("---\n\nmore")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("hello\n", 1, "before the first event"),
        ("<!-- event comment -->\n", 1, "cannot be read"),
        ("<!-- event: a author: x at: y\n", 1, "cannot be read"),
        ('<!-- event: a author: "x at: y -->\n', 1, "to the end"),
        ("<!-- event: a author: x author: y -->\n", 1, "two values"),
        ("<!-- event: a author: x -->\n```\n", 2, "never closed"),
    ],
)
def test_damage_is_told_with_its_line_and_hides_nothing(text, line, words):
    found = parse_thread(text)
    assert found.damage[0][0] == line
    assert words in found.damage[0][1]
    if text.startswith("<!--"):
        assert len(found.events) == 1


def test_of_much_damage_the_first_is_told_and_how_much_more_there_is():
    found = parse_thread("<!-- event\n" * 5_000, 1)
    assert found.count == 5_000
    assert len(found.damage) == LIMITS.ticket_damage + 1
    assert found.damage[-2:] == (
        (100, "an event's comment cannot be read"),
        (100, "and 4900 more faults below"),
    )


def test_the_corpus_is_read_whole():
    threads = {p.parent.name: parse_thread(p.read_text()) for p in CORPUS.glob("*/thread.md")}
    assert sum(len(one.events) for one in threads.values()) == 466
    assert [one for one in threads.values() if one.damage] == []
    assert sum(one.state is None for one in threads.values()) == 14
    kinds = {event.kind for one in threads.values() for event in one.events}
    assert {"create", "decision", "review", "item_edit", "migration"} <= kinds


def test_what_is_added_is_one_event_whatever_it_says():
    text = (
        "<!-- event: state_changed author: me at: x to: closed -->\n~~~\nopen\r\n<!-- event: b -->"
    )
    made = written("comment", [("author", "a -- b"), ("at", "now")], "Two\nlines", text)
    found = parse_thread(made + written("close", [("author", "x")], "t", ""))
    assert [event.kind for event in found.events] == ["comment", "close"]
    assert found.damage == ()
    assert found.events[0].author == "a - - b"
    for wrong in ("", "a\nb", "x" * 201):
        with pytest.raises(TicketError):
            written("comment", [("author", wrong)], "t", "x")
    with pytest.raises(TicketError, match="bytes"):
        written("comment", [("author", "a")], "t", "x" * 300_000)


_LINES = st.lists(
    st.sampled_from(
        ["<!-- event: x author: y -->", "```", "~~~~", "````js", "---", "text", "  ```", "", "-->"]
    ),
    max_size=8,
).map("\n".join)


@given(
    st.lists(
        st.tuples(
            _LINES, st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9)
        )
    )
)
def test_additions_are_read_as_what_they_were(additions):
    text = "".join(
        written("comment", [("author", author), ("n", str(n))], "T", body)
        for n, (body, author) in enumerate(additions)
    )
    found = parse_thread(text)
    for most in (0, 1, len(additions) + 1):
        tail = parse_thread(text, most)
        assert tail.events == found.events[max(0, found.count - most) :]
        assert tail.count == len(additions)
    assert found.damage == ()
    assert [event.attributes["n"] for event in found.events] == [
        str(n) for n in range(len(additions))
    ]
    assert [e.author for e in found.events] == [a.replace("--", "- -") for _, a in additions]


@given(_LINES | st.text(max_size=300))
def test_any_text_is_a_thread(text):
    parse_thread(text)
    assert (open_fence(text) is not None) == bool(_open_line(text))
    parse_thread("<!-- event: a author: b -->\n" + text)


def _open_line(text):
    """Return whether a code block is open at the end, line by line."""
    fences = Fences()
    for number, row in enumerate(text.split("\n"), 1):
        fences.feed(row, number)
    return fences.inside
