import json
import tracemalloc
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core import frame_search
from yoi.core.frame_watch import Autoreply, FrameWatch
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import LastValue
from yoi.permissions.match import Match, json_equal

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def at(text):
    return JsonPointer.parse(text)


def watching(*last, ack=None, replies=()):
    watch = FrameWatch([LastValue(name, at(pointer)) for name, pointer in last])
    watch.ack = ack
    watch.replies = list(replies)
    return watch


def test_nothing_is_parsed_where_nothing_is_watched():
    assert FrameWatch(()).idle
    assert not watching(("seq", "/s")).idle


def test_a_last_value_is_the_latest_that_is_not_null_and_keeps_its_type():
    watch = watching(("seq", "/s"), ("id", "/d/session/1"))
    for frame in (
        '{"s": 1}',
        '{"s": null}',
        '{"d": {}}',
        "[]",
        "not json",
        '{"s": "2"}',
        '{"s":[3]}',
    ):
        watch.look(frame)
    assert watch.last == {"seq": [3]}
    watch.look('{"d": {"session": ["a", true]}, "s": 123456789012345678901234567890}')
    assert watch.last == {"seq": 123456789012345678901234567890, "id": True}


def test_a_last_value_that_is_too_long_is_not_remembered():
    watch = watching(("seq", "/s"))
    watch.look('{"s": 1}')
    watch.look(json.dumps({"s": "x" * 5000}))
    assert watch.last == {"seq": 1}


def test_an_acknowledgement_is_told_from_other_frames():
    watch = watching(ack=Match(at("/op"), (11,)))
    assert watch.look('{"op": 11, "d": null}') == (True, [])
    assert watch.look('{"op": 11.0}') == (True, [])
    for other in (
        '{"op": 10}',
        '{"op": "11"}',
        '{"op": true}',
        '{"d": {"op": 11}}',
        "[11]",
        "11",
        "",
    ):
        assert watch.look(other) == (False, [])
    assert not watching(ack=Match(at("/op"), (1,))).look('{"op": true}')[0]


def test_replies_carry_what_they_copy_in_order():
    reply = Autoreply(Match(at("/type"), ("req",)), lambda *_: "", (at("/id"), at("/a/0")))
    watch = watching(replies=[reply])
    (due,) = watch.look('{"type": "req", "a": [null], "id": "x"}')[1]
    assert due.copied == ("x", None)
    (due,) = watch.look('{"type": "req", "id": "x"}')[1]
    assert due.copied is None
    assert watch.look('{"type": "other", "id": "x"}') == (False, [])


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"op":' * 200_000, '{"op": 1', '\ufeff{"op": 11}']
)
def test_hostile_text_matches_nothing(text):
    assert watching(("seq", "/op/op"), ack=Match(at("/op/0"), (11,))).look(text) == (False, [])


@given(document=JSON, pretty=st.booleans(), beginning=st.sampled_from([1, 8, 40, 4096]))
def test_every_value_is_found_where_a_whole_parse_finds_it(document, pretty, beginning):
    text = json.dumps(document, indent=2 if pretty else None, ensure_ascii=not pretty)
    with patch.object(frame_search, "_BEGINNING", beginning):
        for pointer, value in places(document):
            watch = watching(ack=Match(pointer, (value,)))
            assert watch.look(text)[0] is True


def places(value, tokens=()):
    if tokens:
        yield JsonPointer(tokens), value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*tokens, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*tokens, str(index)))


@given(one=JSON, other=JSON)
def test_equality_is_json_s(one, other):
    assert json_equal(one, one)
    assert json_equal(one, other) == json_equal(other, one)
    if type(one) is not type(other) and isinstance(one, bool):
        assert not json_equal(one, other)


def test_values_that_are_nested_without_end_are_compared():
    """The plugin says with what, the server what: together they may not end the session."""
    deep = json.loads("[" * 900 + "1" + "]" * 900)
    watch = watching(ack=Match(at("/a"), (deep,)))
    assert watch.look('{"a":' + "[" * 900 + "1" + "]" * 900 + "}")[0] is True
    assert watch.look('{"a":' + "[" * 900 + "2" + "]" * 900 + "}")[0] is False
    assert not json_equal(deep, deep[0])


def test_a_container_is_gone_through_once_whatever_is_watched_in_it(monkeypatch):
    parsed = []
    real = frame_search._parsed

    def counted(decoder, data):
        parsed.append(data)
        return real(decoder, data)

    monkeypatch.setattr(frame_search, "_parsed", counted)
    replies = [Autoreply(Match(at(f"/x/{n}"), ([n],)), lambda *_: "") for n in range(8)]
    watch = watching(*((f"n{n}", f"/x/{n}") for n in range(8)), replies=replies)
    watch.look('{"s":1,"x":[' + ",".join(["[]"] * 1000) + "]}")
    assert len(watch.last) == 8
    assert len(parsed) == 2 + 8  # the object, its list, and eight values


