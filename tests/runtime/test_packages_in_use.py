"""A version that runs goes on while its place in the store is taken and the next is not enabled."""

import pytest

from yoi.decisions.port import AccountDecisions
from yoi.decisions.recording import enable
from yoi.decisions.store import DecisionStore
from yoi.packages import Store, add_to_store
from yoi.packages.templates import create_from_template
from yoi.runtime.workspace import WorkspacePlans
from yoi.testing.clock import ManualClock
from yoi.testing.trusting import entry_as_requested


class World:
    def __init__(self, folder):
        self.folder, self.source, self.clock = folder / "w", folder / "adder", ManualClock()
        (self.folder / ".yoi").mkdir(parents=True)
        self.decisions = DecisionStore(folder / "state")
        self.plans = WorkspacePlans(self.folder, self.clock, AccountDecisions(self.decisions))
        create_from_template("tool", self.source)
        self.first = self.save("# one\n")
        self.enable(self.first)

    def save(self, words):
        plugin = self.source / "plugin.py"
        plugin.write_text(plugin.read_text() + words)
        return add_to_store(self.source, Store.project(self.folder))

    def enable(self, package):
        enable(self.folder, entry_as_requested(package, "adder"), self.decisions)

    def after(self, seconds):
        self.clock.advance(seconds)
        plan = self.plans.read()
        self.codes = [one.code for one in plan.diagnostics]
        return [one.package.digest for one in plan.plugins]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_what_runs_goes_on_until_the_next_is_enabled(world):
    assert world.after(0) == [world.first.digest]
    second = world.save("# two\n")
    assert world.after(0) == [world.first.digest]
    assert world.codes == []
    assert world.plans.due_in() == 3
    world.enable(second)
    assert world.after(1) == [second.digest]
    assert world.codes == []


def test_a_package_that_stays_changed_is_disabled(world):
    """P3: a changed digest is reviewed again."""
    world.after(0)
    world.save("# two\n")
    assert world.after(0) == [world.first.digest]
    assert world.after(3) == []
    assert world.codes == ["enablement.digest"]
    assert world.after(1) == []


def test_a_package_that_never_ran_here_gets_no_time(world):
    world.save("# two\n")
    assert world.after(0) == []
    assert world.codes == ["enablement.digest"]


def test_one_that_is_not_enabled_any_more_is_gone(world):
    from yoi.decisions.recording import disable

    world.after(0)
    world.save("# two\n")
    disable(world.folder, "adder", world.decisions)
    world.after(0)
    assert world.after(3) == []
    assert world.codes == []
