import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.testing.demo_account import Account, Journal, percentile_ms


def test_an_answer_is_judged_by_what_was_sent() -> None:
    account = Account()
    account.apply(["sent", 1, 10])
    assert account.judge(1) == "answered"
    account.apply(["answered", 1, 500])
    assert account.judge(1) == "duplicate"
    assert account.judge(2) == "unknown"
    assert [account.judge(odd) for odd in ("1", None, 1.0, True, [1])] == ["malformed"] * 5


def test_a_frame_unanswered_at_a_break_is_lost_with_its_times_until_a_late_answer() -> None:
    account = Account()
    for record in (["sent", 1, 10], ["sent", 2, 11], ["answered", 1, 5], ["broke", 12]):
        account.apply(record)
    assert account.outstanding == 0
    assert account.report()["unanswered"] == [{"id": 2, "sent_ms": 11, "broke_ms": 12}]
    assert account.judge(2) == "late"
    account.apply(["late", 2, None])
    report = account.report()
    assert (report["lost"], report["late"], report["answered"]) == (0, 1, 2)
    assert report["reordered"] == 0


def test_an_answer_out_of_order_is_counted() -> None:
    account = Account()
    for record in (["sent", 1, 0], ["sent", 2, 0], ["answered", 2, 1], ["answered", 1, 1]):
        account.apply(record)
    assert account.reordered == 1


def test_a_break_moves_only_what_was_outstanding_then() -> None:
    account = Account()
    for record in (["sent", 1, 0], ["broke", 5], ["sent", 2, 6], ["broke", None]):
        account.apply(record)
    assert [row["broke_ms"] for row in account.report()["unanswered"]] == [5, None]


@pytest.mark.parametrize(
    "record", [["sent", 2, 0], ["answered", 9, 1], ["sent", "1", 0], ["unheard of"], [], None]
)
def test_a_record_that_cannot_be_is_refused(record: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Account().apply(record)


def test_percentiles_are_nearest_rank() -> None:
    assert percentile_ms([], 50) is None
    assert percentile_ms([1000], 99) == 1.0
    assert percentile_ms(list(range(1000, 101_000, 1000)), 50) == 50.0
    assert percentile_ms(list(range(1000, 101_000, 1000)), 99) == 99.0


def test_a_journal_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "account"
    first = Journal(path, 0)
    for record in (["sent", 1, 1], ["answered", 1, 70], ["sent", 2, 2], ["duplicate"]):
        first.record(*record)
    first.close()
    with path.open("ab") as file:
        file.write(b'["sent",3')  # torn by a crash
    second = Journal(path, 9)
    second.record("sent", 3, 10)
    second.close()
    report = Journal(path, 20).account.report()
    assert (report["sent"], report["answered"], report["duplicates"]) == (3, 1, 1)
    assert (report["restarts"], report["lost"], report["outstanding"]) == (2, 2, 0)


def test_a_journal_that_is_not_one_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "account"
    path.write_text("my notes\n")
    with pytest.raises(json.JSONDecodeError):
        Journal(path, 0)
    assert path.read_text() == "my notes\n"


@given(st.lists(st.sampled_from(["send", "answer", "break", "again", "stray"]), max_size=60))
def test_every_frame_is_in_exactly_one_place(steps: list[str]) -> None:
    account = Account()
    for at, step in enumerate(steps):
        live = [number for number, sent in account.pending.items() if not sent.lost]
        if step == "send":
            account.apply(["sent", account.last_id + 1, at])
        elif step == "answer" and live:
            account.apply([account.judge(live[0]), live[0], at])
        elif step == "break":
            account.apply(["broke", at])
        elif step == "again" and account.answered:
            account.apply([account.judge(next(iter(account.answered)))])
        elif step == "stray":
            account.apply([account.judge(account.last_id + 1)])
    report = account.report()
    assert report["sent"] == report["answered"] + report["outstanding"] + report["lost"]
    assert report["unknown"] == steps.count("stray")
