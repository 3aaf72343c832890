"""Feeds that can be proved whole: the numbers in messages say what is missing and what is there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.continuity import Missing, SequenceWatch, Verdict
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer
from yoi.permissions.match import Match
from yoi.permissions.sequence import SequenceReset, SequenceSettings
from yoi.types import SessionId

SESSION, NEXT_SESSION = SessionId("s1"), SessionId("s2")
V = Verdict


def at(text):
    return None if text is None else JsonPointer.parse(text)


def watching(last="/n", first=None, previous=None, per=None, limits=LIMITS, **more):
    settings = SequenceSettings(at(last), at(first), at(previous), at(per), **more)
    watch = SequenceWatch(settings, limits)
    watch.opened(SESSION)
    return watch


def judge(watch, message, session=SESSION, now_ms=0):
    text = message if isinstance(message, str) else json.dumps(message)
    return watch.judge(session, text, now_ms)


def verdicts(watch, *messages, session=SESSION):
    return [judge(watch, message, session).verdict for message in messages]


def numbers(watch, *found):
    return verdicts(watch, *({"n": n} for n in found))


def test_one_number_a_message():
    watch = watching()
    assert numbers(watch, 7, 8, 9) == [V.FIRST, V.NEXT, V.NEXT]
    judged = watch.judge(SESSION, '{"n": 14}', 5)
    assert judged.verdict is V.GAP
    assert judged.missing == Missing(None, 10, 13, 4, 0)
    assert numbers(watch, 8, 14) == [V.DUPLICATE, V.DUPLICATE]
    assert numbers(watch, 12, 12, 15) == [V.LATE, V.DUPLICATE, V.NEXT]
    assert numbers(watch, 10, 11, 13, 7, 15) == [V.LATE, V.LATE, V.LATE, V.DUPLICATE, V.DUPLICATE]


def test_what_has_no_number_is_in_no_sequence():
    watch = watching()
    assert numbers(watch, 1) == [V.FIRST]
    assert verdicts(watch, {"n": None}, {}, "plain text", "[1]", "") == [V.OUTSIDE] * 5
    assert numbers(watch, 2) == [V.NEXT]


def test_steps():
    watch = watching(step=10)
    assert numbers(watch, 5, 15) == [V.FIRST, V.NEXT]
    assert judge(watch, {"n": 45}).missing == Missing(None, 25, 35, 2, 0)
    crooked = judge(watch, {"n": 62})
    assert (crooked.verdict, crooked.missing) == (V.GAP, Missing(None, 46, 61, None, 0))
    off = judge(watch, {"n": 65})
    assert (off.verdict, off.missing) == (V.GAP, None)
    assert "65 does not follow 62 by 10" in off.why


def test_numbers_from_first_to_last():
    """A market depth feed: each message holds the updates from U to u."""
    watch = watching(first="/U", last="/u")
    said = verdicts(watch, {"U": 1, "u": 5}, {"U": 6, "u": 6}, {"U": 4, "u": 9}, {"U": 2, "u": 9})
    assert said == [V.FIRST, V.NEXT, V.NEXT, V.DUPLICATE]
    assert judge(watch, {"U": 12, "u": 13}).missing == Missing(None, 10, 11, 2, 0)
    assert verdicts(watch, {"U": 9, "u": 11}, {"U": 3, "u": 12}) == [V.LATE, V.DUPLICATE]


def test_a_message_that_names_the_one_before_it():
    watch = watching(first="/U", last="/u", previous="/pu")
    assert verdicts(
        watch, {"U": 90, "u": 100, "pu": 88}, {"U": 107, "u": 110, "pu": 100}, {"u": 120, "pu": 110}
    ) == [V.FIRST, V.NEXT, V.UNREADABLE]
    judged = judge(watch, {"U": 131, "u": 140, "pu": 130})
    assert judged.missing == Missing(None, 111, 130, None, 0)


def test_the_chain_holds_over_an_empty_message_and_over_numbers_that_begin_anew():
    watch = watching(last="/id", previous="/prev")
    assert verdicts(
        watch,
        {"id": 10, "prev": -1},
        {"id": 10, "prev": 10},
        {"id": 3, "prev": 10},
        {"id": 5, "prev": 3},
        {"id": 8, "prev": 6},
    ) == [V.FIRST, V.NEXT, V.NEXT, V.NEXT, V.GAP]


def test_keys_have_sequences_of_their_own():
    watch = watching(per="/s")
    assert verdicts(
        watch,
        {"s": "BTC", "n": 1},
        {"s": "ETH", "n": 70},
        {"s": "BTC", "n": 2},
        {"s": 1, "n": 1},
        {"s": 1.0, "n": 2},
        {"s": "1", "n": 9},
    ) == [V.FIRST, V.FIRST, V.NEXT, V.FIRST, V.NEXT, V.FIRST]
    assert judge(watch, {"s": "ETH", "n": 72}).missing == Missing("ETH", 71, 71, 1, 0)
    lacking = judge(watch, {"n": 3})
    assert (lacking.verdict, "/s" in lacking.why) == (V.UNREADABLE, True)


def test_keys_are_bounded_and_what_is_forgotten_is_said():
    watch = watching(per="/s", limits=Limits(sequence_keys=2))
    assert [judge(watch, {"s": key, "n": 1}).forgot for key in "abac"] == [
        False,
        False,
        False,
        True,
    ]
    assert [judge(watch, {"s": key, "n": 2}).verdict for key in "acb"] == [V.NEXT, V.NEXT, V.FIRST]


def test_a_long_key_is_told_by_its_digest():
    watch = watching(per="/s")
    key = "k" * 1000
    judge(watch, {"s": key, "n": 1})
    shown = judge(watch, {"s": key, "n": 3}).missing.key
    assert shown.startswith("#")
    assert len(shown) < 200


def test_runs_are_bounded_and_what_was_forgotten_is_never_called_a_duplicate():
    watch = watching(limits=Limits(sequence_runs=2))
    assert numbers(watch, 1, 10, 20, 30) == [V.FIRST, V.GAP, V.GAP, V.GAP]
    assert numbers(watch, 30, 20) == [V.DUPLICATE, V.DUPLICATE]
    assert numbers(watch, 10) == [V.LATE]


def test_numbers_that_jump_back_begin_anew_and_are_told():
    watch = watching()
    assert numbers(watch, 100, 101) == [V.FIRST, V.NEXT]
    judged = judge(watch, {"n": 3})
    assert (judged.verdict, judged.missing) == (V.BACK, None)
    assert "went back to 3" in judged.why
    assert numbers(watch, 4, 3) == [V.NEXT, V.DUPLICATE]


def test_each_session_is_its_own_sequence_and_two_may_be_open():
    watch = watching()
    watch.opened(NEXT_SESSION)
    assert numbers(watch, 5, 6) == [V.FIRST, V.NEXT]
    assert verdicts(watch, {"n": 1}, {"n": 2}, session=NEXT_SESSION) == [V.FIRST, V.NEXT]
    assert numbers(watch, 7) == [V.NEXT]
    watch.closed(SESSION)
    assert verdicts(watch, {"n": 3}, session=NEXT_SESSION) == [V.NEXT]


def test_numbers_that_go_on_over_sessions():
    watch = watching(reset=SequenceReset.NEVER)
    assert numbers(watch, 5) == [V.FIRST]
    watch.closed(SESSION)
    watch.opened(NEXT_SESSION)
    assert verdicts(watch, {"n": 5}, {"n": 8}, session=NEXT_SESSION) == [V.DUPLICATE, V.GAP]


def test_a_message_that_begins_the_numbers_anew():
    watch = watching(reset=Match(at("/t"), ("READY",)))
    assert verdicts(watch, {"t": "READY", "n": 1}, {"n": 2}) == [V.FIRST, V.NEXT]
    watch.opened(NEXT_SESSION)
    assert verdicts(
        watch, {"n": 2}, {"n": 3}, {"t": "READY", "n": 1}, {"n": 2}, session=NEXT_SESSION
    ) == [V.DUPLICATE, V.NEXT, V.FIRST, V.NEXT]


def test_a_snapshot_begins_its_own_key_anew_alone():
    watch = watching(per="/s", reset=Match(at("/t"), ("snapshot",)))
    verdicts(watch, {"s": "a", "n": 5}, {"s": "b", "n": 5})
    assert verdicts(
        watch, {"s": "a", "n": 2, "t": "snapshot"}, {"s": "a", "n": 3}, {"s": "b", "n": 5}
    ) == [V.FIRST, V.NEXT, V.DUPLICATE]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{"n": "41"}', '{"n": "42"}'),
        ('{"n": "041"}', '{"n": 42}'),
        ('{"n": 41.0}', '{"n": 4.2e1}'),
        ('{"n": -42}', '{"n": "-41"}'),
        ('{"n": 9007199254740990}', '{"n": 9007199254740991}'),
        ('{"n": "18446744073709551614"}', '{"n": "18446744073709551615"}'),
    ],
)
def test_numbers_may_be_texts_and_large(first, second):
    assert verdicts(watching(), first, second) == [V.FIRST, V.NEXT]


@pytest.mark.parametrize(
    "value",
    [
        "9007199254740992",
        "-9007199254740992",
        "1e300",
        "123456789012345678901234567890",
        '"18446744073709551616"',
        '"' + "9" * 5000 + '"',
        '"1.5"',
        '" 1"',
        '"\u0661"',
        '"1_0"',
        '""',
        "1.5",
        "true",
        "false",
        "[1]",
        '{"a": 1}',
    ],
)
def test_what_is_no_exact_whole_number_proves_nothing_and_changes_nothing(value):
    watch = watching()
    assert numbers(watch, 1) == [V.FIRST]
    text = f'{{"n": {value}}}'
    said = judge(watch, text)
    # What is over the bound of a watched value is not seen at all.
    assert said.verdict in (V.UNREADABLE, V.OUTSIDE)
    assert said.why or len(text) > LIMITS.last_value_bytes
    assert numbers(watch, 2) == [V.NEXT]


def test_a_message_that_lacks_one_of_its_numbers_proves_nothing():
    watch = watching(first="/U", last="/u")
    verdicts(watch, {"U": 1, "u": 2})
    for message in ({"U": 3}, {"u": 3}, {"U": 9, "u": 3}):
        assert judge(watch, message).verdict is V.UNREADABLE
    assert judge(watch, {"U": 4, "u": 4}).missing == Missing(None, 3, 3, 1, 0)


def test_a_message_that_is_too_costly_to_read_proves_nothing():
    watch = watching(last="/d/n", limits=Limits(watched_bytes=64))
    text = json.dumps({"d": {"x": "y" * 100, "n": 1}})
    assert judge(watch, text).verdict is V.UNREADABLE


class Model:
    """The list of numbers that were seen since the sequence began."""

    def __init__(self):
        self.seen = None

    def judge(self, n):
        if not self.seen:
            self.seen = {n}
            return V.FIRST, set()
        low, high = min(self.seen), max(self.seen)
        if n > high:
            missing = set(range(high + 1, n))
            self.seen.add(n)
            return (V.GAP if missing else V.NEXT), missing
        if n in self.seen:
            return V.DUPLICATE, set()
        if n < low:
            self.seen = {n}
            return V.BACK, set()
        self.seen.add(n)
        return V.LATE, set()


@given(st.lists(st.integers(-12, 12), max_size=60))
def test_it_agrees_with_a_list_of_what_was_seen(found):
    watch, model = watching(limits=Limits(sequence_runs=64)), Model()
    for n in found:
        expected, missing = model.judge(n)
        judged = judge(watch, {"n": n})
        assert judged.verdict is expected
        if missing:
            told = judged.missing
            assert set(range(told.first, told.last + 1)) == missing
            assert told.count == len(missing)
        else:
            assert judged.missing is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4)), max_size=60))
def test_ranges_agree_with_a_set_of_what_was_seen(found):
    """No number is called seen that was not, and none missing that was seen."""
    watch = watching(first="/U", last="/u", limits=Limits(sequence_runs=3))
    seen: set[int] = set()
    for first, more in found:
        here = set(range(first, first + more + 1))
        judged = judge(watch, {"U": first, "u": first + more})
        match judged.verdict:
            case V.FIRST | V.BACK:
                seen = set(here)
            case V.DUPLICATE:
                assert here <= seen
            case V.GAP:
                told = judged.missing
                gone = set(range(told.first, told.last + 1))
                assert not gone & seen
                assert gone == set(range(max(seen) + 1, first))
            case V.NEXT:
                assert first <= max(seen) + 1 < first + more + 1 + 1
            case V.LATE:
                assert max(here) <= max(seen)
        seen |= here


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["U", "u", "p", "k"]),
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
            | st.integers(0, 9),
            max_size=4,
        ),
        max_size=20,
    )
)  # fmt: skip
def test_whatever_a_server_sends_is_judged(messages):
    watch = watching(last="/u", first="/U", previous="/p", per="/k", limits=Limits(sequence_keys=3))
    for message in messages:
        judged = judge(watch, message)
        assert bool(judged.why) == (
            judged.verdict in (V.UNREADABLE, V.BACK)
            or (judged.verdict is V.GAP and judged.missing is None)
        )
