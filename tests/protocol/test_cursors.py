"""Cursors: nobody can make one, move one or use one elsewhere, and a key that is gone is said."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yoi.core.observation import Stream, WorkerView
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.protocol.cursors import CURSOR_CHARS, CursorCodec, CursorFault, CursorKeys, Position
from yoi.protocol.observation import Hop, Subject, SubjectKind

OLD, NEW = b"old.", b"new."
KEYS = CursorKeys(NEW, {NEW: b"n" * 32, OLD: b"o" * 32})
ONLY_OLD = CursorKeys(OLD, {OLD: b"o" * 32})
ONLY_NEW = CursorKeys(NEW, {NEW: b"n" * 32})
WORKER = Subject(SubjectKind.WORKER, "triage", "local")
EPOCHS = st.binary(min_size=8, max_size=8)
SEQS = st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(), max_size=8)
SUBJECTS = st.builds(Subject, st.sampled_from(SubjectKind), NAMES, NAMES)


def codec(keys=KEYS, hop=Hop.BACKEND, subject=WORKER, projection="all") -> CursorCodec:
    return CursorCodec(keys, hop, subject, projection)


@given(EPOCHS, SEQS, SUBJECTS, st.text(st.characters(), max_size=300))
def test_a_cursor_reads_back_and_fits_a_url(epoch, seq, subject, projection):
    made = codec(subject=subject, projection=projection)
    text = made.encode(epoch, seq)
    assert made.decode(text) == Position(epoch, seq)
    assert len(text) <= CURSOR_CHARS
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_tells_no_names():
    raw = base64.urlsafe_b64decode(codec().encode(b"e" * 8, 1) + "==")
    assert b"triage" not in raw
    assert b"local" not in raw


@given(EPOCHS, SEQS, st.integers(0))
def test_a_flipped_bit_is_never_a_place_and_never_another_stream(epoch, seq, which):
    text = codec().encode(epoch, seq)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    which %= 8 * len(raw)
    raw[which // 8] ^= 1 << which % 8
    forged = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert codec().decode(forged) in (CursorFault.MALFORMED, CursorFault.KEY_UNKNOWN)


@given(st.integers(0), st.characters())
def test_a_changed_character_is_never_a_place(where, char):
    text = codec().encode(b"e" * 8, 7)
    where %= len(text)
    if text[where] != char:
        forged = text[:where] + char + text[where + 1 :]
        assert codec().decode(forged) in (CursorFault.MALFORMED, CursorFault.KEY_UNKNOWN)


@given(st.text(max_size=300))
@example("")
@example("=")
@example("A" * 256)
@example("A" * 100_000)
@example("é" * 70)
@example("\ud800")
@example("\x00" * 70)
def test_no_text_is_a_place_by_chance(text):
    assert codec().decode(text) in (CursorFault.MALFORMED, CursorFault.KEY_UNKNOWN)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t + "=", str.lower]
)
def test_there_is_one_spelling_only(change):
    assert codec().decode(change(codec().encode(b"e" * 8, 7))) is CursorFault.MALFORMED


def test_the_last_character_has_no_second_spelling():
    """Base64 leaves bits over at the end; a reader that ignores them has many names for a place."""
    text = codec().encode(b"e" * 8, 7)
    assert len(text) % 4, "there would be no bits left over"
    others = {text[:-1] + chr(code) for code in range(33, 127)} - {text}
    assert {codec().decode(other) for other in others} == {CursorFault.MALFORMED}


BOUND = st.tuples(st.sampled_from(Hop), SUBJECTS, NAMES)


@given(BOUND, BOUND)
@example(
    (Hop.BACKEND, Subject(SubjectKind.WORKER, "b\0c", "a"), "p"),
    (Hop.BACKEND, Subject(SubjectKind.WORKER, "c", "a\0b"), "p"),
)
@example(
    (Hop.BACKEND, Subject(SubjectKind.WORKER, "a", ""), "b\0c"),
    (Hop.BACKEND, Subject(SubjectKind.WORKER, "a\0b", ""), "c"),
)
@example(
    (Hop.BACKEND, Subject(SubjectKind.WORKER, "", "a"), ""),
    (Hop.BACKEND, Subject(SubjectKind.WORKER, "a", ""), ""),
)
@example(
    (Hop.RUNTIME, Subject(SubjectKind.WORKER, "a"), ""),
    (Hop.RUNTIME, Subject(SubjectKind.SERVICE, "a"), ""),
)
@example(
    (Hop.RUNTIME, Subject(SubjectKind.WORKER, "a"), ""),
    (Hop.BACKEND, Subject(SubjectKind.WORKER, "a"), ""),
)
def test_a_cursor_is_bound_to_hop_subject_and_projection(mine, other):
    made = CursorCodec(KEYS, *mine).encode(b"e" * 8, 7)
    read = CursorCodec(KEYS, *other).decode(made)
    assert read == (Position(b"e" * 8, 7) if mine == other else CursorFault.FOREIGN)


def test_a_forged_cursor_does_not_learn_whose_it_would_be():
    """Without a key, a cursor for another stream looks like any other text."""
    forged = codec(CursorKeys(NEW, {NEW: b"x" * 32}), projection="secret").encode(b"e" * 8, 7)
    assert codec().decode(forged) is CursorFault.MALFORMED


def test_keys_rotate_and_a_key_that_is_gone_is_told_apart_from_a_forgery():
    before = codec(ONLY_OLD).encode(b"e" * 8, 7)
    assert codec(KEYS).decode(before) == Position(b"e" * 8, 7)
    assert codec(ONLY_NEW).decode(before) is CursorFault.KEY_UNKNOWN
    after = codec(KEYS).encode(b"e" * 8, 7)
    assert codec(ONLY_NEW).decode(after) == Position(b"e" * 8, 7)
    assert codec(ONLY_OLD).decode(after) is CursorFault.KEY_UNKNOWN


def test_a_cursor_of_a_later_version_is_no_forgery():
    raw = bytearray(base64.urlsafe_b64decode(codec().encode(b"e" * 8, 7) + "=="))
    raw[0] = 2
    later = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    assert codec().decode(later) is CursorFault.KEY_UNKNOWN


@pytest.mark.parametrize(
    ("current", "keys"),
    [
        (NEW, {}),
        (NEW, {OLD: b"o" * 32}),
        (NEW, {NEW: b"short"}),
        (b"new", {b"new": b"n" * 32}),
        (NEW, {NEW: b"n" * 32, b"longer": b"n" * 32}),
    ],
)
def test_what_is_no_set_of_keys_is_refused(current, keys):
    with pytest.raises(ValueError, match="cursor keys"):
        CursorKeys(current, keys)


def test_keys_are_not_shown():
    assert "n" * 8 not in repr(KEYS)
    assert "n" * 8 not in repr(vars(codec())["_keys"])


def test_the_place_before_the_oldest_is_good_and_the_one_before_that_has_expired():
    view = WorkerView(ev.Greeting(worker_name="w", provider="p", model="m", tools=[]))
    stream = Stream(WORKER, view, b"e" * 8, Limits(observed_ring_events=3))
    assert stream.judge(Position(b"e" * 8, 0)) is None
    for number in range(10):
        stream.publish(ev.TurnStart(ev.TurnStartData(turn=number)), b"{}")
    assert (stream.oldest, stream.head) == (8, 10)
    judged = {seq: stream.judge(Position(b"e" * 8, seq)) for seq in range(5, 13)}
    assert judged == {
        5: CursorFault.EXPIRED,
        6: CursorFault.EXPIRED,
        7: None,
        8: None,
        9: None,
        10: None,
        11: CursorFault.FUTURE,
        12: CursorFault.FUTURE,
    }
    assert stream.judge(Position(b"f" * 8, 10)) is CursorFault.EPOCH_CHANGED