def test_of_a_long_list_only_the_beginning_is_read_again(monkeypatch):
    sizes = []
    real = frame_search._parsed

    def counted(decoder, data):
        sizes.append(len(data if isinstance(data, str) else memoryview(data)))
        return real(decoder, data)

    monkeypatch.setattr(frame_search, "_parsed", counted)
    watch = watching(*((f"n{n}", f"/x/{n}") for n in range(8)))
    frame = '{"x":[' + ",".join(['"],[\\",["', "[[1,2]]", "{}"] * 20_000) + "]}"
    watch.look(frame)
    assert watch.last["n0"] == watch.last["n6"] == '],[",['
    assert watch.last["n7"] == [[1, 2]]
    assert sorted(sizes)[-1] == len(frame)
    assert sorted(sizes)[-2] < 100


def test_what_is_not_on_a_way_is_never_built():
    watch = watching(("seq", "/s"), ("id", "/d/id"), ack=Match(at("/op"), (11,)))
    frame = '{"s":1,"op":11,"d":{"id":7,"big":[' + "[]," * 300_000 + "0]}}"
    tracemalloc.start()
    try:
        watch.look(frame)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert watch.last == {"seq": 1, "id": 7}


def test_a_frame_that_costs_too_much_is_left_and_says_so():
    limits = Limits(watched_bytes=100)
    watch = FrameWatch([LastValue("seq", at("/s")), LastValue("id", at("/d/id"))], limits)
    watch.look('{"s":1,"d":{"id":7,"more":"' + "x" * 100 + '"}}')
    assert watch.last == {"seq": 1}
    assert watch.cut_short
    watch.look('{"s":2,"d":{"id":8}}')
    assert watch.last == {"seq": 2, "id": 8}
    assert not watch.cut_short


def test_long_values_match_nothing_and_are_not_copied():
    long = json.dumps(["x" * LIMITS.last_value_bytes])
    reply = Autoreply(Match(at("/op"), (1,)), lambda *_: "", (at("/id"),))
    watch = watching(ack=Match(at("/id"), (json.loads(long),)), replies=[reply])
    acked, (due,) = watch.look(f'{{"op":1,"id":{long}}}')
    assert not acked
    assert due.copied is None


@pytest.mark.parametrize("key", ['a"b', "a\\b", "a\nb", "é", "", "f0"])
def test_any_key_can_be_watched(key):
    watch = FrameWatch([LastValue("v", JsonPointer((key, key)))])
    watch.look(json.dumps({key: {key: 1}}))
    assert watch.last == {"v": 1}


def test_whole_texts_are_matched_without_reading_them():
    two = Autoreply(Match(None, ("2", "ping")), lambda *_: "3")
    watch = watching(ack=Match(None, ("pong",)), replies=[two])
    assert watch.look("pong") == (True, [])
    assert [due.reply for due in watch.look("2")[1]] == [two]
    assert [due.reply for due in watch.look("ping")[1]] == [two]
    assert watch.look("2 ") == (False, [])
    assert watch.look('"2"') == (False, [])
    assert watch.look("[" * 5_000_000) == (False, [])
    assert not watch.cut_short


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("PING :x", ":x"),
        ("PING :x\r\n", ":x"),
        ("PING :x\nPRIVMSG #c :forged", ":x"),
        ("PING ", ""),
        ("PING a\0b", None),
        ("PING " + "x" * 4096, "x" * 4096),
        ("PING " + "x" * 4097, None),
        ("PING " + "x" * 5_000_000, None),
    ],
    ids=["line", "crlf", "forged", "empty", "control", "most", "over", "megabytes"],
)
def test_what_follows_a_prefix_is_copied_to_the_end_of_its_line(text, copied):
    reply = Autoreply(Match(None, prefix="PING "), lambda *_: "", rest=True)
    _, (due,) = watching(replies=[reply]).look(text)
    assert due.copied == (None if copied is None else (copied,))
    assert watching(replies=[reply]).look("XPING y") == (False, [])


def test_an_index_far_behind_is_not_looked_for():
    watch = watching(("near", "/1023"), ("far", "/1024"))
    watch.look("[" + "0," * 1100 + "0]")
    assert watch.last == {"near": 0}


def test_what_is_watched_may_change_between_frames():
    watch = watching(("seq", "/s"))
    watch.look('{"s":1,"op":11}')
    watch.ack = Match(at("/op"), (11,))
    assert watch.look('{"s":2,"op":11}') == (True, [])
    watch.ack = None
    assert watch.look('{"s":3,"op":11}') == (False, [])
    assert watch.last == {"seq": 3}


def test_a_prefix_is_compared_with_megabytes_without_reading_them():
    """Nothing is parsed or copied, and what is copied behind the answer is bounded."""
    rest = Autoreply(Match(None, prefix="PING "), lambda copied, _: "".join(copied), rest=True)
    watch = FrameWatch(())
    watch.replies = [rest]
    watch.ack = Match(None, prefix="{" * 128)
    huge, long, line = (
        "{" * 16_000_000,
        "PING " + "x" * 16_000_000,
        "PING :a\r\n" + "y" * 16_000_000,
    )
    tracemalloc.start()
    try:
        assert watch.look(huge) == (True, [])
        [due] = watch.look(long)[1]
        assert due.copied is None, "over 4 KiB: nothing is sent"
        [due] = watch.look(line)[1]
        assert due.copied == (":a",)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
