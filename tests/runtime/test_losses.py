"""D3: frames sent = handled + dead letters + frames inside gaps that the plugin was told, exactly.

One connection over a memory socket, its adapter and a small queue; the plugin is a loop that takes
events. Clock and timers are the test's, so that each frame's time is known.
"""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.connections.conftest import FixedResolver, allow, settings_for

from yoi.connections import HostConnection
from yoi.core.deferred import DeferredCalls
from yoi.core.heartbeat import HeartbeatSpec
from yoi.core.ingress_account import IngressPolicy
from yoi.core.ingress_queue import IngressQueue
from yoi.core.redaction import NOTHING
from yoi.core.repeats import Repeats
from yoi.limits import Limits
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import Deliver, OnFull
from yoi.permissions.match import Match
from yoi.protocol.ingress import BinaryFrame, EventKind, TextFrame
from yoi.runtime.connection_adapter import ConnectionAdapter
from yoi.runtime.intake import MemoryIntake
from yoi.runtime.ledger import Ledger
from yoi.testing import ManualClock
from yoi.testing.connector import MemoryConnector, MemoryWebSocket
from yoi.testing.timers import ManualTimers
from yoi.types import SessionId

LIMITS = Limits(queue_lifecycle_events=4, queue_overdraft_bytes=2_000, diagnostics=8)
DELIVER = frozenset({Deliver.TEXT, Deliver.BINARY, Deliver.OPEN, Deliver.CLOSE, Deliver.GAP})


