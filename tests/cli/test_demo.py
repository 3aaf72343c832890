"""`yoi demo`: the whole way of a frame, with real processes."""

import json

import pytest

from yoi.cli.demo import example_folder


@pytest.mark.slow
def test_the_demo_accounts_for_every_frame(yoi, workspace):
    """W1-W4, S7: 1,000 frames, a gateway killed midway, one refused send."""
    ran = yoi("demo", "--json")
    result = json.loads(ran.out.splitlines()[-1])
    assert ran.status == 0, result
    assert result["ok"] is True
    assert result["frames"] == 1000
    assert result["replies"] + result["lost_in_gap"] + result["answers_lost"] == 1000
    assert (result["unaccounted"], result["denied"], result["host_exit_status"]) == (0, 1, 0)
    assert result["gaps"] >= 1
    assert result["reconnects"] >= 1
    assert result["watch_complete"] is True
    assert result["watch_events"] > 0
    assert {"frames_in", "p50_ms", "p99_ms"} <= result.keys()
    assert list(workspace.iterdir()) == [], "the demo leaves nothing behind"


def test_the_example_is_found():
    assert (example_folder() / "plugin.py").is_file()
