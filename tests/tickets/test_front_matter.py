"""The head of item.md: strict reading, edits of single lines (I1, I5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import TicketError
from yoi.tickets.front_matter import edited, parse_front_matter

from .conftest import CORPUS

ITEM = """---
title: "One: \\"two\\""
state: 'planning'
labels:
  - 'a'
  - b
risk_flags: ['x', 'y']
assignee: null
nested: {a: 1}
---

# Text

---
title: not this one
"""


def test_every_scalar_is_text_and_unknown_keys_are_kept():
    found = parse_front_matter(ITEM)
    assert found.values == {
        "title": 'One: "two"',
        "state": "planning",
        "labels": ["a", "b"],
        "risk_flags": ["x", "y"],
        "assignee": None,
        "nested": "{a: 1}",
    }
    assert found.body.startswith("\n# Text")
    assert found.end == 10
    assert found.lines["labels"] == (4, 7)


@pytest.mark.parametrize(
    ("head", "line", "words"),
    [
        ("no fence", 1, "does not begin"),
        ("---\ntitle: x\n", 1, "no closing"),
        ("---\ntitle: x\ntitle: y\n---\n", 3, "stands twice"),
        ("---\na: &x 1\nb: 2\n---\n", 2, "anchors"),
        ("---\na: 1\nb: *x\n---\n", 3, "anchors"),
        ("---\na: !!python/object:os.system x\n---\n", 2, "tags"),
        ("---\na: [\n---\n", 3, "not YAML"),
        ("---\n- a\n---\n", 2, "table of keys"),
        ("---\n? [a]\n: b\n---\n", 2, "not a word"),
        ("---\na: " + "[" * 20 + "]" * 20 + "\n---\n", 2, "nested too deeply"),
        ("---\na: [" + "x," * 2000 + "]\n---\n", 2, "too many"),
        ("---\na: " + "x" * 20000 + "\n---\n", 1, "bytes"),
        ("---\na: b: c\n---\n", 2, "not YAML"),
        ("---\na: 1\nb: \0\n---\n", 3, "special characters are not allowed \\["),
    ],
)
def test_what_is_refused_has_its_line(head, line, words):
    with pytest.raises(TicketError, match=words) as refused:
        parse_front_matter(head)
    assert refused.value.code == "ticket.front_matter"
    assert refused.value.fields["line"] == line


def test_only_the_lines_of_changed_keys_change():
    after = edited(
        ITEM, {"title": 'It\'s "new"', "labels": ["c"], "queued_by": "me", "assignee": None}
    )
    assert after == (
        ITEM.replace('title: "One: \\"two\\""', 'title: "It\'s \\"new\\""')
        .replace("labels:\n  - 'a'\n  - b\n", "labels: ['c']\n")
        .replace("nested: {a: 1}\n", "nested: {a: 1}\nqueued_by: 'me'\n")
    )


def test_a_byte_order_mark_stays_where_an_editor_put_it():
    assert parse_front_matter("\ufeff" + ITEM) == parse_front_matter(ITEM)
    assert edited("\ufeff" + ITEM, {"title": "a"}) == "\ufeff" + edited(ITEM, {"title": "a"})


def test_a_value_that_is_no_line_is_refused():
    for value in ("a\nb", "a\x1b[0m", "a\x85b"):
        with pytest.raises(TicketError, match="one line"):
            edited(ITEM, {"title": value})


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/item.md")), ids=lambda p: p.parent.name)
def test_the_corpus_is_read_and_an_edit_that_changes_nothing_is_byte_identical(path):
    text = path.read_bytes().decode()
    found = parse_front_matter(text)
    assert edited(text, dict(found.values)) == text or any(
        isinstance(value, str) and "\n" in value for value in found.values.values()
    )
    after = edited(text, {"updated_at": "2030-01-01T00:00:00Z"})
    rows = [
        one for one in zip(text.splitlines(), after.splitlines(), strict=True) if one[0] != one[1]
    ]
    assert len(rows) == 1
    assert edited(after, {"updated_at": found.values["updated_at"]}) == text


_TEXT = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=20)


@given(_TEXT, st.lists(_TEXT, max_size=3), st.sampled_from(["title", "labels", "new", "nested"]))
def test_what_is_written_is_read_again(text, several, key):
    for value in (text, several, None):
        after = edited(ITEM, {key: value})
        found = parse_front_matter(after)
        assert found.values[key] == value
        others = parse_front_matter(ITEM).values
        assert {k: v for k, v in found.values.items() if k != key} == {
            k: v for k, v in others.items() if k != key
        }


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    for document in (text, f"---\n{text}\n---\nbody"):
        try:
            parse_front_matter(document)
            line = 1
        except TicketError as exc:
            line = exc.fields["line"]
        assert line >= 1
