"""Machines of a deployment under a scheduler: the real `Tenure` and `Units` over model servers.

    World ── one queue of events in real time: messages, timers, faults
      ├── Servers ── buckets: compare-and-set by revision, keys that lapse by the servers' clock
      └── Machine ── a clock of its own speed, one Process after the other
            └── Process ── an event loop that the world steps; Tenure, Units, a host that runs

A seed decides everything: which message waits, is lost, is stored although its answer is lost, or
long after its sender gave it up; which machine pauses, dies, is cut off; when a host fails to do
what it should. `World.violations` says what may never happen and did.
"""

import asyncio
import contextlib
import heapq
import itertools
import json
import random
from dataclasses import dataclass

import msgspec
from tests.cluster.model_bucket import ModelBucket

from yoi.cluster.bucket import Origin, Taken
from yoi.cluster.records import Record
from yoi.cluster.tenure import Tenure, kept
from yoi.cluster.units import Units
from yoi.core.lease import LeaseTimes
from yoi.core.placement import Member, units_of
from yoi.errors import ServiceError, YoiError
from yoi.limits import LIMITS
from yoi.tasks import ended

TIMES = LeaseTimes(15.0)
_REQUEST_S = LIMITS.journal_request_ms / 1000
JOINED = units_of(
    [
        Member("service:a"),
        Member("worker:w", frozenset({"service:a"})),
        Member("service:b"),
        Member("service:c"),
        Member("service:d", runs_on=("m1",)),
        Member("service:e", runs_on=("m[12]",)),
    ]
)
PARTED = units_of(
    [
        Member("service:a"),
        Member("worker:w", frozenset({"service:b"})),
        Member("service:b"),
        Member("service:c", frozenset({"service:e"})),
        Member("service:d"),
        Member("service:e", runs_on=("m[12]",)),
    ]
)
"""What some machines know as decided while others know `JOINED`."""


@dataclass
class Faults:
    """How badly a world behaves while it does; each is a probability, or seconds."""

    slow: float = 0.06
    slow_s: float = 4.0
    lost: float = 0.03
    unanswered: float = 0.03
    refused: float = 0.01
    """A write that meets another one in flight."""
    behind: float = 0.2
    unplaced: float = 0.05
    every_s: float = 4.0
    """The mean time between two faults of machines."""
    removed: str = ""
    """The bucket that somebody removes now and then; a machine that starts makes it anew."""


CALM = Faults(slow=0, lost=0, unanswered=0, refused=0, behind=0, unplaced=0)


