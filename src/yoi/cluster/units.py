"""`Units`: what of a deployment runs on this machine. It claims, hands over, and notices a loss.

    look ──▶ take (core/placement.py) ──▶ give, claim ──▶ `place`: the host runs what is held

A unit is claimed member by member, each by compare-and-set, in one order on all machines: two that
want it meet at its first member. What was owned by a machine whose key has lapsed is claimed after
that machine was ended (tenure.py); so whatever this process believes, no member has two owners.
"""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import structs
from nats.aio.client import Client

from yoi.cluster.bucket import UNSURE, Bucket, Entry, Taken
from yoi.cluster.ramp import Ramp
from yoi.cluster.records import Book, Known, Record
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import Tenure, books_of, end, machines_of
from yoi.core.placement import Standing, Unit, take
from yoi.errors import ClusterError, JournalError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.protocol.moves import Left
from yoi.protocol.published import PublicationMark

_SETTLED_TTLS = 4
"""A unit that ran for so many times to live has made progress, whatever it handled."""
_FAULTS_TOLD = 5
_LATER = 1.0
"""How many renewals a machine waits that has its share already, and as much again at random."""


class Runner(Protocol):
    """The host of this machine, which runs what is held."""

    async def place(self) -> None:
        """Run what is held, and nothing else. Raises YoiError where that is not possible now."""
        ...

    def running(self) -> frozenset[str]:
        """Return the members that are there now, however they are."""
        ...

    def cut(self, member: str) -> None:
        """Have `member` send nothing more, at once."""
        ...

    def progressed(self, member: str) -> bool:
        """Return whether `member` has handled anything since it is here."""
        ...


class Tell(Protocol):
    """Shows a notice or an error of this machine."""

    def notice(self, code: str, message: str) -> None:
        """Show that something happened."""
        ...

    def error(self, error: YoiError) -> None:
        """Show a fault."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A member that this machine owns."""

    epoch: int
    since: float
    moved_from: str | None


