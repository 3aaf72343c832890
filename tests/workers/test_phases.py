"""A worker's states: what leads where, and what is said."""

import pytest
from tests.event_names import event_name

from yoi.errors import WorkerError
from yoi.workers.bus import Bus
from yoi.workers.phases import Phase, PhaseMachine
from yoi.workers.transcript import OpenRun


def machine():
    bus, heard = Bus(), []
    bus.listen(lambda event: heard.append(event_name(event)))
    return PhaseMachine(bus), heard


def test_an_open_run_is_said_to_wait_and_to_go_on():
    phase, heard = machine()
    run = OpenRun(seq=1, kind="notify", turns=1, pending={"c": None})
    phase.go_on(run)
    phase.rest(run, paused=True)
    phase.go_on(run)
    phase.rest(None, paused=False)
    assert heard == [
        "status",
        "turn_end",
        "run_end",
        "status",
        "status",
        "invoke_start",
        "turn_start",
        "status",
    ]
    assert phase.state is Phase.IDLE


def test_staying_says_nothing():
    phase, heard = machine()
    phase.rest(None, paused=False)
    phase.go_on(None)
    phase.go_on(None)
    assert heard == ["status"]


@pytest.mark.parametrize("act", ["go_on", "rest", "stop"])
def test_nothing_leads_out_of_stopped(act):
    phase, heard = machine()
    phase.stop()
    assert heard == ["shutdown"]
    with pytest.raises(WorkerError) as caught:
        {
            "go_on": lambda: phase.go_on(None),
            "rest": lambda: phase.rest(None, paused=True),
            "stop": phase.stop,
        }[act]()
    assert caught.value.code == "worker.transition"
