"""A hub with one worker stream behind a real server, for tests of everything on top of it."""

import contextlib
from dataclasses import dataclass

from yoi.core.observation import Framing, Stream, WorkerView
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.observation import Hop, Subject, SubjectKind
from yoi.serving.admission import Admitted, Declined, Refused
from yoi.serving.hub import Hub
from yoi.serving.server import ObservationServer, bind
from yoi.serving.watcher import Watching
from yoi.types import SystemClock

KEYS = CursorKeys(b"key1", {b"key1": b"k" * 32})
WORKER = Subject(SubjectKind.WORKER, "triage", "local")


def greeting(name="triage"):
    return ev.Greeting(worker_name=name, provider="scripted", model="scripted", tools=[])


def text(words):
    return ev.TextDelta(ev.TextData(text=words))


@dataclass
class Served:
    hub: Hub
    stream: Stream
    server: ObservationServer

    def say(self, words):
        event = text(words)
        return self.stream.publish(event, ev.encode_event(event))

    @property
    def url(self):
        host, port = self.server.address
        return f"ws://{host}:{port}/api/runtimes/local/workers/triage/events/ws"


async def nothing(scope, receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@contextlib.asynccontextmanager
async def served(limits: Limits = LIMITS, app=nothing, epoch=b"epoch--1", admit=None, tls=None):
    """Yield a server that lets everybody watch the worker `triage` of the runtime `local`."""
    hub = Hub(Hop.BACKEND, KEYS, SystemClock(), limits)
    stream = Stream(WORKER, WorkerView(greeting(), limits), epoch, limits)
    channel = hub.add(stream, ev.encode_event)
    feed = channel.feed("", Framing.WEBSOCKET, lambda event: event)

    async def everybody(request):
        if request.path != "/api/runtimes/local/workers/triage/events/ws":
            return Declined("worker_not_found")
        if request.query.get("refuse"):
            raise Refused(401, "unauthorized", "no token")
        return Admitted(
            channel=channel,
            feed=feed,
            watching=Watching("anybody"),
            cursor=request.query.get("cursor"),
            snapshot_always=request.query.get("snapshot") == "always",
        )

    server = ObservationServer(
        app, admit or everybody, hub, clock=hub.clock, limits=limits, tls=tls
    )
    await server.start(bind("127.0.0.1", 0))
    try:
        yield Served(hub, stream, server)
    finally:
        await server.close()
