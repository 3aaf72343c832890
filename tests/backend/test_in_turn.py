"""M5: seeded histories of two backends that serve one client in turn, while its stream moves.

Backends see the owners late, lose runtimes that others reach, are cut off, and start anew. Whatever
they were sent, clients that alternate between them at each reconnect follow by sequence within an
epoch, or were told to begin anew: the checker is that of one backend (test_histories.py).
"""

import asyncio
import contextlib
import random
from itertools import count

import pytest
from tests.backend.in_process import InProcessLink
from tests.backend.test_histories import Transcript, fold
from tests.backend.world import Client, World, _word, empty, said, text, turn

from yoi.backend.cluster_source import ClusterSource
from yoi.backend.source import Availability, Inventory, LossKind
from yoi.cluster.directory import Address
from yoi.cluster.records import Record
from yoi.core.observation import Stream, WorkerView
from yoi.journal.memory import MemoryJournal
from yoi.limits import Limits
from yoi.protocol.events import encode_event
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.admission import Declined
from yoi.types import Secret

SMALL = Limits(observed_ring_events=12)
"""A watcher that was away is often too late for an exact replay."""
OWN = Subject(SubjectKind.WORKER, "w")
STEPS = 150
CLIENTS = 3


class Deployment:
    """The truth: machines that live, who has the worker, and its stream there."""

    def __init__(self, rng):
        self._rng, self._sessions = rng, count(1)
        self.said = 0
        self.machines = {}
        self.record = Record()
        for name in "abc":
            self.restart(name)
        self.taken("a")

    def restart(self, name):
        """Have a new process live as machine `name`."""
        for session in [key for key, (machine, _) in self.machines.items() if machine == name]:
            _, stream = self.machines.pop(session)
            if stream is not None:
                stream.end("lost")
        self.machines[f"s{next(self._sessions):09}"] = name, None

    def taken(self, name):
        """Have machine `name` take the worker: its stream begins anew there."""
        session = next(key for key, (machine, _) in self.machines.items() if machine == name)
        stream = Stream(OWN, WorkerView.of(empty()), self._rng.randbytes(8), SMALL)
        self.machines[session] = name, stream
        self.record = Record(session, name, self.record.epoch + 1)

    def given(self):
        """Have its machine hand the worker over: until it is taken no machine has it."""
        stream = self.stream
        if stream is not None:
            name, _ = self.machines[self.record.session]
            self.machines[self.record.session] = name, None
            self.record = self.record.given_back("drained", 2**50)
            stream.end("stream_closed")

    @property
    def stream(self):
        """Return the stream as it is now, None where no living machine has it."""
        return self.machines.get(self.record.session, ("", None))[1]

    def happens(self):
        if self.stream is not None:
            self.said += 1
            event = said(f"m{self.said}", self.said) if self.said % 3 else text(f"t{self.said}")
            self.stream.publish(event, encode_event(event))


class View:
    """What one backend last heard of the owners. A `Directory`."""

    def __init__(self):
        self.addresses, self.records, self.reached = {}, {}, True

    async def look(self):
        if not self.reached:
            raise TimeoutError


class Reached:
    """One runtime as one backend reaches it."""

    availability = Availability.AVAILABLE
    inventory = Inventory()

    def __init__(self, site, session):
        self._site, self._session, self._links = site, session, []

    async def start(self):
        pass

    async def close(self):
        for link in self._links:
            link.lose(LossKind.UNREACHABLE)

    def open(self, subject, sink, resume):
        link = InProcessLink(sink, resume)
        _, stream = self._site.deployment.machines.get(self._session, ("", None))
        gone = self._session not in self._site.deployment.machines
        loop = asyncio.get_running_loop()
        if gone or self._session in self._site.cut:
            loop.call_soon(link.lose, LossKind.UNREACHABLE)
        elif stream is None:
            loop.call_soon(link.lose, LossKind.NOT_FOUND)
        else:
            self._links = [*self._links[-8:], link]
            loop.call_soon(link.begin, stream)
        return link

    def lose(self):
        for link in self._links:
            link.lose(LossKind.UNREACHABLE)


class Site(World):
    """One backend of the deployment, which may see less than the others."""

    def __init__(self, deployment, journal):
        super().__init__(SMALL, journal=journal)
        self.deployment, self.journal = deployment, journal
        self.cut, self.reached, self.view = set(), {}, View()
        self.cluster = ClusterSource(
            "r", self.view, Secret("t", "t"), self.clock, SMALL, remote=self._reach
        )
        self.sources["r"] = self.cluster

    def _reach(self, address):
        session = address.url
        self.reached[session] = Reached(self, session)
        return self.reached[session]

    async def look(self):
        """Hear of the owners as they are now, if the servers answer this backend."""
        if not self.view.reached:
            with contextlib.suppress(TimeoutError):
                await self.cluster.look()
            return
        machines = self.deployment.machines.items()
        self.view.addresses = {key: Address(machine, key) for key, (machine, _) in machines}
        self.view.records = {"worker:w": self.deployment.record}
        await self.cluster.look()

    async def answer(self):
        """Look at once where something was asked for, as the backend's own task does."""
        if self.cluster._again.is_set():
            self.cluster._again.clear()
            await self.look()
            await turn()

    def lose(self, session):
        """Reach a runtime no more, which others may still reach."""
        self.cut.add(session)
        if session in self.reached:
            self.reached[session].lose()


