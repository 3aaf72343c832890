"""Captured values stay on this side; the guest has handles."""

import copy
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.captures import Captured, HandleTable, take_captures
from yoi.errors import CaptureFailed
from yoi.limits import Limits
from yoi.permissions import Capture, JsonPointer

URL = "wss://wss.example.com/link?ticket=canary"


def declare(*places):
    return [Capture(f"c{n}", JsonPointer.parse(at)) for n, at in enumerate(places)]


def test_the_value_is_replaced_by_null_and_the_document_is_not_changed():
    document = {"ok": True, "a": [{"url": URL}, 2], "n": 7}
    before = copy.deepcopy(document)
    taken = take_captures(document, declare("/a/0/url", "/n"))
    assert document == before
    assert taken.document == {"ok": True, "a": [{"url": None}, 2], "n": None}
    assert {name: value.reveal() for name, value in taken.values.items()} == {"c0": URL, "c1": 7}
    assert not taken.failed


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ({}, "/url"),
        ({"url": None}, "/url"),
        ({"a": {}}, "/a/b/c"),
        ({"a": "text"}, "/a/0"),
        ([1], "/1"),
        ([1], "/-"),
        ([1], "/00"),
        ([1], "/-1"),
        (None, "/a"),
        ("text", "/a"),
    ],
)
def test_an_absent_place_is_a_typed_failure_and_hides_nothing(document, at):
    """A service's own error answer has no credential in it, and must reach the guest."""
    taken = take_captures(document, declare(at))
    assert taken.document == document
    assert taken.failed["c0"].code == "capture.absent"
    assert not taken.values


@pytest.mark.parametrize(
    "value", [True, False, {"x": "canary"}, ["canary"], "", "x" * 8193, "canary\ud800"]
)
def test_the_wrong_type_is_a_typed_failure_and_is_taken_out_all_the_same(value):
    taken = take_captures({"a": value, "b": 1}, declare("/a"))
    assert taken.document == {"a": None, "b": 1}
    assert taken.failed["c0"].code == "capture.type"
    assert "canary" not in str(taken.failed["c0"]) + repr(taken)


def test_one_failure_does_not_keep_another_capture():
    taken = take_captures({"a": "x"}, declare("/a", "/b"))
    assert taken.values["c0"].reveal() == "x"
    assert taken.failed["c1"].code == "capture.absent"


@pytest.mark.parametrize("order", [("/a", "/a/b"), ("/a/b", "/a")])
def test_a_place_inside_another_loses_nothing_and_leaks_nothing(order):
    taken = take_captures({"a": {"b": "canary"}}, declare(*order))
    assert taken.document == {"a": None}
    assert [value.reveal() for value in taken.values.values()] == ["canary"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "0", "~", "/"]), inner, max_size=3)
    ),
    max_leaves=12,
)
TOKENS = st.lists(st.sampled_from(["a", "b", "0", "1", "~", "/", "-"]), min_size=1, max_size=3)


@given(JSON, st.lists(TOKENS, max_size=3))
def test_nothing_that_was_taken_can_be_read_in_what_is_left(document, places):
    declared = [Capture(f"c{n}", JsonPointer(tuple(tokens))) for n, tokens in enumerate(places)]
    before = msgspec.json.encode(document)
    taken = take_captures(document, declared)
    assert msgspec.json.encode(document) == before
    again = take_captures(taken.document, declared)
    assert not again.values
    assert {error.code for error in again.failed.values()} <= {"capture.absent"}


def test_a_captured_value_shows_itself_to_nobody():
    value = Captured("url", URL)
    assert "canary" not in repr(value) + str(value) + f"{value}"
    with pytest.raises(TypeError):
        pickle.dumps(value)
    with pytest.raises(TypeError):
        copy.deepcopy(value)


def handle_table(**limits):
    numbers = iter(range(1000))
    return HandleTable(Limits(**limits), lambda: str(next(numbers)))


def test_a_handle_opens_one_connection_of_one_plugin():
    table = handle_table()
    handle = table.issue("slack", Captured("url", URL), 0.0, target="api")
    assert "canary" not in handle + repr(table) + repr(table.__dict__)
    assert table.open_url(handle, "slack", "gateway", 1.0).reveal() == URL
    assert table.open_url(handle, "slack", "gateway", 2.0).reveal() == URL  # a dial is repeated
    for plugin, connection in (("slack", "other"), ("stranger", "gateway")):
        with pytest.raises(CaptureFailed) as caught:
            table.open_url(handle, plugin, connection, 2.0)
        assert caught.value.code == "capture.handle"


@pytest.mark.parametrize("guess", ["", "handle:", "handle:1", URL, "\x00", "x" * 10_000])
def test_a_guessed_handle_opens_nothing(guess):
    table = handle_table()
    table.issue("p", Captured("url", URL), 0.0, target="api")
    with pytest.raises(CaptureFailed) as caught:
        table.open_url(guess, "p", "gateway", 0.0)
    assert caught.value.code == "capture.handle"


def test_handles_are_unpredictable():
    table = HandleTable()
    made = {table.issue("p", Captured("url", URL), 0.0, target="api") for _ in range(20)}
    assert len(made) == 20
    assert min(map(len, made)) >= 32


def test_handles_age():
    table = handle_table(handle_ms=1000)
    handle = table.issue("p", Captured("url", URL), 0.0, target="api")
    assert table.open_url(handle, "p", "gateway", 0.999)
    with pytest.raises(CaptureFailed):
        table.open_url(handle, "p", "gateway", 1.0)
    table.issue("p", Captured("url", URL), 2.0, target="api")
    assert table.count("p") == 1


def test_handles_are_bounded_per_plugin_and_the_oldest_goes():
    table = handle_table(handles=2)
    first, second, third = (
        table.issue("p", Captured("url", URL), 0.0, target="api") for _ in range(3)
    )
    other = table.issue("q", Captured("url", URL), 0.0, target="api")
    with pytest.raises(CaptureFailed):
        table.open_url(first, "p", "gateway", 0.0)
    for handle in (second, third):
        assert table.open_url(handle, "p", "gateway", 0.0)
    assert table.open_url(other, "q", "gateway", 0.0)
    table.forget("p")
    assert (table.count("p"), table.count("q")) == (0, 1)


def test_a_number_is_no_url():
    table = handle_table()
    handle = table.issue("p", Captured("expires_in", 3600), 0.0, target="api")
    with pytest.raises(CaptureFailed) as caught:
        table.open_url(handle, "p", "gateway", 0.0)
    assert caught.value.code == "capture.type"


def test_a_value_for_an_insertion_keeps_where_it_came_from_and_its_owner():
    table = handle_table()
    handle = table.issue("p", Captured("ticket", URL), 0.0, target="api")
    target, value = table.value(handle, "p", 0.0)
    assert (target, value.name, value.reveal()) == ("api", "ticket", URL)
    for plugin, now in (("q", 0.0), ("p", 1e9)):
        with pytest.raises(CaptureFailed) as caught:
            table.value(handle, plugin, now)
        assert caught.value.code == "capture.handle"
