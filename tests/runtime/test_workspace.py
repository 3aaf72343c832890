"""A running host follows yoi.toml by the rule of withdrawal, and records what is missing."""

from pathlib import Path

import pytest

from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions
from yoi.decisions.store import DecisionStore
from yoi.errors import EnablementError
from yoi.runtime.workspace import WorkspacePlans, operator_file
from yoi.testing.clock import ManualClock

AGENT = '[[workers]]\nname = "agent"\nmodel = "openai:m"\nmax_turns = 5\n'
OTHER = '[[workers]]\nname = "other"\nmodel = "openai:m"\n'


class World:
    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder / "w", ManualClock()
        (self.folder / ".yoi").mkdir(parents=True)
        self.store = DecisionStore(folder / "state")
        self.account = AccountDecisions(self.store)
        self.plans = self.restarted()

    def restarted(self) -> WorkspacePlans:
        return WorkspacePlans(self.folder, self.clock, self.account)

    def write(self, text: str) -> None:
        operator_file(self.folder).write_text(text)

    def trust(self) -> None:
        self.store.record(self.folder, read_file(self.folder).entries)

    def after(self, seconds: float) -> list[str]:
        self.clock.advance(seconds)
        plan = self.plans.read()
        self.codes = [one.code for one in plan.diagnostics]
        self.hints = [one.hint for one in plan.diagnostics]
        return [one.name for one in plan.workers]

    @property
    def decided(self) -> set[str]:
        return set(self.store.entries(self.folder))


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def test_what_nobody_decided_does_not_run_and_is_said_once(world):
    world.write(AGENT)
    assert world.after(0) == []
    assert world.codes == ["trust.pending"]
    assert world.hints == ["review it with: yoi trust"]
    assert world.after(1) == []
    assert world.codes == []
    world.trust()
    assert world.after(1) == ["agent"]


def test_what_a_pull_adds_waits_and_the_rest_goes_on(world):
    world.write(AGENT)
    world.trust()
    assert world.after(0) == ["agent"]
    world.write(AGENT.replace("5", "50") + OTHER)
    assert world.after(0) == ["agent"]
    assert world.codes == ["trust.pending"]
    assert world.after(3) == ["agent"]
    assert world.codes == ["trust.pending"]
    assert len(world.plans.read().pending) == 2
    assert world.plans.read().workers[0].max_turns == 5


def test_another_address_stops_the_worker_until_it_is_decided(world):
    world.write(AGENT)
    world.trust()
    assert world.after(0) == ["agent"]
    world.write(AGENT.replace("max", 'base_url = "https://elsewhere.example"\nmax'))
    world.after(0)
    assert world.after(3) == []
    assert world.codes == ["trust.pending"]
    world.write(AGENT)
    world.after(0)
    assert world.after(3) == ["agent"]


def test_what_is_taken_away_is_gone_in_three_seconds_recorded_and_asks_again(world):
    world.write(AGENT + OTHER)
    world.trust()
    assert world.after(0) == ["agent", "other"]
    world.write("# first\n" + OTHER)
    assert sorted(world.after(1)) == ["agent", "other"]
    assert world.plans.due_in() == 2
    assert world.after(3) == ["other"]
    assert world.decided == {"worker:other"}
    world.write(AGENT + OTHER)
    assert world.after(0) == ["other"]
    assert world.codes == ["trust.pending"]


def test_a_half_written_file_at_the_start_costs_no_decision(world):
    world.write(AGENT + OTHER)
    world.trust()
    world.write(AGENT)
    world.plans = world.restarted()
    assert world.after(0) == ["agent"]
    assert world.decided == {"worker:agent", "worker:other"}
    world.write(AGENT + OTHER)
    assert world.after(2) == ["agent", "other"]
    assert world.after(10) == ["agent", "other"]
    assert world.decided == {"worker:agent", "worker:other"}


def test_the_time_to_record_comes_by_itself(world):
    world.write(AGENT + OTHER)
    world.trust()
    world.write(AGENT)
    world.plans = world.restarted()
    world.after(0)
    assert world.plans.due_in() == 3
    world.after(3)
    assert world.decided == {"worker:agent"}
    assert world.plans.due_in() is None


def test_a_broken_file_changes_nothing_is_told_and_raises_one_alert(world):
    world.write(AGENT)
    world.trust()
    assert world.after(0) == ["agent"]
    world.write("[[")
    assert world.after(0) == ["agent"]
    assert world.codes == []
    assert world.after(3) == ["agent"]
    assert world.codes == ["enablement.toml"]
    assert world.after(28) == ["agent"]
    assert world.codes == ["trust.unusable", "enablement.toml"]
    operator_file(world.folder).unlink()
    assert world.after(1_000) == ["agent"]
    assert world.codes == ["trust.unusable"]
    assert world.decided == {"worker:agent"}
    world.write(AGENT)
    assert world.after(1) == ["agent"]
    assert world.codes == []


def test_a_file_that_cannot_be_read_at_the_start_starts_nothing(world):
    world.write("[[")
    with pytest.raises(EnablementError):
        world.after(0)


def test_a_command_of_yoi_counts_at_once(world):
    world.write(AGENT + OTHER)
    world.trust()
    assert world.after(0) == ["agent", "other"]
    world.write(AGENT)
    world.store.record(world.folder, {"worker:other": None})
    world.plans.decided(["worker:other"])
    assert world.after(0) == ["agent"]
    assert world.codes == []


def test_a_decision_that_is_withdrawn_counts_whatever_the_file_says(world):
    """So `yoi plugin disable` works while the file is empty or broken."""
    world.write(AGENT)
    world.trust()
    assert world.after(0) == ["agent"]
    world.write("")
    assert world.after(40) == ["agent"]
    world.store.record(world.folder, {"worker:agent": None})
    assert world.after(0) == []


def test_a_fault_of_one_row_is_told_by_its_place_in_the_file(world):
    world.write(AGENT)
    world.trust()
    world.write(OTHER + '[[workers]]\nname = "bad"\ncolour = "red"\n' + AGENT)
    assert world.after(0) == ["agent"]
    plan = world.restarted().read()
    assert "worker:bad" in [one.scope for one in plan.diagnostics]
    (faulty,) = plan.faulty_workers
    shown = faulty.fault
    assert (faulty.name, shown.code, shown.key) == ("bad", "worker.profile", "workers[1].colour")
    written = operator_file(world.folder).read_text().splitlines()
    assert written[shown.line - 1] == 'colour = "red"'
    assert str(shown.line) in shown.hint
    assert len(plan.pending) == 2
