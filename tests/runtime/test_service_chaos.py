"""One service under random frames, faults and commands: nothing vanishes, nothing hangs.

Every frame that a connection handed over ends in exactly one way: answered, a dead letter, dropped
by the overflow policy (counted in a gap), refused with a diagnostic, or discarded at the stop.
"""

import asyncio
import contextlib
import random
from collections import Counter

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.core.lifecycle import Lifecycle
from yoi.errors import ConnectionFailure, GuestRefused, GuestTrapped, SandboxError, ServiceError
from yoi.limits import Limits
from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, AnswerRefused, HandlerFailed, Reply

_LIMITS = Limits(
    restart_first_ms=1,
    retry_first_ms=1,
    retry_max_ms=1,
    restart_max_ms=1,
    drain_ms=50,
    restarts_until_quarantine=6,
    diagnostics_per_second=1_000_000,
    dead_letters=10_000,
    queue_overdraft_bytes=2048,
)


class Chaotic(FakeInstance):
    """Misbehaves at random; a call of a lost instance says so, as the sandbox does."""

    def __init__(self, rng: random.Random, world: "World") -> None:
        super().__init__()
        self._rng = rng
        self._world = world
        self._gone = False
        self.closed = False

    def _may_trap(self, odds: float) -> None:
        if self._gone or self.closed:
            raise GuestTrapped("sandbox.gone", "the instance has been discarded")
        if self._rng.random() < odds:
            self._gone = True
            raise GuestTrapped("sandbox.trap", "unreachable")

    def start(self, config_json, budget_ms):
        self._may_trap(0.1)
        if self._rng.random() < 0.1:
            raise GuestRefused("sandbox.start", "not today")
        return {}

    def dispatch(self, events, budget_ms):
        self._may_trap(0.1)
        if self._rng.random() < 0.05:
            raise GuestRefused("sandbox.answer_malformed", "nonsense")
        outcomes = []
        for event in events[: self._rng.randint(1, len(events))]:
            self._world.first_delivered(event)
            kind = self._rng.random()
            if kind < 0.1:
                return [*outcomes, HandlerFailed("ValueError", "no", "")]
            if kind < 0.15:
                outcomes.append(AnswerRefused("service.command_malformed", "bad"))
            elif isinstance(event, TextFrame):
                outcomes.append(Reply(event.text))
            else:
                outcomes.append(NO_COMMANDS)
        return outcomes

    def call_tool(self, name, input_json, budget_ms, call_id):
        self._may_trap(0.3)
        return "{}"

    def status(self, budget_ms):
        self._may_trap(0.1)
        return {}

    def stop(self, budget_ms):
        self._may_trap(0.2)
        return {}

    def close(self):
        self.closed = True


class World:
    """What was offered and what became of it."""

    def __init__(self, rng: random.Random, overflow: OnFull) -> None:
        self.rng = rng
        self.offered: list[str] = []
        self.sessions: dict[str, str] = {}
        self.delivered: dict[str, list[int]] = {}
        self.instances: list[Chaotic] = []
        self.bench = Bench([], overflow=overflow, max_events=8, limits=_LIMITS)
        self.bench._instances = self  # an endless supply
        self.fates: Counter[str] = Counter()
        self.discarded = 0
        clear = self.bench.service._queue.clear

        def discard():
            for event in self.bench.service._queue.account("events").waiting:
                if isinstance(event, TextFrame):
                    self.fates[event.text] += 1
            cleared = clear()
            self.discarded += len(cleared)
            return cleared

        self.bench.service._queue.clear = discard
        executor = self.bench.service._executor
        send = executor._send

        def spy(effect):
            self.fates[effect.text] += 1
            with contextlib.suppress(ConnectionFailure):
                send(effect)
                link = self.bench.service._connections.handle(effect.connection)
                # Replies go to the session that asked, and to no other.
                assert effect.session == link.session == self.sessions[effect.text]

        executor._send = spy

    def popleft(self):
        self.instances.append(Chaotic(self.rng, self))
        return self.instances[-1]

    def first_delivered(self, event) -> None:
        if isinstance(event, TextFrame):
            seen = self.delivered.setdefault(event.session, [])
            if event.seq not in seen:
                assert not seen or event.seq > max(seen), "first deliveries are in order"
                seen.append(event.seq)

    def burst(self) -> None:
        for _ in range(self.rng.randint(1, 5)):
            self.receive()

    def receive(self) -> None:
        link = self.bench.links[-1] if self.bench.links else None
        if link is None or link.closed or link.log[-1:] == ["pause"] or link.session is None:
            return
        text = f"f{len(self.offered)}"
        self.offered.append(text)
        self.sessions[text] = link.session
        link.receive(text)

    def flap(self) -> None:
        link = self.bench.links[-1] if self.bench.links else None
        if link is None or link.closed:
            return
        if link.session is None:
            link.arrive()
        else:
            link.end()

    async def person(self) -> None:
        service = self.bench.service
        with contextlib.suppress(ServiceError, SandboxError):
            match self.rng.randrange(6):
                case 0:
                    await service.restart()
                case 1:
                    await service.call_tool("t", {})
                case 2:
                    await service.ask_status()
                case 3:
                    await service.stop()
                case 4 if service.dead_letters:
                    letter = self.rng.choice(service.dead_letters)
                    service.replay(letter.event.event_id)
                case _:
                    service.status()


@pytest.mark.parametrize("overflow", list(OnFull))
@pytest.mark.parametrize("seed", range(12))
async def test_every_frame_ends_once_and_nothing_hangs(seed, overflow):
    """S3, S5, S7, S8, W2, W4."""
    rng = random.Random(f"{seed} {overflow}")
    world = World(rng, overflow)
    bench, service = world.bench, world.bench.service
    people: set[asyncio.Task] = set()
    async with asyncio.timeout(30):
        await service.start()
        for _ in range(400):
            match rng.randrange(8):
                case 0 | 1:
                    world.burst()
                case 4:
                    world.flap()
                case 5 if rng.random() < 0.3:
                    people.add(asyncio.create_task(world.person()))
                case 2 | 3:
                    await asyncio.sleep(0.001 if rng.random() < 0.2 else 0)
                case _:
                    await asyncio.sleep(0)
        await asyncio.gather(*people)
        await service.retire(reason="the end")
        await bench.settle()
    assert service.lifecycle is Lifecycle.STOPPED
    assert service.status().queue_depth == 0
    assert all(instance.closed for instance in world.instances), "no instance is left behind"
    assert all(link.closed for link in bench.links)
    for letter in service.dead_letters:
        if isinstance(letter.event, TextFrame):
            world.fates[letter.event.text] += 1
    assert max(world.fates.values(), default=0) <= 1, "one ending each"
    dropped_by_policy = [text for text in world.offered if not world.fates[text]]
    assert len(dropped_by_policy) == service.status().counters.dropped - world.discarded
    told = [d.fields["count"] for d in bench.diagnostics if d.code == "notice.gap"]
    told = [count for count in told if count is not None]  # not known after a stop
    assert sum(told) == len(dropped_by_policy), "each loss lies in a gap"
    assert service._queue.bytes == 0
    with pytest.raises(ServiceError):
        await service.restart()
