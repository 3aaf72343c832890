"""A transcript in which one thing is wrong is found wrong, and in nothing else."""

from pathlib import Path
from typing import Any

import pytest
from tests.chaos.recorded import (
    EMPTY,
    EPOCH,
    EVENTS,
    FINAL,
    OTHER,
    all_of_it,
    bookmark,
    frame,
    resync,
)

from chaos.order import Followed, follow
from chaos.transcript import Transcript, steps

LAST = len(EVENTS)


@pytest.fixture
def followed(tmp_path: Path):
    def run(lines: list[list[Any]]) -> Followed:
        (tmp_path / "client.jsonl").unlink(missing_ok=True)
        transcript = Transcript(tmp_path / "client.jsonl")
        for line in lines:
            transcript.write(*line)
        transcript.close()
        return follow("client", steps(tmp_path / "client.jsonl"))

    return run


def kinds(found: Followed) -> list[str]:
    return [finding.kind for finding in found.findings]


def test_every_event_once_and_in_order_is_right(followed):
    found = followed(all_of_it())
    assert (found.findings, found.place, found.events) == ([], (EPOCH, LAST), LAST)


def test_a_missing_event_is_a_gap(followed):
    lines = all_of_it()
    del lines[5]
    found = followed(lines)
    assert kinds(found) == ["gap"]
    assert "1 events missing" in found.findings[0].words


def test_a_repeated_event_is_a_duplicate(followed):
    lines = all_of_it()
    lines.insert(7, lines[4])
    assert kinds(followed(lines)) == ["duplicate"]


def test_an_event_that_the_snapshot_holds_is_a_duplicate(followed):
    lines = [
        ["open", None, False],
        frame(EPOCH, 4, EMPTY, snapshot=True),
        frame(EPOCH, 4, EVENTS[3]),
    ]
    assert kinds(followed(lines)) == ["duplicate"]


def test_two_events_changed_over_are_a_gap_and_a_reorder(followed):
    lines = all_of_it()
    lines[5], lines[6] = lines[6], lines[5]
    assert kinds(followed(lines)) == ["gap", "reorder"]


def test_another_epoch_without_a_word_is_a_gap(followed):
    lines = all_of_it()
    lines[8] = frame(OTHER, 7, EVENTS[6])
    assert kinds(followed(lines))[0] == "gap"


def test_an_event_before_any_state_is_a_gap(followed):
    assert kinds(followed([["open", None, False], frame(EPOCH, 1, EVENTS[0])])) == ["gap"]


def test_a_snapshot_that_nothing_announced_is_a_gap(followed):
    lines = [*all_of_it(), frame(OTHER, 0, FINAL, snapshot=True)]
    assert kinds(followed(lines)) == ["gap"]


def test_a_snapshot_that_was_announced_is_none(followed):
    lines = [*all_of_it(), resync(), frame(OTHER, 0, FINAL, snapshot=True)]
    found = followed(lines)
    assert found.findings == []
    assert found.resyncs == {"backend.lagged": 1}


def test_what_one_connection_announced_excuses_nothing_on_the_next(followed):
    lines = [
        *all_of_it(),
        resync(),
        ["open", f"c-{EPOCH}-{LAST}", False],
        frame(OTHER, 0, FINAL, snapshot=True),
    ]
    assert kinds(followed(lines)) == ["gap"]


def test_an_event_in_place_of_the_announced_snapshot_is_a_gap(followed):
    lines = all_of_it()
    lines.insert(5, resync())
    assert "gap" in kinds(followed(lines))


def test_a_snapshot_behind_what_was_seen_is_a_reorder(followed):
    lines = [*all_of_it(), resync(), frame(EPOCH, 3, EMPTY, snapshot=True)]
    assert kinds(followed(lines)) == ["reorder"]


def test_an_epoch_that_was_over_is_a_reorder_when_it_is_back(followed):
    lines = [
        *all_of_it(),
        resync(),
        frame(OTHER, 0, FINAL, snapshot=True),
        resync(),
        frame(EPOCH, LAST + 1, FINAL, snapshot=True),
    ]
    assert kinds(followed(lines)) == ["reorder"]


def test_going_on_from_a_cursor_is_right(followed):
    lines = all_of_it()
    again = [["open", f"c-{EPOCH}-3", False], bookmark(EPOCH, 3)]
    assert followed([*lines[:5], *again, *lines[5:]]).findings == []


def test_the_state_as_of_the_cursor_must_be_the_one_that_was_had(followed):
    asked = ["open", f"c-{EPOCH}-{LAST}", True]
    right = followed([*all_of_it(), asked, frame(EPOCH, LAST, FINAL, snapshot=True)])
    assert right.findings == []
    wrong = followed([*all_of_it(), asked, frame(EPOCH, LAST, EMPTY, snapshot=True)])
    assert kinds(wrong) == ["diverged"]
    elsewhere = followed([*all_of_it(), asked, frame(EPOCH, LAST + 2, FINAL, snapshot=True)])
    assert kinds(elsewhere) == ["gap"]


@pytest.mark.parametrize("code", ["client.unannounced", "client.gap", "client.malformed_frame"])
def test_what_the_library_had_to_give_up_is_a_gap(followed, code):
    told = {"id": f"{OTHER}-0.s", "cursor": "c", "payload": FINAL}
    lines = [*all_of_it(), ["value", "Resync", {"code": code}], ["value", "Snapshot", told]]
    assert kinds(followed(lines)) == ["gap"]


def test_what_the_library_dropped_is_a_duplicate(followed):
    lines = [*all_of_it(), ["value", "Duplicates", {"code": "client.duplicates"}]]
    assert kinds(followed(lines)) == ["duplicate"]


def test_the_end_of_a_stream_is_noted(followed):
    assert followed([*all_of_it(), ["over", "close 4501"]]).over == "close 4501"
