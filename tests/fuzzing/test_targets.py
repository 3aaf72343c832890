"""The fuzzing targets run, and find what they are for."""

import json

import pytest

from fuzzing import run, targets
from yoi.core.observation import worker_view


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_round_runs(name):
    target, _ = targets.TARGETS[name]
    target(1, 3)


def test_what_is_found_is_told_with_its_seed(monkeypatch, capsys):
    # A copy that is none: what is added to one is in the other.
    monkeypatch.setattr(worker_view.EntryWindow, "copy", lambda window: window)
    monkeypatch.setattr("sys.argv", ["run", "--minutes", "0.001", "--only", "folds", "--seed", "7"])
    assert run.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "folds --seed 7"
    assert json.loads(lines[-1])["failed"] == [{"target": "folds", "seed": 7}]
