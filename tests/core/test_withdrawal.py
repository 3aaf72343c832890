"""A grant ends when it is missing for long enough, and never because a file is half written."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yoi.core.withdrawal import Entry, Phase, Reading, Withdrawal
from yoi.errors import EnablementError
from yoi.limits import LIMITS

WITHDRAW = LIMITS.withdraw_ms / 1000
PATIENCE = LIMITS.being_written_ms / 1000
FAULT = EnablementError("enablement.toml", "broken")
NAMES = ("a", "b", "c")


def text(*names: str) -> bytes:
    return b"".join(f"[{name}]\n".encode() for name in names)


def says(*names: str, content: bytes | None = None) -> Reading:
    made = text(*names) if content is None else content
    return Reading(made, {name: Entry("{}") for name in names})


def broken(content: bytes = b"[") -> Reading:
    return Reading(content, fault=FAULT)


def rows(*keys: str, settings: str = "{}", content: bytes = b"x") -> Reading:
    return Reading(content, {"a": Entry(settings, {("grants", k): k for k in keys})})


@pytest.fixture
def file() -> Withdrawal:
    made = Withdrawal()
    made.read(says("a", "b"), 0)
    assert made.phase is Phase.SETTLED
    return made


def test_what_is_new_counts_at_once(file):
    file.read(says("a", "b", "c"), 1)
    assert set(file.effective) == {"a", "b", "c"}
    assert file.phase is Phase.SETTLED
    assert file.due is None


def test_what_is_missing_is_gone_after_three_seconds(file):
    file.read(says("b"), 10)
    assert set(file.effective) == {"a", "b"}
    assert file.phase is Phase.WITHDRAWING
    assert file.due == 10 + WITHDRAW
    file.read(says("b"), 10 + WITHDRAW)
    assert set(file.effective) == {"b"}
    assert file.phase is Phase.SETTLED


def test_touching_the_file_does_not_hold_it_off(file):
    for tenth in range(30):
        file.read(says("b", content=text("b") + b"#" * tenth), 10 + tenth / 10)
        assert "a" in file.effective
    file.read(says("b", "c"), 10 + WITHDRAW)
    assert set(file.effective) == {"b", "c"}


def test_neither_does_breaking_it(file):
    file.read(says("b"), 10)
    file.read(broken(), 11)
    file.read(broken(b"[["), 10 + WITHDRAW)
    assert set(file.effective) == {"b"}


def test_what_comes_back_in_time_stays(file):
    file.read(says("b"), 10)
    file.read(says("a", "b"), 12)
    file.read(says("b"), 12.5)
    file.read(says("b"), 10 + WITHDRAW)
    assert set(file.effective) == {"a", "b"}
    assert file.due == 12.5 + WITHDRAW


def test_a_copy_that_stalls_between_two_tables_withdraws_nothing(file):
    file.read(Reading(b""), 10)
    for seconds in (1, 5, 29):
        file.read(says("a"), 10 + seconds)
        assert set(file.effective) == {"a", "b"}
        assert file.phase is Phase.WRITING
    file.read(says("a", "b"), 39)
    assert file.phase is Phase.SETTLED


def test_a_link_that_is_swapped_leads_to_a_whole_file(file):
    """An orchestrator writes beside and then swaps; nothing is written to what it swapped in."""
    file.read(Reading(text("a"), {"a": Entry("{}")}, source="..v2"), 10)
    assert file.phase is Phase.WITHDRAWING
    file.read(Reading(text("a"), {"a": Entry("{}")}, source="..v2"), 10 + WITHDRAW)
    assert set(file.effective) == {"a"}


def test_a_beginning_counts_as_all_there_is_after_thirty_seconds(file):
    file.read(says("a"), 10)
    assert file.due == 10 + PATIENCE
    file.read(says("a"), 10 + PATIENCE)
    assert set(file.effective) == {"a", "b"}
    file.read(says("a"), 10 + PATIENCE + WITHDRAW)
    assert set(file.effective) == {"a"}


def test_what_a_beginning_says_is_not_missing():
    file = Withdrawal()
    file.read(rows("a", "b", content=b"ab"), 0)
    file.read(rows("a", content=b"a..."), 10)
    file.read(rows("a", "b", content=b"a"), 11)  # a beginning of the last, and it says "b"
    file.read(rows("a", content=b"a..."), 10 + WITHDRAW)
    assert set(file.effective["a"].rows) == {("grants", "a"), ("grants", "b")}
    file.read(rows("a", content=b"a..."), 10 + 2 * WITHDRAW)
    assert set(file.effective["a"].rows) == {("grants", "a")}


def test_other_beginnings_do_not_start_the_thirty_seconds_anew(file):
    for seconds in range(0, 30, 3):
        file.read(Reading(b"") if seconds % 2 else says("a"), 10 + seconds)
    file.read(says("a"), 10 + PATIENCE)
    file.read(says("a"), 10 + PATIENCE + WITHDRAW)
    assert set(file.effective) == {"a"}


@pytest.mark.parametrize("reading", [Reading(b""), broken(), Reading(b"# nothing\n")])
def test_an_empty_or_broken_file_raises_an_alert_and_changes_nothing_else(file, reading):
    file.read(reading, 10)
    assert file.phase is Phase.WRITING
    file.read(reading, 10 + PATIENCE)
    assert file.phase is Phase.UNUSABLE
    assert file.due is None
    file.read(reading, 10_000)
    assert set(file.effective) == {"a", "b"}
    file.read(says("a", "b"), 10_001)
    assert file.phase is Phase.SETTLED


def test_an_empty_file_where_nothing_is_in_force_is_no_alert():
    file = Withdrawal()
    file.read(Reading(b""), 0)
    file.read(Reading(b"# nothing\n"), 100)
    assert file.phase is Phase.SETTLED


def test_a_broken_file_at_the_start_says_why():
    file = Withdrawal()
    file.read(broken(), 0)
    assert file.fault is FAULT
    assert file.effective == {}
    file.read(says("a"), 1)
    assert (file.fault, set(file.effective)) == (None, {"a"})


def test_a_command_of_yoi_takes_effect_at_once(file):
    file.decided(["b"], says("a"), 1)
    assert set(file.effective) == {"a"}
    assert (file.phase, file.due) == (Phase.SETTLED, None)


def test_disabling_the_last_plugin_takes_effect_at_once(file):
    file.decided(["b"], says("a"), 1)
    file.decided(["a"], Reading(b""), 2)
    assert file.effective == {}
    assert (file.phase, file.due) == (Phase.SETTLED, None)


def test_a_command_hurries_nothing_but_what_it_wrote(file):
    file.read(says("a", "b", "c"), 1)
    file.decided(["c"], says("b"), 2)
    assert set(file.effective) == {"a", "b"}
    file.decided(None, says("b"), 3)
    assert set(file.effective) == {"b"}


def test_rows_end_one_by_one():
    file = Withdrawal()
    file.read(rows("x", "y"), 0)
    file.read(rows("y", "z"), 1)
    assert set(file.effective["a"].rows) == {("grants", k) for k in "xyz"}
    file.read(rows("y", "z"), 1 + WITHDRAW)
    assert set(file.effective["a"].rows) == {("grants", k) for k in "yz"}


def test_other_settings_replace_the_old_ones_after_three_seconds():
    file = Withdrawal()
    file.read(rows("x", settings="1"), 0)
    file.read(rows("x", settings="2"), 1)
    assert file.effective["a"].settings == "1"
    file.read(rows("x", settings="3"), 1 + WITHDRAW)
    assert file.effective["a"].settings == "3"


def test_a_changed_row_is_never_there_twice():
    """Two request targets of one name would be refused as a whole."""
    file = Withdrawal()
    file.read(Reading(b"1", {"a": Entry("", {("tools", "post"): "ask"})}), 0)
    file.read(Reading(b"2", {"a": Entry("", {("tools", "post"): "auto"})}), 1)
    assert file.effective["a"].rows == {("tools", "post"): "ask"}
    file.read(Reading(b"2", {"a": Entry("", {("tools", "post"): "auto"})}), 1 + WITHDRAW)
    assert file.effective["a"].rows == {("tools", "post"): "auto"}


READINGS = st.lists(
    st.tuples(
        st.sampled_from(["whole", "beginning", "broken", "empty"]),
        st.sets(st.sampled_from(NAMES)),
        st.integers(0, 40),
    ),
    max_size=30,
)


@example(
    [("whole", {"a"}, 26), ("whole", set(), 14), ("whole", set(), 16)]
)  # 2.6 + 1.4 + 1.6 - 2.6
@settings(max_examples=300)
@given(READINGS)
def test_no_sequence_of_readings_withdraws_early_or_keeps_for_ever(steps):
    file = Withdrawal()
    file.read(says(*NAMES), 0)
    now, last = 0.0, text(*NAMES)
    missing_since: dict[str, float] = {}
    for number, (kind, names, tenths) in enumerate(steps):
        now += tenths / 10
        chosen = sorted(names)
        if kind == "whole":
            # Another first line: no content is the beginning of another.
            content = f"# {number}\n".encode() + text(*chosen)
            reading = says(*chosen, content=content)
        elif kind == "beginning":
            reading = Reading(last[: len(last) // 2])
        else:
            reading = broken() if kind == "broken" else Reading(b"")
        before = set(file.effective)
        file.read(reading, now)
        if reading.entries:
            last = reading.content
            for name in NAMES:
                if name in reading.entries:
                    missing_since.pop(name, None)
                    assert name in file.effective, "what the file says counts"
                else:
                    missing_since.setdefault(name, now)
        for name in before - set(file.effective):
            assert now >= missing_since[name] + WITHDRAW, "never early"
        for name in file.effective:
            assert name not in missing_since or now < missing_since[name] + WITHDRAW, "never kept"
        assert file.due is None or file.due > now