class World:
    """See the module docstring."""

    def __init__(self, seed: int, names: str | list[str] = ("m1", "m2", "m3")) -> None:
        self.rng = random.Random(seed)
        self.faults = CALM
        self.now = 0.0
        self.violations: list[str] = []
        self.claims = 0
        """How often a member got another owner."""
        self.silent_until = 0.0
        self.sessions = itertools.count(1)
        self.ends_its_process: set[str] = set()
        """Members that end the process which runs them."""
        self.runs: dict[str, int] = {}
        self._events: list[tuple[float, int, object]] = []
        self._order = itertools.count()
        self._made = itertools.count(1)
        self.buckets: dict[str, ModelBucket] = {}
        self._owned: dict[str, Record] = {}
        self._epochs: dict[str, int] = {}
        self.over: set[str] = set()
        """Keys of machines that another one has ended."""
        self.machines = [Machine(self, name) for name in names]

    # -- time -------------------------------------------------------------------------------------

    def at(self, when: float, act) -> None:
        """Do `act` at `when`."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), act))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        while True:
            able = [one.process for one in self.machines if one.able]
            ready = [one for one in able if one.loop.ready]
            if ready:
                self.rng.choice(ready).loop.step()
                continue
            due = [(one.due, number, one) for number, one in enumerate(able)]
            when, _, process = min(due, default=(float("inf"), 0, None))
            if self._events and self._events[0][0] <= when:
                if self._events[0][0] > until:
                    break
                self.now, _, act = heapq.heappop(self._events)
                act()
            elif process is not None and when <= until:
                self.now = max(self.now, when)
                process.loop.step()
            else:
                break
        self.now = until

    def close(self) -> None:
        """End all processes."""
        for one in self.machines:
            one.stays_down = True
            one.kill()

    # -- servers ----------------------------------------------------------------------------------

    def opened(self, name: str, ttl: float) -> ModelBucket:
        """Return the bucket, made where it is missing."""
        if name not in self.buckets:
            first = int(self.now * 1000) + 1
            self.buckets[name] = ModelBucket(f"made {next(self._made)}", ttl, self.now, first)
        return self.buckets[name]

    def remove(self, name: str) -> None:
        """Do what `nats kv del` does."""
        if self.buckets.pop(name, None) is not None and name == "units":
            # Epochs begin anew, by the clock; where a log has a later one, that is found out.
            self._owned.clear()
            self._epochs.clear()

    def send(self, process: "Process", act) -> asyncio.Future:
        """Send `act` to the servers; what comes back is the future's, if it comes."""
        answer = process.loop.create_future()
        if process.dead:
            answer.set_exception(OSError("closed"))
            return answer
        machine, faults, rng = process.machine, self.faults, self.rng
        there = self._delay()
        if machine.cut_until > self.now:
            if rng.random() < 0.7:
                answer.set_exception(OSError("no connection"))
                return answer
            # It waits in a socket, and may arrive when nobody waits for it any more.
            there += machine.cut_until - self.now
        if rng.random() < faults.lost:
            return answer
        answered = rng.random() >= faults.unanswered
        self.at(self.now + there, lambda: self._arrived(process, act, answer, answered))
        return answer

    def _arrived(self, process: "Process", act, answer: asyncio.Future, answered: bool) -> None:
        if self.silent_until > self.now:
            late = self.silent_until + self._delay()
            self.at(late, lambda: self._arrived(process, act, answer, answered))
            return
        try:
            told, fault = act(), None
        except (Taken, TimeoutError) as exc:
            told, fault = None, exc

        def heard() -> None:
            if process.dead or answer.done():
                return
            if process.machine.cut_until > self.now:
                return
            answer.set_result(told) if fault is None else answer.set_exception(fault)

        if answered:
            self.at(self.now + self._delay(), heard)

    def _delay(self) -> float:
        if self.rng.random() < self.faults.slow:
            return self.rng.expovariate(1 / self.faults.slow_s)
        return self.rng.uniform(0.001, 0.03)

    # -- what may never happen --------------------------------------------------------------------

    def wrong(self, what: str) -> None:
        """Note a violation."""
        self.violations.append(f"{self.now:.2f} {what}")

    def wrote(self, bucket: str, key: str, data: bytes) -> None:
        """Check a write that was stored."""
        if bucket == "units" and data:
            self._wrote_owner(key, msgspec.json.decode(data, type=Record))
        elif bucket == "machines" and data and "ended_by" in json.loads(data):
            self.over.add(key)
        elif bucket == "machines" and data and key in self.over:
            self.wrong(f"{key} was over, and its renewal was stored")

    def _wrote_owner(self, member: str, record: Record) -> None:
        before = self._owned.get(member, Record())
        self._owned[member] = record
        if record.session and record.session != before.session:
            self.claims += 1
            if record.epoch <= self._epochs.get(member, 0):
                self.wrong(f"{member} has a new owner under the epoch {record.epoch}, not later")
            for one in self.machines:
                one.check_bounce(member, record.session)
        self._epochs[member] = max(record.epoch, self._epochs.get(member, 0))

    def started(self, process: "Process", member: str) -> None:
        """Check that no other process may still send for `member`."""
        self.runs[member] = self.runs.get(member, 0) + 1
        for machine in self.machines:
            for other in machine.processes:
                if other is not process and other.may_send(member):
                    self.wrong(f"{member} runs on {process.label} and may send on {other.label}")
        if member in self.ends_its_process:
            self.at(self.now + self.rng.uniform(0, 0.2), process.die)

    # -- what should be so in the end -------------------------------------------------------------

    def settle(self, seconds: float) -> None:
        """End all faults, and let machines find to each other."""
        self.faults, self.silent_until = CALM, self.now
        for one in self.machines:
            one.recover()
        self.let_run()
        self.run(seconds)

    def let_run(self) -> None:
        """Do what `yoi cluster release` does, for all that is barred."""
        bucket = self.opened("units", 0.0)
        for one in bucket.since(0, self.now):
            record = msgspec.json.decode(one.data, type=Record)
            if record.barred:
                free = msgspec.structs.replace(record, barred="", takeovers=0)
                bucket.put(one.key, msgspec.json.encode(free), one.revision, self.now)

    def check_settled(self, units=JOINED) -> None:
        """Note each unit that does not run on exactly one machine that may run it."""
        living = [one.process for one in self.machines if one.able]
        for unit in units:
            may = [one for one in living if unit.may_run_on(one.machine.name)]
            run = [one for one in living if one.ran & set(unit.members)]
            whole = [one for one in run if set(unit.members) <= one.ran]
            if len(run) != bool(may) or len(whole) != bool(may):
                where = [one.label for one in run]
                self.wrong(f"{unit.name} should run once, and runs on {where}")


