"""A history in which one thing is wrong is found wrong."""

import json
from pathlib import Path

import pytest
from tests.chaos.recorded import (
    EMPTY,
    EPOCH,
    EVENTS,
    FINAL,
    OTHER,
    RUNTIME_EPOCH,
    History,
    all_of_it,
    frame,
    resync,
)

from chaos import fold
from chaos.checker import check

LAST = len(EVENTS)


def found(history: History, tmp_path: Path) -> dict[str, int]:
    verdict = check(history.write(tmp_path))
    kinds = ("gap", "duplicate", "reorder", "diverged", "leak")
    return {kind: verdict.count(kind) for kind in kinds if verdict.count(kind)}


def test_a_history_that_went_well_has_no_findings(tmp_path):
    verdict = check(History().write(tmp_path))
    assert verdict.findings == []
    assert (verdict.clients, verdict.events, verdict.aligned) == (2, 2 * LAST, LAST)


@pytest.mark.parametrize(
    ("at", "kind"), [(4, "gap"), (LAST + 1, "diverged")], ids=["in the middle", "at the end"]
)
def test_an_event_that_one_client_missed(tmp_path, at, kind):
    history = History()
    del history.clients["two"][at]
    assert found(history, tmp_path)[kind] >= 1


def test_an_event_that_came_twice(tmp_path):
    history = History()
    history.clients["two"].insert(5, history.clients["two"][4])
    assert found(history, tmp_path) == {"duplicate": 1}


def test_events_changed_over(tmp_path):
    history = History()
    lines = history.clients["two"]
    lines[8], lines[9] = lines[9], lines[8]
    assert found(history, tmp_path)["reorder"] == 1


def test_a_state_that_is_not_its_backends(tmp_path):
    history = History()
    history.fresh["data"]["status"] = "paused"
    history.own["data"]["status"] = "paused"
    assert found(history, tmp_path) == {"diverged": 2}


@pytest.mark.parametrize(("late", "diverged"), [({}, 0), ({"status": "paused"}, 2)])
def test_one_more_event_while_the_clients_end(tmp_path, late, diverged):
    """They are where their backend is after them, and hold what it shows there."""
    history = History()
    folder = history.write(tmp_path)
    final = json.loads((folder / "final.json").read_text())
    early, after = json.loads(json.dumps(history.fresh)), json.loads(json.dumps(history.fresh))
    after["data"].update(late)
    key, seq = "plain/north/worker/w/full", len(EVENTS)
    final["fresh"][key] = frame(EPOCH, seq - 1, early, snapshot=True)[1]
    final["late"] = {key: frame(EPOCH, seq, after, snapshot=True)[1]}
    (folder / "final.json").write_text(json.dumps(final))
    assert check(folder).count("diverged") == diverged


def test_a_client_that_was_told_that_nothing_follows(tmp_path):
    history = History()
    history.clients["one"].append(["over", "close 4501"])
    assert found(history, tmp_path) == {"diverged": 1}


def test_a_client_that_never_had_a_state(tmp_path):
    history = History()
    history.clients["one"] = [["open", None, False]]
    assert found(history, tmp_path) == {"diverged": 1}


def test_one_id_for_two_events(tmp_path):
    history = History()
    history.clients["two"][8] = frame(EPOCH, 7, {"event": "text_delta", "data": {"text": "x"}})
    # Neither what the other client has nor what the runtime said; its own text is made whole again.
    assert found(history, tmp_path)["diverged"] >= 1


def test_an_event_that_the_runtime_never_said(tmp_path):
    history = History()
    other = {"event": "text_delta", "data": {"text": "x"}}
    for lines in history.clients.values():
        lines[8] = frame(EPOCH, 7, other)
    assert found(history, tmp_path) == {"diverged": 1}


def test_an_event_that_the_backend_lost_and_did_not_count(tmp_path):
    """Every client agrees and no number is missing; only the runtime's stream tells."""
    history = History()
    said = [event for number, event in enumerate(EVENTS) if number != 6]
    for name in history.clients:
        history.clients[name] = [
            *all_of_it()[:2],
            *(frame(EPOCH, seq, event) for seq, event in enumerate(said, 1)),
            frame(EPOCH, LAST, {"event": "alert", "data": {}}),
        ]
    assert found(history, tmp_path)["diverged"] >= 1


def test_a_stretch_that_only_a_killed_runtime_can_have_said(tmp_path):
    history = History()
    del history.witness[5:]
    assert found(history, tmp_path) == {"diverged": 1}
    again = tmp_path / "again"
    again.mkdir()
    history.acts = [{"what": "kill", "whom": "north"}]
    verdict = check(history.write(again))
    assert (verdict.findings, verdict.unwitnessed) == ([], LAST - 3)


def test_a_snapshot_that_is_not_what_another_client_has_folded(tmp_path):
    history = History()
    history.clients["two"] = [
        ["open", None, False],
        frame(EPOCH, LAST - 1, EMPTY, snapshot=True),
        resync(),
        frame(EPOCH, LAST, FINAL, snapshot=True),
    ]
    assert found(history, tmp_path) == {"diverged": 1}


def test_a_backend_whose_state_is_not_the_runtimes(tmp_path):
    history = History()
    history.own["data"]["usage"]["input_tokens"] = 4
    assert found(history, tmp_path) == {"diverged": 1}


def test_an_entry_that_is_not_the_journals(tmp_path):
    history = History()
    history.journal[0]["text"] = "bye"
    assert found(history, tmp_path) == {"diverged": 1}


def test_an_entry_of_the_journal_that_nobody_was_shown(tmp_path):
    history = History()
    history.journal.append({"seq": 4, "type": "user_input", "at_ms": 20, "text": "and"})
    assert found(history, tmp_path) == {"diverged": 1}


def test_a_witness_with_a_gap_of_its_own(tmp_path):
    history = History()
    history.witness.append(frame(RUNTIME_EPOCH, LAST + 3, EVENTS[1]))
    assert found(history, tmp_path)["gap"] == 1


def hidden_history() -> History:
    history = History()
    history.shown = {"one": "hidden", "two": "hidden"}
    hidden = [fold.hidden(event) for event in EVENTS]
    for name in history.clients:
        lines = [frame(EPOCH, seq, event) for seq, event in enumerate(hidden, 1)]
        history.clients[name] = [*all_of_it()[:2], *lines]
    thought = history.fresh["data"]["entries"][1]["parts"][0]
    thought.update(text="", redacted=True)
    return history


def test_an_observer_from_whom_something_is_hidden_and_has_no_trace_of_it(tmp_path):
    assert found(hidden_history(), tmp_path) == {}


def test_a_thought_that_got_through(tmp_path):
    history = hidden_history()
    history.clients["one"][6] = frame(EPOCH, 5, EVENTS[4])
    assert found(history, tmp_path)["leak"] == 1


def test_a_new_incarnation_that_was_announced_is_no_finding(tmp_path):
    history = History()
    history.clients["two"] = [
        ["open", None, False],
        frame(OTHER, 5, EMPTY, snapshot=True),
        resync("backend.upstream_resync"),
        frame(EPOCH, LAST, FINAL, snapshot=True),
    ]
    verdict = check(history.write(tmp_path))
    assert verdict.findings == []
    assert verdict.resyncs == {"backend.upstream_resync": 1}
