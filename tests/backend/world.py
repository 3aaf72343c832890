"""A backend without sockets: scripted runtimes below, clients in memory above, a clock in hand."""

import asyncio

import msgspec

from yoi.backend.backlog import Backlog
from yoi.backend.lease import Lease
from yoi.backend.upstream import UpstreamContext
from yoi.backend.upstreams import Upstreams
from yoi.core.observation import Framing, WorkerView
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.observation import (
    BookmarkFrame,
    DiagnosticFrame,
    EventFrame,
    Hop,
    ResumedFrame,
    Subject,
    SubjectKind,
    decode_frame,
)
from yoi.serving.admission import Declined
from yoi.serving.hub import Hub
from yoi.serving.watcher import Watching
from yoi.testing.clock import ManualClock
from yoi.testing.source import ScriptedSource
from yoi.testing.timers import ManualTimers

KEYS = CursorKeys(b"key1", {b"key1": b"k" * 32})
WORKER = Subject(SubjectKind.WORKER, "w", "r")
SERVICE = Subject(SubjectKind.SERVICE, "s", "r")


def greeting(name: str = "w") -> ev.Greeting:
    return ev.Greeting(worker_name=name, provider="scripted", model="scripted", tools=[])


def empty() -> ev.Snapshot:
    return WorkerView(greeting()).snapshot()


def text(words: str) -> ev.TextDelta:
    return ev.TextDelta(ev.TextData(text=words))


def said(words: str, seq: int) -> ev.UserMessage:
    """A committed message, which stays in snapshots."""
    return ev.UserMessage(
        ev.UserMessageData(segments=[ev.Segment(kind="text", text=words)], seq=seq, at_ms=seq)
    )


def frames_of(data: bytes) -> list:
    """The frames in the bytes of a WebSocket's server."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        found.append(decode_frame(data[start : start + size]))
        data = data[start + size :]
    return found


class Client:
    """A client in memory. `words` is what it got, in short."""

    def __init__(self, lease: Lease, projection="full", project=lambda event: event) -> None:
        self.lease = lease
        self.data = b""
        self.code = None
        feed = lease.feed(projection, Framing.WEBSOCKET, project)
        self.watcher = lease.channel.enter(feed, Watching("somebody"), self)

    def open(self, cursor=None, *, snapshot_always=False):
        self.watcher.open(cursor, 0.0, snapshot_always=snapshot_always)
        for name in self.lease.notes:
            self.watcher.tell(name)
        return self

    def write(self, data: bytes) -> None:
        self.data += data

    def finish(self, code, *, abort: bool) -> None:
        self.lease.channel.leave(self.watcher)
        self.code = code

    def leave(self) -> None:
        self.lease.channel.leave(self.watcher)
        self.lease.release()

    @property
    def frames(self) -> list:
        return frames_of(self.data)

    @property
    def words(self) -> list[str]:
        return [_word(frame) for frame in self.frames]

    @property
    def cursor(self) -> str:
        """The last place it was told of."""
        for frame in reversed(self.frames):
            if isinstance(frame, EventFrame):
                return frame.envelope.cursor
            if isinstance(frame, BookmarkFrame | ResumedFrame):
                return frame.cursor
        raise LookupError

    @property
    def ids(self) -> list[str]:
        return [each.envelope.event_id for each in self.frames if isinstance(each, EventFrame)]

    def view(self) -> dict:
        """What it knows, folded as a client folds."""
        view = None
        for frame in self.frames:
            if isinstance(frame, EventFrame):
                event = ev.decode_event(bytes(frame.envelope.payload))
                if frame.envelope.event_id.endswith(".s"):
                    view = WorkerView.of(event)
                else:
                    view.apply(event)
        return msgspec.to_builtins(view.snapshot())


def _word(frame) -> str:
    if isinstance(frame, EventFrame):
        payload = msgspec.json.decode(frame.envelope.payload)
        data = payload.get("data", {})
        words = data.get("text") or "".join(one["text"] for one in data.get("segments", []))
        return f"{payload['event']}:{words}" if words else payload["event"]
    if isinstance(frame, DiagnosticFrame):
        return f"!{frame.diagnostic.name}"
    return "resumed" if isinstance(frame, ResumedFrame) else "bookmark"


class World:
    """One backend's streams. Every wait of the backend's own is on the manual clock."""

    def __init__(self, limits: Limits = LIMITS, sources=("r",), journal=None) -> None:
        self.clock = ManualClock()
        self.timers = ManualTimers(self.clock)
        self.hub = Hub(Hop.BACKEND, KEYS, self.clock, limits)
        self.sources = {name: ScriptedSource(name) for name in sources}
        self.backlog = None if journal is None else Backlog(journal, limits)
        self.context = UpstreamContext(
            hub=self.hub,
            clock=self.clock,
            call_later=self.timers.call_later,
            rng=lambda: 1.0,
            limits=limits,
        )
        self.upstreams = Upstreams(self.sources, self.context, self.backlog)

    @property
    def source(self) -> ScriptedSource:
        return self.sources["r"]

    @property
    def link(self):
        return self.source.link

    def asking(self, subject: Subject = WORKER) -> "asyncio.Task[Lease | Declined]":
        return asyncio.get_running_loop().create_task(self.upstreams.lease(subject))

    async def lease(self, subject: Subject = WORKER) -> Lease | Declined:
        return await self.upstreams.lease(subject)

    async def watched(self, *, at: int = 0) -> Client:
        """A first client of the worker, whose runtime answers with an empty worker as of `at`."""
        asking = self.asking()
        link = await self.source.attempt(len(self.source.links) + 1)
        link.snapshot(at, empty())
        return Client(await asking).open()

    async def again(self, cursor=None, **how) -> Client:
        return Client(await self.lease()).open(cursor, **how)


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)