class Person(Transcript):
    """A client behind a load balancer: each time it comes to the other backend."""

    def __init__(self, number):
        super().__init__()
        self.turn = number
        self.client = None

    async def come(self, sites):
        self.turn += 1
        site = sites[self.turn % len(sites)]
        asking = site.asking()
        for _ in range(40):
            await turn()
            await site.answer()
            if asking.done():
                break
            site.timers.advance(0.5)
        lease = await asking
        if isinstance(lease, Declined):
            assert lease.name == "runtime_unavailable", "it is there, whatever a backend knows"
            return
        self.client = Client(lease).open(self.cursor)
        if self.cursor is None:
            self.frames.clear()

    def leave(self):
        client, self.client = self.client, None
        self.frames += client.frames
        # It may have been told nothing before it was gone again.
        if any(hasattr(one, "envelope") for one in client.frames):
            self.cursor = client.cursor
        client.leave()


async def history(seed):
    """Live through `STEPS` things that happen, judge every client, and return who has seen what."""
    rng = random.Random(seed)
    deployment = Deployment(rng)
    sites = [Site(deployment, MemoryJournal() if seed % 2 else None) for _ in range(2)]
    people = [Person(number) for number in range(CLIENTS)]
    moves = 0

    async def anew(number):
        """Have a backend start newly, beside clients that it loses."""
        site = sites[number]
        for person in people:
            if person.client is not None and person.turn % 2 == number:
                person.leave()
        if site.backlog is not None and rng.random() < 0.7:
            await site.backlog.flush()
        site.upstreams.close()
        await site.cluster.close()
        sites[number] = Site(deployment, site.journal)

    for _ in range(STEPS):
        what, site = rng.random(), rng.choice(sites)
        if what < 0.35:
            for _ in range(rng.choice([1, 1, 2, 20])):
                deployment.happens()
        elif what < 0.60:
            person = rng.choice(people)
            await (person.come(sites) if person.client is None else asyncio.sleep(0))
            if person.client is not None and rng.random() < 0.6:
                person.leave()
        elif what < 0.66:
            moves += 1
            if rng.random() < 0.5:
                deployment.given()
            else:
                deployment.restart(deployment.record.machine)
        elif what < 0.74 and deployment.stream is None:
            deployment.taken(rng.choice("abc"))
        elif what < 0.80:
            site.lose(rng.choice(list(deployment.machines)))
        elif what < 0.86:
            site.cut.clear()
        elif what < 0.88:
            await anew(rng.randrange(2))
        elif what < 0.91:
            site.view.reached = rng.random() < 0.5
        elif what < 0.97:
            await site.look()
        for one in sites:
            one.timers.advance(rng.choice([0.1, 0.5, 3]))
            if one.backlog is not None and rng.random() < 0.3:
                await one.backlog.flush()
        await turn()
        for one in sites:
            await one.answer()
    # Everything is well again: both know the same, and so does every client of either.
    if deployment.stream is None:
        deployment.taken("b")
    for site in sites:
        site.cut.clear()
        site.view.reached = True
    for person in people:
        for _ in range(20):
            for site in sites:
                await site.look()
                site.timers.advance(3)
            await turn()
            if person.client is None:
                await person.come(sites)
    for _ in range(40):
        for site in sites:
            site.timers.advance(3)
        await turn()
    deployment.happens()
    await turn()
    truth = deployment.stream.snapshot()
    for person in people:
        person.leave()
        person.judge()
        assert "!worker_not_found" not in map(_word, person.frames)
        assert fold(person.frames) == truth
    for site in sites:
        site.upstreams.close()
        await site.cluster.close()
    return moves, people


@pytest.mark.parametrize("seed", range(30))
async def test_clients_that_alternate_between_two_backends_miss_nothing_in_silence(seed):
    moves, _ = await history(seed)
    assert moves


async def test_the_histories_hold_resumes_at_the_other_backend_and_typed_resyncs():
    """Otherwise they would prove nothing."""
    words = []
    for seed in range(6):
        _, people = await history(1000 + seed)
        words += [_word(frame) for person in people for frame in person.frames]
    for name in ("resumed", "!upstream_resync", "!cursor_epoch_changed", "!cursor_expired"):
        assert name in words, name
