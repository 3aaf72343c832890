"""A host reads yoi.toml and the decisions while commands and an editor write them, in every order.

Each actor is a thread that goes on only when the schedule says so, up to its next step: taking the
store's lock, reading or writing the file, reading or writing the decisions.
"""

import contextlib
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.decisions import store as store_module
from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions
from yoi.decisions.store import DecisionStore
from yoi.runtime import workspace as workspace_module
from yoi.runtime.workspace import WorkspacePlans, operator_file
from yoi.testing.clock import ManualClock

ENTRY = "worker:agent"
_PATIENCE_S = 60


class Actor(threading.Thread):
    """Carries out `act`, up to the next `step` for each `go_on`."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self._go, self._stands = threading.Event(), threading.Event()
        self.ended = self.wants_lock = False
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            self.step()
            self._act()
        except BaseException as exc:
            self.fault = exc
        self.ended = True
        self._stands.set()

    def step(self) -> None:
        self._stands.set()
        assert self._go.wait(_PATIENCE_S), "the schedule has forgotten this actor"
        self._go.clear()

    def go_on(self) -> None:
        self._stands.clear()
        self._go.set()
        self.until_it_stands()

    def until_it_stands(self) -> None:
        assert self._stands.wait(_PATIENCE_S), "an actor waits for something else than a step"


def step() -> None:
    """End a step of the actor that runs; nothing outside of a schedule."""
    actor = threading.current_thread()
    if isinstance(actor, Actor):
        actor.step()


class Lock:
    """Stands for the lock of the store: waiting for it is a step."""

    def __init__(self) -> None:
        self._held = False

    @contextlib.contextmanager
    def __call__(self, _: DecisionStore, __: int | None = None) -> Iterator[None]:
        actor = threading.current_thread()
        if isinstance(actor, Actor):
            actor.wants_lock = True
            step()
            actor.wants_lock = False
        assert not self._held, "the schedule lets two have it, or one left it behind"
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def lets(self, actor: Actor) -> bool:
        return not (self._held and actor.wants_lock)


class World:
    """A workspace whose one worker may take so many turns, the decisions about it, a host."""

    def __init__(self, folder: Path, lock: Lock) -> None:
        self.folder, self._lock = folder / "w", lock
        (self.folder / ".yoi").mkdir(parents=True)
        self.clock = ManualClock()
        self.store = DecisionStore(folder / "state")
        self.decided, self.edited = 0, list[int]()
        """What the last command decided, and what the editor has saved since."""
        self.running = list[int]()
        """The turns of the workers that the host runs."""
        self.command(5)
        self.plans = WorkspacePlans(self.folder, self.clock, AccountDecisions(self.store))
        self.at_rest()

    def command(self, turns: int, model: str = "openai:m") -> None:
        """Write the file and decide it, as `yoi plugin enable` does."""

        def writing() -> None:
            step()
            self._write(turns, model)
            self.decided, self.edited = turns, []
            step()

        content = {"name": "agent", "model": model, "max_turns": turns}
        self.store.record(self.folder, {ENTRY: content}, writing)

    def edit(self, turns: int) -> None:
        """Save the file, as a person does who decides nothing."""
        self._write(turns)
        self.edited.append(turns)

    def read(self) -> None:
        """Read, as the host does when it has been told of a change."""
        self.running = [one.max_turns for one in self.plans.read().workers]

    def later(self) -> None:
        """Let the time pass after which a narrowing is recorded."""
        self.clock.advance(4)

    def at_rest(self) -> None:
        """Let the host read when everything has been written."""
        for _ in range(3):
            self.clock.advance(10)
            self.read()

    def run(self, acts: list[Callable[[], object]], chosen: Callable[[int], int]) -> None:
        """Let them all run; `chosen(n)` says which of n goes on next."""
        actors = [Actor(act) for act in acts]
        for one in actors:
            one.start()
            one.until_it_stands()
        while free := [one for one in actors if not one.ended and self._lock.lets(one)]:
            free[chosen(len(free))].go_on()
        for one in actors:
            one.join(_PATIENCE_S)
            if one.fault is not None:
                raise one.fault

    @property
    def recorded(self) -> int:
        """How many turns are decided in the store."""
        return self.store.entries(self.folder)[ENTRY]["max_turns"]

    @property
    def said(self) -> int:
        """How many turns the file says."""
        return read_file(self.folder).entries[ENTRY]["max_turns"]

    def _write(self, turns: int, model: str = "openai:m") -> None:
        beside = operator_file(self.folder).with_name("beside")
        beside.write_text(f'[[workers]]\nname = "agent"\nmodel = "{model}"\nmax_turns = {turns}\n')
        beside.chmod(0o600)
        beside.replace(operator_file(self.folder))


def in_steps(function: Callable) -> Callable:
    """Return `function` as a step of its own."""

    def stepping(*args):
        step()
        try:
            return function(*args)
        finally:
            step()

    return stepping


@contextlib.contextmanager
def stepping_world() -> Iterator[World]:
    """Yield a new world in which each read and write of the host and of commands is a step."""
    lock = Lock()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr(workspace_module, "look", in_steps(workspace_module.look))
        patch.setattr(DecisionStore, "_read", in_steps(DecisionStore._read))
        patch.setattr(store_module, "write_private", in_steps(store_module.write_private))
        patch.setattr(DecisionStore, "_locked", lambda store, ms=None: lock(store, ms))
        yield World(Path(name), lock)


@pytest.mark.parametrize("model", ["openai:m", "openai:other"])
@pytest.mark.parametrize("turns", [3, 9])
@pytest.mark.parametrize("before", range(8))
def test_a_command_at_any_moment_of_a_look_stops_and_narrows_nothing(before, turns, model):
    """The command comes after so many steps of the host, and is whole before the host goes on."""
    with stepping_world() as world:
        left = before

        def chosen(free: int) -> int:
            nonlocal left
            left -= 1
            return 0 if left >= 0 else free - 1

        seen = list[list[int]]()

        def host() -> None:
            world.read()
            seen.append(world.running)

        world.run([host, partial(world.command, turns, model)], chosen)
        assert seen in ([[5]], [[turns]])
        world.at_rest()
        assert world.running == [turns]
        assert (world.recorded, world.said) == (turns, turns)


@settings(max_examples=40)
@given(data=st.data())
def test_what_is_in_force_at_the_end_was_decided_and_stands_in_the_file(data):
    writers = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=4))
    waits = data.draw(st.lists(st.booleans(), min_size=1, max_size=4))
    with stepping_world() as world:

        def host() -> None:
            for late in waits:
                if late:
                    world.later()
                world.read()

        acts = [
            partial(world.command if decides else world.edit, turns) for decides, turns in writers
        ]
        acts.append(host)
        world.run(acts, lambda n: data.draw(st.integers(0, n - 1)))
        world.at_rest()
        assert world.running == [min(world.recorded, world.said)]
        # What was recorded as lost is what the editor took away after the last command.
        some = [
            subset
            for count in range(len(world.edited) + 1)
            for subset in itertools.combinations(world.edited, count)
        ]
        assert world.recorded in {min([world.decided, *subset]) for subset in some}
        assert world.recorded <= min([world.decided, *world.edited[-1:]])