class Machine:
    """One machine: its clock, its cable, and the process that a supervisor starts again."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        rng = world.rng
        self.rate, self.ahead = rng.uniform(0.95, 1.05), rng.uniform(0, 1000)
        self.wall_ahead_ms = rng.choice([0, 0, -3_600_000, 3_600_000])
        self.paused_until = self.cut_until = 0.0
        self.stays_down = False
        self.wanted = JOINED
        self.processes: list[Process] = []
        self._moves: list[tuple[str, frozenset[str], float]] = []

    @property
    def process(self) -> "Process":
        """Return the newest."""
        return self.processes[-1]

    @property
    def able(self) -> bool:
        """Return whether its process is there and not stopped."""
        return (
            bool(self.processes) and not self.process.dead and self.world.now >= self.paused_until
        )

    def clock(self) -> float:
        """Return what it counts."""
        return self.world.now * self.rate + self.ahead

    def real(self, clock: float) -> float:
        """Return when its clock shows that."""
        return (clock - self.ahead) / self.rate

    def start(self) -> None:
        """Start a process, unless there is one."""
        if not self.stays_down and (not self.processes or self.process.dead):
            self.processes.append(Process(self))

    def gone(self) -> None:
        """Hear that the process has ended."""
        self.world.at(self.world.now + self.world.rng.uniform(0.2, 3), self.start)

    def kill(self) -> None:
        """End the process with a signal."""
        if self.processes:
            self.process.die()

    def pause(self, seconds: float) -> None:
        """Stop the process where it is, for so long."""
        self.paused_until = max(self.paused_until, self.world.now + seconds)
        self.world.at(self.paused_until, self._continued)

    def _continued(self) -> None:
        # A signal that came meanwhile ends it before its next instruction.
        if self.able:
            self.process.check_alarm()

    def recover(self) -> None:
        """Let nothing be wrong with it any more."""
        self.cut_until = self.paused_until = self.world.now
        self.stays_down = False
        self._continued()
        self.start()
        self.want(JOINED)
        self.process.units.undrain()

    def want(self, units) -> None:
        """Learn what is decided."""
        self.wanted = units
        self._moves.clear()
        if self.able:
            self.process.units.wanted(units)

    def hear(self) -> None:
        """Hear from another machine that something may be free."""
        if self.able:
            self.process.units.look_again()

    def move(self, name: str) -> None:
        """Have a person move a unit away."""
        if self.able:
            self.process.loop.spawn(self._moving(name, self.process))

    async def _moving(self, name: str, process: "Process") -> None:
        units = self.wanted
        try:
            members = await process.units.move(name, process)
        except YoiError:
            return
        if self.wanted is units:
            until = self.clock() + TIMES.ttl - 0.1
            self._moves.append((process.session, frozenset(members), until))

    def check_bounce(self, member: str, session: str) -> None:
        """Note that what was moved away is here again, although others had their time."""
        name = member.replace(".", ":", 1)
        for moved_by, members, until in self._moves:
            if session == moved_by and name in members and self.clock() < until:
                self.world.wrong(f"{member} is claimed by {self.name} that has just moved it")


class Process:
    """A host: it runs what it holds. `Ends`, `Tell` and `Runner` of the real parts."""

    def __init__(self, machine: Machine) -> None:
        world = machine.world
        self.machine, self.world = machine, world
        self.dead = False
        self.ran: set[str] = set()
        self.were_cut: set[str] = set()
        self.told: list[str] = []
        self.loop = MachineLoop(machine.clock, self._failed)
        self._alarm: float | None = None
        self._stopping = asyncio.Event()
        self._closed = False
        self._placing = asyncio.Lock()
        machines, units = (SentBucket(self, name, ttl) for name, ttl in _BUCKETS.items())
        self.tenure = Tenure(machines, machine.name, TIMES, machine.clock, self, book=units.made)
        self.session = f"s{next(world.sessions)}"
        self.tenure.session, self.tenure._key = self.session, f"host.{self.session}"
        self.units = Units(
            machines,
            units,
            self.tenure,
            self,
            lambda: int(world.now * 1000) + 10_000_000 + machine.wall_ahead_ms,
            machine.clock,
            self._hint,
            LIMITS,
            world.rng.random,
        )
        self.units.wanted(machine.wanted)
        self._life = self.loop.spawn(self._live())
        self._life.add_done_callback(self._lived)

    @property
    def label(self) -> str:
        """Return what to call it."""
        return f"{self.machine.name}/{self.session}"

    @property
    def due(self) -> float:
        """Return when its next timer is due."""
        return self.machine.real(self.loop.due)

    def may_send(self, member: str) -> bool:
        """Return whether it may still send for `member`: also once it is continued."""
        alarm = self._alarm
        in_time = alarm is None or self.machine.clock() < alarm
        return not self.dead and in_time and member in self.ran - self.were_cut

    async def _live(self) -> None:
        """Do what a host does of which `yoi.host.clustered` is a part."""
        with contextlib.suppress(YoiError):
            await self.tenure.claim()
            async with kept(self.tenure):
                try:
                    await self.units.settle(self)
                    following = asyncio.ensure_future(self.units.follow(self))
                    ending = [
                        asyncio.ensure_future(one.wait())
                        for one in (self.tenure.over, self._stopping)
                    ]
                    await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
                    await ended(following, *ending)
                    if following.done() and not following.cancelled() and following.exception():
                        raise following.exception()
                    if not self.tenure.over.is_set():
                        await self.units.drain(self)
                finally:
                    await self._stop_all()

    async def _stop_all(self) -> None:
        self._closed = True
        async with self._placing:
            for member in sorted(self.ran):
                await self._pass()
                self.ran.discard(member)

    def _lived(self, task: asyncio.Task) -> None:
        if not self.dead:
            if not task.cancelled() and task.exception() is not None:
                self._failed(task.exception())
            self.world.at(self.world.now, self.die)

    def _failed(self, exc: BaseException) -> None:
        if not self.dead:
            self.world.wrong(f"{self.label}: {type(exc).__name__}: {exc}")

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""
        self._stopping.set()

    def die(self) -> None:
        """Be gone at once. What it had sent is on its way."""
        if self.dead:
            return
        self.dead = True
        self.loop.abandon()
        self.machine.gone()

    # -- Ends -------------------------------------------------------------------------------------

    def arm(self, seconds: float) -> None:
        """Have the kernel end it then."""
        self._alarm = self.machine.clock() + max(seconds, 0.001)
        self.world.at(self.machine.real(self._alarm) + 1e-6, self.check_alarm)

    def disarm(self) -> None:
        """Let it live."""
        self._alarm = None
        if self.ran and not self.dead:
            self.world.wrong(f"{self.label} gives its lease back and runs {sorted(self.ran)}")

    def check_alarm(self) -> None:
        """Be ended where it is time and the process is not stopped."""
        here = self.machine.able and self.machine.process is self
        if here and self._alarm is not None and self.machine.clock() >= self._alarm:
            self.die()

    # -- Tell -------------------------------------------------------------------------------------

    def notice(self, code: str, message: str) -> None:
        """Note it."""
        self.told.append(code)

    def error(self, error: YoiError) -> None:
        """Note it."""
        self.told.append(error.code)

    # -- Runner -----------------------------------------------------------------------------------

    async def place(self) -> None:
        """Run what is held: what was held when it began."""
        async with self._placing:
            if self._closed or self.world.rng.random() < self.world.faults.unplaced:
                raise ServiceError("service.stopping", "not now")
            await self._pass()
            held = frozenset(self.units.held)
            for member in sorted(self.ran - held):
                await self._pass()
                self.ran.discard(member)
                self.were_cut.discard(member)
            for member in sorted(held - self.ran):
                await self._pass()
                if not self.dead:
                    self.ran.add(member)
                    self.world.started(self, member)

    async def _pass(self) -> None:
        rng, faults = self.world.rng, self.world.faults
        slow = rng.random() < faults.slow
        await asyncio.sleep(rng.expovariate(1 / faults.slow_s) if slow else rng.uniform(0, 0.2))

    def running(self) -> frozenset[str]:
        """Return what is there."""
        return frozenset(self.ran)

    def cut(self, member: str) -> None:
        """Have it send nothing more."""
        self.were_cut.add(member)

    def progressed(self, member: str) -> bool:
        """Say that it does well, unless it ends processes."""
        return member in self.ran and member not in self.world.ends_its_process

    async def _hint(self) -> None:
        for one in self.world.machines:
            if one is not self.machine and self.world.rng.random() < 0.8:
                self.world.at(self.world.now + 0.02, one.hear)

    def reload(self) -> None:
        """Read the workspace again for another reason, while units are claimed or given."""

        async def once() -> None:
            with contextlib.suppress(YoiError):
                await self.place()

        self.loop.spawn(once())


_BUCKETS = {"machines": TIMES.ttl, "units": 0.0}


class SentBucket:
    """A `Bucket` whose requests are messages in the world."""

    def __init__(self, process: Process, name: str, ttl: float) -> None:
        self.name, self._ttl = name, ttl
        self._process, self._world = process, process.world
        self.made = self._world.opened(name, ttl).made

    @property
    def ttl(self) -> float:
        """Return after how long a key lapses."""
        return self._ttl

    @property
    def _bucket(self) -> ModelBucket:
        found = self._world.buckets.get(self.name)
        if found is None:
            raise TimeoutError("no stream")
        return found

    async def _ask(self, act):
        async with asyncio.timeout(_REQUEST_S):
            return await self._world.send(self._process, act)

    async def put(self, key, data, expected):
        world = self._world

        def stored():
            if world.rng.random() < world.faults.refused:
                raise Taken(key)
            late = world.rng.uniform(0, 0.5)
            revision = self._bucket.put(key, data, expected, world.now, late)
            world.wrote(self.name, key, data)
            return revision

        return await self._ask(stored)

    async def drop(self, key, expected):
        await self.put(key, b"", expected)

    async def last(self, key):
        return await self._ask(lambda: self._bucket.last(key, self._world.now))

    async def since(self, revision=0):
        def found():
            world = self._world
            behind = world.rng.uniform(0, 3) if world.rng.random() < world.faults.behind else 0.0
            return self._bucket.since(revision, world.now, behind)

        return await self._ask(found)

    async def origin(self):
        def told():
            found = self._world.buckets.get(self.name)
            if found is None:
                return Origin("", 0.0)
            return Origin(found.made, self._world.now - found.made_at)

        return await self._ask(told)

    async def is_the_same(self):
        return (await self.origin()).made == self.made


class MachineLoop(asyncio.BaseEventLoop):
    """An event loop that never waits: the world steps it, and its time is the machine's."""

    def __init__(self, clock, failed) -> None:
        super().__init__()
        self._clock = clock
        self._selector = self
        self._clock_resolution = 1e-6
        self._later = 0.0
        self.set_exception_handler(
            lambda _, told: failed(told.get("exception") or RuntimeError(told["message"]))
        )

    def time(self) -> float:
        """Return the machine's time."""
        return self._clock() + self._later

    def select(self, timeout):
        """Wait for nothing."""
        return []

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass

    @property
    def ready(self) -> bool:
        """Return whether something is to be run now."""
        return bool(self._ready)

    @property
    def due(self) -> float:
        """Return when, by the machine's clock, the next timer is due."""
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
            self._timer_cancelled_count -= 1
        return self._scheduled[0]._when if self._scheduled else float("inf")

    def spawn(self, coroutine) -> asyncio.Task:
        """Begin a task."""
        return self.create_task(coroutine)

    def step(self) -> None:
        """Run what is ready or due, once."""
        self.call_soon(self.stop)
        self.run_forever()

    def abandon(self) -> None:
        """End all tasks; nothing that they do counts."""
        while tasks := asyncio.all_tasks(self):
            for one in tasks:
                one.cancel()
            self.step()
            self._later += 1.0
        self.close()