class Units:
    """See the module docstring. It belongs to the event loop; `follow` is its one task."""

    def __init__(
        self,
        machines: Bucket,
        units: Bucket,
        tenure: Tenure,
        tell: Tell,
        wall_ms: Callable[[], int],
        monotonic: Callable[[], float],
        hint: Callable[[], Awaitable[None]],
        limits: Limits = LIMITS,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """`hint` tells the other machines that something is free; it saves a wait only."""
        self._hint = hint
        self.book = Book(units)
        self.held: dict[str, Held] = {}
        """What this machine runs; what it hands over is taken out first."""
        self.obeyed: Callable[[], PublicationMark | None] = lambda: None
        """Returns the publication that is in force on this machine, if one is."""
        self._machines = machines
        self._tenure = tenure
        self._tell = tell
        self._wall_ms = wall_ms
        self._monotonic = monotonic
        self._limits = limits
        self._rng = rng
        self._units: tuple[Unit, ...] = ()
        self._gone: set[str] = set()
        """Sessions that are over for ever."""
        self._doubted: dict[str, int] = {}
        """Members whose log shows this later epoch."""
        self._waits: dict[str, float] = {}
        """When a unit beyond this machine's share may be claimed, by its name."""
        self._beyond = Ramp(1, limits.cluster_claims)
        """How many of them it claims at once."""
        self._died = Ramp(limits.cluster_takeovers_at_once, limits.cluster_claims)
        """How many units of machines that died it claims at once."""
        self._moved: dict[str, float] = {}
        """Until when units that a person moved away are left to others, by name."""
        self._faults = 0
        """Requests in a row that the servers did not carry out."""
        self._unplaced: str | None = None
        """Why the host does not run what is held, as was told; None: it does."""
        self._homeless: set[str] = set()
        """Units that no machine there is may run, of which was told."""
        self._waiting = False
        """Whether other machines go by another bucket of owners, of which was told."""
        self._draining = False
        self._again = asyncio.Event()
        self._acting = asyncio.Lock()

    # -- what the host asks -----------------------------------------------------------------------

    def wanted(self, units: Sequence[Unit]) -> None:
        """Hear which units there are to run, as decided."""
        if tuple(units) != self._units:
            self._units = tuple(units)
            self._again.set()

    shared = True
    """Another machine may own any of the logs next."""

    def epoch(self, log: str) -> int:
        """Return the epoch under which this machine owns `log`.

        Raises JournalError `journal.fenced` where it does not.
        """
        held = self.held.get(log)
        if held is None:
            raise JournalError("journal.fenced", f"this machine does not own {log}", epoch=0)
        return held.epoch

    def fenced(self, log: str, epoch: int) -> None:
        """Hear that `log` has a later owner: whether it is ours is found out by writing."""
        if log in self.held:
            self._doubted[log] = epoch
            self._again.set()

    def publication(self) -> PublicationMark | None:
        """Return the publication that this machine goes by."""
        return self.obeyed()

    def moved_from(self, log: str) -> str | None:
        """Return the machine that had `log` before this one."""
        held = self.held.get(log)
        return None if held is None else held.moved_from

    def machine_of(self, member: str) -> str | None:
        """Return the other machine that has `member`; empty: none has; None: it is not known."""
        record = self.book.of(member).record
        if record.session and record.session != self._tenure.session:
            return record.machine
        return "" if any(member in one.members for one in self._units) else None

    def look_again(self) -> None:
        """Look at once: something may be free."""
        self._again.set()

    # -- the one task -----------------------------------------------------------------------------

    async def settle(self, runner: Runner) -> None:
        """Claim what falls to this machine now, and run it."""
        while await self._round(runner):
            pass

    async def follow(self, runner: Runner) -> None:
        """Go on claiming, giving and noticing, until the tenure is over or this is cancelled."""
        while not self._tenure.over.is_set():
            self._again.clear()
            changed = False
            try:
                changed = await self._round(runner)
            except YoiError as exc:
                self._tell.error(exc)
            if changed:
                continue
            try:
                async with asyncio.timeout(self._tenure.lease.times.renew):
                    await self._again.wait()
            except TimeoutError:
                pass

    async def move(self, name: str, runner: Runner) -> tuple[str, ...]:
        """Hand over the unit that `name` is in, and leave it to other machines for a while.

        Returns its members. Raises ClusterError `cluster.unit_unknown` where it is not here.
        """
        unit = next((one for one in self._units if name in one.members), None)
        if unit is None or not self.held.keys() & set(unit.members):
            raise ClusterError(
                "cluster.unit_unknown",
                f"{name} does not run on this machine",
                hint="yoi cluster leases",
            )
        async with self._acting:
            await self._give(unit.members, runner, Left.MOVED)
            # From when it is free: stopping it may have taken long.
            self._moved[unit.name] = self._monotonic() + self._tenure.lease.times.ttl
        return unit.members

    async def drain(self, runner: Runner) -> None:
        """Hand everything over, a few units at a time, and claim nothing more.

        It returns when all is released, or the servers do not answer.
        """
        self._draining = True
        async with self._acting:
            await self._drain(runner)

    async def _drain(self, runner: Runner) -> None:
        most = self._limits.cluster_drains_at_once
        units = [one for one in self._units if self.held.keys() & set(one.members)]
        rest = self.held.keys() - {name for one in units for name in one.members}
        groups = [units[at : at + most] for at in range(0, len(units), most)]
        for group in groups:
            members = [name for one in group for name in one.members]
            await self._give(members, runner, Left.DRAINED)
        await self._give(sorted(rest), runner, Left.DRAINED)

    @property
    def draining(self) -> bool:
        """Return whether this machine hands over all it has."""
        return self._draining

    def undrain(self) -> None:
        """Claim again."""
        self._draining = False
        self._again.set()

    async def _round(self, runner: Runner) -> bool:
        """Look and act once; return whether anything changed."""
        async with self._acting:
            return await self._look_and_act(runner)

    async def _look_and_act(self, runner: Runner) -> bool:
        try:
            if not await self.book.look():
                self._tenure.over.set()
                raise ClusterError(
                    "cluster.stream",
                    "the bucket of the units was removed: nothing here is known to be ours",
                    hint="start it again: it makes the bucket anew",
                )
            there = await self._machines.since()
            living = machines_of(there)
            changed = await self._lose(runner)
            changed |= await self._return_late(runner)
            await self._note_progress(runner)
            owners = await self._owners(living)
        except UNSURE as exc:
            self._unsure(exc)
            return False
        if self._draining or not self._tenure.lives or self._other_book(living, there):
            return changed
        living[self._tenure.session] = self._tenure.machine
        self._tell_homeless(living)
        barred = frozenset(name for name, one in self.book.known.items() if one.record.barred)
        wanted = take(self._units, Standing(self._tenure.session, living, owners, barred))
        known = {name for one in self._units for name in one.members}
        give = [*wanted.give, *sorted(self.held.keys() - known - set(wanted.give))]
        if give:
            await self._give(give, runner, Left.PLACED)
        self._moved = {name: at for name, at in self._moved.items() if at > self._monotonic()}
        free = [one for one in wanted.now if one.name not in self._moved]
        beyond = [one for one in wanted.later if one.name not in self._moved]
        before = self._faults
        taken = await self._claim_some([*free, *self._due(beyond)])
        if self._faults == before:
            self._faults = 0
        if taken:
            await self._place(runner)
            names = ", ".join(one.name for one in taken)
            self._tell.notice("notice.unit_taken", f"this machine runs {names}")
        return changed or bool(give) or bool(taken)

    async def _owners(self, living: dict[str, str]) -> dict[str, str]:
        """Return the session that owns each member, without those that are over.

        A session without a key is ended first; where that is refused, it lives.
        """
        owners: dict[str, str] = {}
        for member, known in self.book.known.items():
            session = known.record.session
            if not session or session in self._gone:
                continue
            if session != self._tenure.session and session not in living:
                if await end(self._machines, session, self._tenure.session):
                    self._gone.add(session)
                    continue
                living[session] = known.record.machine
            owners[member] = session
        # Only those that still own something have to be known.
        self._gone &= {one.record.session for one in self.book.known.values()}
        return owners

    def _other_book(self, living: dict[str, str], there: Iterable[Entry]) -> bool:
        """Return whether machines go by another bucket of owners, which was removed; tell it once.

        What they run does not stand in this one: it is free when they have ended.
        """
        mine = self.book.made
        others = sorted(living[one] for one, book in books_of(there).items() if book != mine)
        if others and not self._waiting:
            names = ", ".join(others)
            self._tell.notice(
                "notice.standby",
                f"the bucket of the units was removed and made anew: waiting until {names} ends",
            )
        self._waiting = bool(others)
        return self._waiting

    def _due(self, units: Iterable[Unit]) -> list[Unit]:
        """Return those of `units` that have waited long enough for a machine with less to do.

        Of them one, and then twice as many as the time before: a machine that lives and has not
        taken them by then, because it still starts or hangs, must not keep them waiting.
        """
        now, due = self._monotonic(), []
        waits: dict[str, float] = {}
        for unit in units:
            wait = self._tenure.lease.times.renew * (_LATER + self._rng())
            waits[unit.name] = self._waits.get(unit.name, now + wait)
            if waits[unit.name] <= now:
                due.append(unit)
        self._waits = waits
        chosen = due[: self._beyond.now]
        if due:
            self._beyond.grow()
        else:
            self._beyond.restart()
        return chosen

    def _unsure(self, fault: BaseException) -> None:
        """Tell once where the servers refuse, or do not answer, one round after the other."""
        self._faults += 1
        if self._faults == _FAULTS_TOLD:
            self._tell.error(
                ClusterError(
                    "cluster.unreachable",
                    f"units cannot be claimed or followed: {fault or 'the servers do not answer'}",
                    hint="yoi cluster status",
                )
            )

    def _tell_homeless(self, living: dict[str, str]) -> None:
        """Tell once of each unit that no machine there is may run."""
        names = set(living.values())
        homeless = {
            one.name for one in self._units if not any(one.may_run_on(name) for name in names)
        }
        for name in sorted(homeless - self._homeless):
            self._tell.notice(
                "notice.unit_homeless", f"{name} runs nowhere: runs_on fits none of {sorted(names)}"
            )
        self._homeless = homeless

    # -- claiming ---------------------------------------------------------------------------------

    async def _claim_some(self, units: Sequence[Unit]) -> list[Unit]:
        """Claim of `units` as many as may be at once; machines begin at different ones.

        Of a machine that died a few, and twice as many each time: what was claimed before runs by
        then. Always a few where one of them may end its machine, because it was taken over before.
        """
        order = sorted(units, key=self._begins_with)
        died = [one for one in order if self._after_a_death(one)]
        calm = [one for one in order if one not in died]
        chosen = [*died[: self._died.now], *calm[: self._limits.cluster_claims]]
        if died and not any(self.book.of(one.name).record.takeovers for one in died):
            self._died.grow()
        else:
            self._died.restart()
        done = await asyncio.gather(*(self._claim(one) for one in chosen))
        return [one for one, mine in zip(chosen, done, strict=True) if mine]

    def _begins_with(self, unit: Unit) -> bytes:
        return hashlib.sha256(f"{self._tenure.session} {unit.name}".encode()).digest()

    def _after_a_death(self, unit: Unit) -> bool:
        return any(self.book.of(name).record.session in self._gone for name in unit.members)

    async def _claim(self, unit: Unit) -> bool:
        """Claim what of `unit` is not ours; where one is refused, give back the others.

        Nothing of it is held before all of it is ours: the host, which may read its workspace again
        at any time, would run a part that is given back without being stopped.
        """
        claimed: dict[str, Record] = {}
        for member in unit.members:
            if member in self.held:
                continue
            known = self.book.of(member)
            record = known.record
            died = record.session in self._gone
            takeovers = record.takeovers + died
            if member == unit.name and takeovers > self._limits.cluster_takeovers:
                await self._bar(unit, member, record)
                break
            name, now_ms = self._tenure.machine, self._wall_ms()
            moved = record.taken_by(name, now_ms, died=died, most=self._limits.cluster_moves)
            wanted = Record(
                session=self._tenure.session,
                machine=name,
                # Of the time only so that logs which were moved here have earlier ones.
                epoch=max(record.epoch + 1, now_ms),
                since_ms=now_ms,
                moved_from=record.machine if record.machine != name else "",
                takeovers=takeovers,
                moves=moved.moves,
                moved=moved.moved,
            )
            try:
                await self.book.write(member, wanted)
            except Taken:
                break
            except UNSURE as exc:
                # Where it was written after all, it is found, and given back or run.
                self._unsure(exc)
                break
            claimed[member] = wanted
        if all(name in self.held or name in claimed for name in unit.members):
            for member, record in claimed.items():
                self._hold(member, record)
            return self._tenure.lives
        for member in claimed:
            await self._release(member)
        return False

    def _hold(self, member: str, record: Record) -> None:
        self._doubted.pop(member, None)
        self.held[member] = Held(record.epoch, self._monotonic(), record.moved_from or None)

    async def _bar(self, unit: Unit, member: str, record: Record) -> None:
        why = (
            f"taken over {record.takeovers} times from machines that died, "
            f"the last of them {record.machine}, and nothing was handled"
        )
        barred = structs.replace(record, session="", takeovers=0, barred=why, left=Left.BARRED)
        try:
            await self.book.write(member, barred)
        except (Taken, *UNSURE):
            return
        self._tell.error(
            ClusterError(
                "cluster.unit_barred",
                f"no machine runs {unit.name} any more: {why}",
                hint=f"yoi cluster release {member}",
            )
        )

    # -- giving -----------------------------------------------------------------------------------

    async def _give(self, members: Iterable[str], runner: Runner, why: Left) -> None:
        """Stop `members` here, and then let other machines have them; they read `why`."""
        names = [name for name in members if self.held.pop(name, None) is not None]
        if not names:
            return
        await self._place(runner)
        running = runner.running()
        given = [name for name in names if name not in running and await self._release(name, why)]
        if given:
            await self._hint()
            self._tell.notice("notice.unit_given", f"handed over: {', '.join(given)}")

    async def _return_late(self, runner: Runner) -> bool:
        """Settle what is ours by the book and not held: a claim or a release of unknown end.

        Where the host could not be placed before, it is placed first.
        """
        late = [
            member
            for member, known in self.book.known.items()
            if known.record.session == self._tenure.session and member not in self.held
        ]
        if self._unplaced is not None or runner.running() & set(late):
            await self._place(runner)
        running, changed = runner.running(), False
        for member in late:
            if member not in running:
                changed |= await self._release(member)
        return changed

    async def _release(self, member: str, why: str = "") -> bool:
        """Write that `member` has no owner, and why; return whether that is certain."""
        known = self.book.of(member)
        if known.record.session == self._tenure.session:
            try:
                await self.book.write(member, known.record.given_back(why, self._wall_ms()))
            except (Taken, *UNSURE):
                return False
        return True

    # -- losing -----------------------------------------------------------------------------------

    async def _lose(self, runner: Runner) -> bool:
        """Stop at once what another machine has; return whether there was anything."""
        for member, epoch in list(self._doubted.items()):
            if member in self.held:
                await self._prove(member, epoch)
        lost = [
            member
            for member in self.held
            if self.book.of(member).record.session != self._tenure.session
        ]
        for member in lost:
            del self.held[member]
            self._doubted.pop(member, None)
            runner.cut(member)
            machine = self.book.of(member).record.machine or "another machine"
            self._tell.error(
                ClusterError("cluster.unit_lost", f"{member} is owned by {machine}: stopped here")
            )
        if lost:
            await self._place(runner)
        return bool(lost)

    async def _prove(self, member: str, epoch: int) -> None:
        """Write that `member` is ours, under an epoch after `epoch`; or find that it is not."""
        known = await self.book.again(member)
        if known.record.session != self._tenure.session:
            return
        record = structs.replace(known.record, epoch=max(known.record.epoch, epoch + 1))
        try:
            await self.book.write(member, record)
        except Taken:
            await self.book.again(member)
            return
        self._hold(member, record)

    # -- progress ---------------------------------------------------------------------------------

    async def _note_progress(self, runner: Runner) -> None:
        """Write once of each member that was taken over that it is well here."""
        long = self._tenure.lease.times.ttl * _SETTLED_TTLS
        for unit in self._units:
            doubtful = [
                one
                for one in unit.members
                if one in self.held and self.book.of(one).record.takeovers
            ]
            if not doubtful:
                continue
            since = max(self.held[one].since for one in doubtful)
            if self._monotonic() - since < long and not any(map(runner.progressed, unit.members)):
                continue
            for member in doubtful:
                known: Known = self.book.of(member)
                try:
                    await self.book.write(member, structs.replace(known.record, takeovers=0))
                except Taken:
                    continue

    async def _place(self, runner: Runner) -> None:
        """Have the host run what is held; where it cannot, each round tries again."""
        try:
            await runner.place()
        except YoiError as exc:
            if self._unplaced != exc.code:
                self._tell.error(exc)
            self._unplaced = exc.code
        else:
            self._unplaced = None


async def buckets_of(
    client: Client, settings: ClusterSettings, limits: Limits = LIMITS
) -> tuple[Bucket, Bucket]:
    """Return the buckets of the machines that live and of the units, made where they are missing.

    Raises ClusterError.
    """
    ttl, replicas = settings.lease_ms / 1000, settings.replicas
    machines = await Bucket.open(client, f"{settings.name}_leases", ttl, replicas, limits)
    return machines, await Bucket.open(client, f"{settings.name}_units", 0, replicas, limits)
