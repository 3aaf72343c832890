"""W9: values go to named places only, and nothing is ever found by scanning text."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core import insertion
from yoi.core.insertion import Insertion, insert_into, parse_insertions, value_at
from yoi.errors import InsertionError, SecretError
from yoi.limits import LIMITS
from yoi.permissions import JsonPointer


def at(text):
    return JsonPointer.parse(text)


def putting(document, place, value, **source):
    insertion = Insertion(at(place), **(source or {"secret": "s"}))
    return insert_into(document, (insertion,), lambda _: value)


@pytest.mark.parametrize(
    ("document", "place", "expected"),
    [
        ({"a": None}, "/a", {"a": 7}),
        ({}, "/a", {"a": 7}),
        ({"a": "placeholder"}, "/a", {"a": 7}),
        ({"a": [1, None, 3]}, "/a/1", {"a": [1, 7, 3]}),
        ([{"b": 0}], "/0/b", [{"b": 7}]),
        ({"a/b": {"m~n": 1}}, "/a~1b/m~0n", {"a/b": {"m~n": 7}}),
        ({"": {"": 1}}, "//", {"": {"": 7}}),
        ({"0": 1}, "/0", {"0": 7}),
        ({"01": 1}, "/01", {"01": 7}),
    ],
)
def test_the_named_place_is_filled(document, place, expected):
    before = copy.deepcopy(document)
    assert putting(document, place, 7) == expected
    assert document == before


@pytest.mark.parametrize("value", ["x", 7, 1.5, True, False, None, [1, "a"], {"a": None}])
def test_the_json_type_is_kept(value):
    made = putting({"d": None}, "/d", value, last="seq")
    assert type(made["d"]) is type(value)
    assert json.loads(json.dumps(made)) == {"d": value}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, "/a/b"),
        ({"a": None}, "/a/b"),
        ({"a": "text"}, "/a/0"),
        ({"a": []}, "/a/0"),
        ({"a": [1]}, "/a/-"),
        ({"a": [1]}, "/a/01"),
        ({"a": [1]}, "/a/1"),
        ({"a": [1]}, "/a/-1"),
        ({"a": [1]}, "/a/b"),
        ({"a": {}}, "/a"),
        ({"a": [1]}, "/a"),
        ("text", "/a"),
        (None, "/a"),
        ({"A": {}}, "/a/b"),
    ],
)
def test_a_place_that_is_not_there_is_refused_before_any_value_is_asked_for(document, place):
    asked = []
    with pytest.raises(InsertionError) as caught:
        insert_into(document, (Insertion(at(place), secret="s"),), asked.append)
    assert caught.value.code == "insert.place"
    assert asked == []


def test_a_prefix_goes_before_text_only():
    insertion = Insertion(at("/headers/authorization"), secret="app", prefix="Bearer ")
    document = {"headers": {}}
    made = insert_into(document, (insertion,), lambda _: "xapp-1")
    assert made == {"headers": {"authorization": "Bearer xapp-1"}}
    with pytest.raises(SecretError) as caught:
        insert_into(document, (insertion,), lambda _: 5)
    assert caught.value.code == "secret.malformed"


@pytest.mark.parametrize(
    "raw",
    [
        {},
        "insert",
        None,
        [1],
        [{}],
        [{"at": "/a"}],
        [{"secret": "s"}],
        [{"at": "a", "secret": "s"}],
        [{"at": "", "secret": "s"}],
        [{"at": "/a", "secret": "s", "captured": "c"}],
        [{"at": "/a", "secret": ""}],
        [{"at": "/a", "secret": 5}],
        [{"at": "/a", "secret": "s" * (LIMITS.name_bytes + 1)}],
        [{"at": "/a", "secret": "s", "value": "x"}],
        [{"at": "/a", "last": "s", "prefix": "x"}],
        [{"at": "/a", "captured": "s", "prefix": "x"}],
        [{"at": "/a", "secret": "s", "prefix": "x\r\nY: z"}],
        [{"at": "/a", "secret": "s", "prefix": "é"}],
        [{"at": "/a", "secret": "s", "prefix": 1}],
        [{"at": "/a", "secret": "s", "prefix": "x" * (LIMITS.insert_prefix_chars + 1)}],
        [{"at": "/a", "secret": "s"}, {"at": "/a", "secret": "t"}],
        [{"at": "/a/b", "secret": "s"}, {"at": "/a-", "secret": "u"}, {"at": "/a", "secret": "t"}],
        [{"at": f"/{n}", "secret": "s"} for n in range(LIMITS.insertions + 1)],
    ],
)
def test_a_list_that_is_not_exact_is_refused(raw):
    with pytest.raises(InsertionError) as caught:
        parse_insertions(raw)
    assert caught.value.code == "insert.malformed"


def test_what_is_parsed():
    found = parse_insertions(
        [
            {"at": "/headers/authorization", "secret": "app", "prefix": "Bearer "},
            {"at": "/d/seq", "last": "seq"},
            {"at": "/d/token", "captured": "handle:1", "secret": None},
        ]
    )
    assert [one.placeholder for one in found] == [
        "Bearer <secret app>",
        "<last seq>",
        "<captured handle:1>",
    ]


TEMPLATES = (
    "<secret app>", "{{secret:app}}", "${app}", "$app", "{secret}", "%(app)s", "%s", "{0}", "{app}",
    "<captured handle:1>", "<last seq>", "/d/token", '{"secret": "app"}', "secret:app",
    "Bearer <secret app>", "[[app]]", "\u0000app", "#{app}", "<%= app %>", "`app`", "app",
)  # fmt: skip
TEXT = st.one_of(st.sampled_from(TEMPLATES), st.text(max_size=20))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=20,
)
VALUE = "marked-secret-value-0123456789"


def leaves(document, path=()):
    """Return every scalar (and empty container) with its path."""
    if isinstance(document, dict) and document:
        children = document.items()
    elif isinstance(document, list) and document:
        children = ((str(index), one) for index, one in enumerate(document))
    else:
        return {path: document}
    found = {}
    for key, one in children:
        found |= leaves(one, (*path, key))
    return found


def control_free(path):
    try:
        JsonPointer.parse(str(JsonPointer(path)))
    except ValueError:
        return False
    return True


@given(JSON)
def test_nothing_is_substituted_where_nothing_is_named(document):
    """Every placeholder-looking string a chat user could type stays what it is."""
    assert insert_into(document, (), lambda _: VALUE) is document


@given(st.data(), st.dictionaries(TEXT, JSON, min_size=1, max_size=5))
def test_only_the_named_places_change(data, document):
    before = leaves(document)
    scalars = [
        path
        for path, value in before.items()
        if path and not isinstance(value, dict | list) and control_free(path)
    ]
    chosen = data.draw(st.sets(st.sampled_from(scalars), max_size=3)) if scalars else set()
    raw = [{"at": str(JsonPointer(path)), "secret": "app"} for path in sorted(chosen)]
    kept = copy.deepcopy(document)
    made = insert_into(document, parse_insertions(raw), lambda _: VALUE)
    assert leaves(made) == {path: VALUE if path in chosen else before[path] for path in before}
    assert document == kept


@given(JSON, TEXT, st.sampled_from(TEMPLATES))
def test_a_value_that_looks_like_a_place_is_not_followed(document, key, value):
    """What was inserted is never looked at again."""
    made = insert_into(
        {"a": None, "b": None, "rest": document},
        parse_insertions([{"at": "/a", "last": "x"}, {"at": "/b", "last": "y"}]),
        lambda one: value if one.last == "x" else [key],
    )
    assert made == {"a": value, "b": [key], "rest": document}


def test_value_at():
    document = {"a": [{"b": 5}]}
    assert value_at(document, at("/a/0/b")) == 5
    for missing in ("/x", "/a/1", "/a/-", "/a/0/b/c"):
        with pytest.raises(LookupError):
            value_at(document, at(missing))


def test_each_container_on_a_way_is_copied_once(monkeypatch):
    made = []
    copied = insertion._Copies._copied

    def counted(self, container):
        made.append(copied(self, container))
        return made[-1]

    monkeypatch.setattr(insertion._Copies, "_copied", counted)
    document = {"list": [None] * 16, "other": [1]}
    places = tuple(Insertion(at(f"/list/{n}"), secret="s") for n in range(16))
    filled = insert_into(document, places, lambda one: int(one.at.tokens[1]))
    assert filled == {"list": list(range(16)), "other": [1]}
    assert document == {"list": [None] * 16, "other": [1]}
    assert filled["other"] is document["other"]
    assert len({id(one) for one in made}) == 2


def test_text_that_is_not_known_yet_is_no_text_that_a_grant_may_name():
    """Else a value put in before would make the place of the next one look like another."""
    (one,) = parse_insertions([{"at": "/2", "secret": "s"}])
    assert insertion.position(["PASS ", "x", None], one, insertion.Layout.PARTS).before == "PASS x"
    known = insertion.position(["PASS ", None, None], one, insertion.Layout.PARTS).before
    assert "\0" in known


def test_a_counter_is_a_number_or_a_text_that_ends_with_it():
    (number,) = parse_insertions([{"at": "/id", "counter": "session"}])
    assert insert_into({"id": None}, [number], lambda _: 7) == {"id": 7}
    for prefix, written in (("", "7"), ("q", "q7")):
        counted = {"at": "/id", "counter": "session", "prefix": prefix}
        assert insert_into({"id": None}, parse_insertions([counted]), lambda _: 7) == {
            "id": written
        }