# -- how a world is driven ------------------------------------------------------------------------


class Plan:
    """A world's faults, drawn one after the other."""

    def __init__(self, world: World) -> None:
        self.world = world

    def begin(self, faults: Faults, until: float) -> None:
        """Start the machines, and let faults happen until then."""
        world = self.world
        world.faults = faults
        for one in world.machines:
            world.at(world.rng.uniform(0, 5), one.start)
        self._next(until)

    def _next(self, until: float) -> None:
        when = self.world.now + self.world.rng.expovariate(1 / self.world.faults.every_s)
        if when < until:
            self.world.at(when, lambda: self._happen(until))

    def _happen(self, until: float) -> None:
        rng, world = self.world.rng, self.world
        if world.faults.removed and rng.random() < 0.15:
            world.remove(world.faults.removed)
        machine = rng.choice(world.machines)
        act = rng.choice(
            [self._pause, self._kill, self._cut, self._stop, self._drain, self._move, self._move,
             self._want, self._doubt, self._reload, self._reload, self._reload, self._silence]
        )  # fmt: skip
        act(machine)
        self._next(until)

    def _long(self) -> float:
        return self.world.rng.choice([0.1, 1.0, 6.0, 20.0]) * self.world.rng.uniform(0.5, 1.5)

    def _pause(self, machine: Machine) -> None:
        machine.pause(self._long())

    def _kill(self, machine: Machine) -> None:
        machine.kill()

    def _cut(self, machine: Machine) -> None:
        machine.cut_until = self.world.now + self._long()

    def _silence(self, machine: Machine) -> None:
        self.world.silent_until = self.world.now + self._long() / 2

    def _stop(self, machine: Machine) -> None:
        if machine.able:
            machine.process.stop()

    def _drain(self, machine: Machine) -> None:
        if machine.able:
            process = machine.process
            process.loop.spawn(process.units.drain(process))
            self.world.at(self.world.now + self._long(), lambda: process.units.undrain())

    def _move(self, machine: Machine) -> None:
        machine.move(self.world.rng.choice([one.name for one in machine.wanted]))

    def _want(self, machine: Machine) -> None:
        machine.want(self.world.rng.choice([JOINED, PARTED]))

    def _doubt(self, machine: Machine) -> None:
        if machine.able and machine.process.units.held:
            member = self.world.rng.choice(sorted(machine.process.units.held))
            epoch = machine.process.units.held[member].epoch
            machine.process.units.fenced(member, epoch + self.world.rng.randrange(3))

    def _reload(self, machine: Machine) -> None:
        if machine.able:
            machine.process.reload()


def explored(seed: int, faults: Faults | None = None, seconds: float = 90.0) -> World:
    """Return a world after faults, a settling, and a time in which nothing should happen."""
    world = World(seed)
    try:
        Plan(world).begin(Faults() if faults is None else faults, seconds)
        world.run(seconds)
        world.settle(5 * TIMES.ttl + 30 * TIMES.renew)
        world.check_settled()
        before = world.claims
        world.run(20 * TIMES.renew)
        if world.claims != before:
            world.wrong(f"{world.claims - before} claims although nothing happened")
    finally:
        world.close()
    return world