@dataclass
class World:
    """The server, the connection and the plugin. `sent` is when each frame left the server."""

    policy: OnFull
    overlap_ms: int = 0
    sent: dict[int, int] = field(default_factory=dict)
    handled: set[int] = field(default_factory=set)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    order: list[tuple[str, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.connector = MemoryConnector(self.clock.monotonic)
        self.queue = IngressQueue([IngressPolicy("events", self.policy, 4, 4_000)], LIMITS)
        self.names = (SessionId(f"s{n}") for n in itertools.count(1))
        self.connect()
        self.socket: MemoryWebSocket | None = None

    def connect(self) -> None:
        """Make the connection, as a service does at its start."""
        made = settings_for(
            "wss://gateway.example.com/ws",
            on_full=self.policy,
            deliver=DELIVER,
            overlap_ms=self.overlap_ms,
            pause_grace_ms=1_000,
            backoff_first_ms=100,
            backoff_max_ms=100,
        )
        ledger = Ledger("p", self.clock, lambda _: None, LIMITS)
        self.adapter = ConnectionAdapter(
            made,
            self.queue,
            MemoryIntake(self.queue, Repeats({}), self.clock),
            ledger,
            self.clock,
            lambda: None,
            DeferredCalls(),
        )
        self.host = HostConnection(
            made,
            self.adapter,
            authorise=allow,
            clock=self.clock,
            rng=lambda: 0.5,
            connector=self.connector,
            resolver=FixedResolver("93.184.215.14"),
            limits=LIMITS,
            call_later=self.timers.call_later,
            new_session=lambda: next(self.names),
        )
        self.adapter.attach(self.host)

    def replaced(self, max_events: int) -> None:
        """Another version takes over, with other bounds; its connection is declared as before."""
        assert self.queue.reshape([IngressPolicy("events", self.policy, max_events, 4_000)]) == []
        self.adapter.use(None)
        assert self.host.govern(allow, lambda: NOTHING, lambda: None)
        if self.queue.resumable():
            self.host.resume()

    async def redialled(self) -> None:
        """Another version takes over, and its connection is declared otherwise."""
        status = self.host.status()
        since = [self.host.complete_until_ms()] if status.session else []
        since += [gap[1] for gap in (self.adapter.earlier, self.host.missing()) if gap is not None]
        closing = asyncio.ensure_future(self.host.close(1012))
        await self.settle()
        self.timers.advance(100)
        await closing
        self.connect()
        if since:
            self.adapter.begin_after(status.session, min(since))
        self.host.start()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)
        while not self.connector._dials.empty():
            self.socket = (await self.connector.dialled()).accept()
            for _ in range(12):
                await asyncio.sleep(0)

    def send(self, binary: bool) -> None:
        """The server sends the next frame on the newest socket; it knows nothing of its fate."""
        socket = self.socket
        if socket is None or socket._owner is None or socket._ended:
            return
        self.clock.advance(0.001)
        number = len(self.sent)
        self.sent[number] = self.clock.wall_ms()
        socket.peer_sends(str(number).encode() if binary else str(number))

    def plugin(self, most: int) -> None:
        """The plugin handles up to `most` events; then what was paused may read."""
        taken = self.queue.take(most, 1 << 20)
        self.queue.settle(len(taken))
        for event in taken:
            self.order.append((event.kind, event.session))
            if isinstance(event, TextFrame):
                self.handled.add(int(event.text))
            elif isinstance(event, BinaryFrame):
                self.handled.add(int(event.data))
            elif event.kind == EventKind.GAP:
                self.gaps.append(event.payload)
        if self.adapter.lost:
            self.adapter.tell_losses()
        if self.queue.resumable():
            self.host.resume()

    async def everything(self) -> None:
        """Let the plugin catch up, and the connection come back."""
        for _ in range(60):
            self.plugin(64)
            self.timers.advance(2.0)
            await self.settle()
        self.plugin(64)

    def check(self) -> None:
        missing = set(self.sent) - self.handled
        outside = [
            number
            for number in sorted(missing)
            if not any(gap["since_ms"] <= self.sent[number] <= gap["until_ms"] for gap in self.gaps)
        ]
        assert outside == [], f"frames outside every gap: {outside}; gaps {self.gaps}"
        known = [gap["count"] for gap in self.gaps]
        if None not in known:
            assert sum(known) == len(missing), "counts that are known are exact"


STEPS = st.sampled_from(
    [
        "send", "send", "send", "send", "flood", "plugin", "plugin", "wait", "grace",
        "peer_closes", "peer_vanishes", "close", "reconnect", "open", "beat",
        "replaced", "redialled",
    ]
)  # fmt: skip


async def carry_out(world: World, step: str, binary: bool) -> None:
    socket = world.socket
    match step:
        case "send":
            world.send(binary)
        case "flood":
            for _ in range(9):
                world.send(binary)
        case "plugin":
            world.plugin(2)
        case "wait":
            world.timers.advance(0.4)
        case "grace":
            world.timers.advance(1.1)
        case "peer_closes" if socket is not None:
            socket.peer_closes()
        case "peer_vanishes" if socket is not None:
            socket.peer_vanishes()
        case "close":
            if world.host.status().state == "open":
                world.host.close_session(1000)
        case "reconnect":
            if world.host.status().state == "open":
                world.host.reconnect()
        case "open":
            world.host.open()
        case "replaced":
            world.replaced(2 if binary else 6)
        case "redialled":
            await world.redialled()
        case "beat":
            if world.host.status().state == "open":
                world.host.heartbeat(
                    HeartbeatSpec(
                        every_ms=1_000,
                        render=lambda last: "beat",
                        first_ms=None,
                        ack=Match(JsonPointer.parse("/op"), (11,)),
                    )
                )


DROPPED_LATER = [
    (step, False) for step in ("plugin", "send", "send", "replaced", "redialled", "send", "send")
]
"""A frame waits that one adapter has queued; frames of the next one cost it its place."""


@pytest.mark.parametrize("overlap_ms", [0, 500])
@pytest.mark.parametrize("policy", list(OnFull))
@settings(max_examples=25)
@example(DROPPED_LATER)
@given(steps=st.lists(st.tuples(STEPS, st.booleans()), max_size=40))
def test_every_frame_is_handled_or_inside_a_gap(policy, overlap_ms, steps):
    async def run() -> None:
        world = World(policy, overlap_ms)
        world.host.start()
        await world.settle()
        for step, binary in steps:
            await carry_out(world, step, binary)
            await world.settle()
        await world.everything()
        world.check()
        closing = asyncio.ensure_future(world.host.close())
        await world.settle()
        world.timers.advance(100)
        await closing

    asyncio.run(run())


async def test_one_large_message_to_an_idle_plugin_does_not_call_it_slow():
    world = World(OnFull.PAUSE)
    told = []
    world.adapter._ledger.note = lambda code, message, **_: told.append((code, message))
    world.host.start()
    await world.settle()
    world.plugin(64)
    world.socket.peer_sends("1".zfill(3_000))
    await world.settle()
    paused = [message for code, message in told if code == "notice.paused"]
    assert paused == ["reading is paused: one message takes the room of many until it is handled"]
    told.clear()
    world.plugin(64)
    for _ in range(4):
        world.socket.peer_sends("1")
    await world.settle()
    paused = [message for code, message in told if code == "notice.paused"]
    assert paused == ["reading is paused: the plugin is slow"]
