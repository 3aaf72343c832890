"""Seeded histories: a runtime and clients that come and go, and what each client ends up with.

No gap without a typed resync, no id twice between two snapshots, order kept, and everybody who
watches at the end knows the same.
"""

import random

import pytest
from tests.backend.world import Client, World, empty, said, text, turn

from yoi.backend.source import LossKind
from yoi.core.observation import WorkerView
from yoi.journal.memory import MemoryJournal
from yoi.protocol import events as ev
from yoi.protocol.observation import DiagnosticFrame, EventFrame, ResumedFrame
from yoi.serving.admission import Declined


class TrueRuntime:
    """The worker as it really is: its epoch, its events, and what it can replay."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.epochs = 0
        self.begin()

    def begin(self) -> None:
        self.epochs += 1
        self.epoch = f"{self.epochs:016x}"
        self.events: list = []
        self.view = WorkerView.of(empty())
        self.oldest = 1

    def happens(self):
        number = len(self.events) + 1
        event = said(f"m{number}", number) if self.rng.random() < 0.7 else text(f"t{number}")
        self.events.append(event)
        self.view.apply(event)
        return number, event

    def serve(self, link) -> None:
        """Answer a new attempt as a runtime does."""
        resume = link.resume
        if (
            resume is not None
            and resume.at.epoch == self.epoch
            and self.oldest - 1 <= resume.at.seq <= len(self.events)
        ):
            link.resumed()
            for seq in range(resume.at.seq + 1, len(self.events) + 1):
                link.event(seq, self.events[seq - 1], self.epoch)
            link.caught_up()
        else:
            link.snapshot(len(self.events), self.view.snapshot(), self.epoch)


class Transcript:
    """One person's view over all their connections: what they were sent, in order."""

    def __init__(self) -> None:
        self.frames: list = []
        self.cursor: str | None = None

    def take(self, client: Client) -> None:
        self.frames += client.frames
        self.cursor = client.cursor

    def judge(self) -> None:
        """Raise AssertionError where the promises are broken."""
        epoch, last, excused = None, None, True
        for frame in self.frames:
            if isinstance(frame, DiagnosticFrame):
                excused = excused or frame.diagnostic.action == "resync"
            if isinstance(frame, ResumedFrame):
                assert last is not None
            if not isinstance(frame, EventFrame):
                continue
            event_id = frame.envelope.event_id
            found, _, number = event_id.removesuffix(".s").partition("-")
            if event_id.endswith(".s"):
                assert excused, "a snapshot that nobody announced"
                epoch, last, excused = found, int(number), False
                continue
            assert not excused, "an event where a snapshot was due"
            assert found == epoch, "another epoch without a snapshot"
            assert int(number) == last + 1, "a gap, a repetition or another order"
            last = int(number)


def fold(frames) -> object:
    view = None
    for frame in frames:
        if isinstance(frame, EventFrame):
            event = ev.decode_event(bytes(frame.envelope.payload))
            if frame.envelope.event_id.endswith(".s"):
                view = WorkerView.of(event)
            else:
                view.apply(event)
    return view.snapshot()


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_every_client_can_trust_what_it_was_sent(seed: int) -> None:
    rng = random.Random(seed)
    runtime = TrueRuntime(rng)
    journal = MemoryJournal() if seed % 2 else None
    world = World(journal=journal)
    served = 0
    people = [Transcript() for _ in range(4)]
    watching: dict[int, Client] = {}

    async def serve() -> None:
        nonlocal served
        await turn()
        while served < len(world.source.links):
            link = world.source.links[served]
            served += 1
            if link.open:
                if rng.random() < 0.2:
                    link.lose()
                else:
                    runtime.serve(link)
        await turn()

    async def come(number: int) -> None:
        asking = world.asking()
        person = people[number]
        for _ in range(40):
            await serve()
            if asking.done():
                break
            world.timers.advance(0.5)
        lease = await asking
        if isinstance(lease, Declined):
            assert lease.name == "runtime_unavailable"
            return
        watching[number] = Client(lease).open(person.cursor)
        if person.cursor is None:
            person.frames.clear()

    def leave(number: int) -> None:
        client = watching.pop(number)
        people[number].take(client)
        client.leave()

    async def restart_backend(polite: bool) -> None:
        nonlocal world, served
        for number in list(watching):
            leave(number)
        if polite and world.backlog is not None:
            await world.backlog.flush()
        world.upstreams.close()
        world, served = World(journal=journal), 0

    for _ in range(120):
        what = rng.random()
        link = world.source.links[-1] if world.source.links else None
        if what < 0.45:
            seq, event = runtime.happens()
            if link is not None and link.open and served == len(world.source.links):
                link.event(seq, event, runtime.epoch)
                if rng.random() < 0.1:
                    link.event(seq, event, runtime.epoch)
        elif what < 0.60:
            number = rng.randrange(4)
            if number in watching:
                leave(number)
            else:
                await come(number)
        elif what < 0.68 and link is not None:
            link.lose(rng.choice([LossKind.UNREACHABLE, LossKind.MALFORMED, LossKind.CURSOR]))
        elif what < 0.72 and link is not None:
            link.event(len(runtime.events) + 7, text("gap"), runtime.epoch)
        elif what < 0.75:
            runtime.oldest = len(runtime.events) + 1
        elif what < 0.78:
            runtime.begin()
            if link is not None:
                link.lose()
        elif what < 0.80:
            await restart_backend(polite=rng.random() < 0.5)
        elif what < 0.84:
            world.timers.advance(40)
        else:
            world.timers.advance(rng.choice([0.1, 0.5, 5]))
        if world.backlog is not None and rng.random() < 0.3:
            await world.backlog.flush()
        await serve()
    for number in range(4):
        for _ in range(20):
            if number in watching:
                break
            await come(number)
    for _ in range(100):
        world.timers.advance(11)
        await serve()
    for number in list(watching):
        leave(number)
    assert all(person.frames for person in people)
    for person in people:
        person.judge()
    assert [fold(person.frames) for person in people] == [runtime.view.snapshot()] * 4
