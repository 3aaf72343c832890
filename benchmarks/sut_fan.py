"""Yoi's observation under measurement. sut_fan.py PORT PUB_PORT TOKEN_FILE [REDACTION ...]

One worker's stream, watched through the backend's front on PORT with a token that is written to
TOKEN_FILE and may see everything but what the redactions name. Each message of a WebSocket on
PUB_PORT becomes one event of the worker, of the message's size: a tool's result.
"""

import os
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from websockets.asyncio.server import ServerConnection, serve

from yoi.backend.policy import ConfiguredPolicy
from yoi.core.observation import Stream, Wire, WorkerView
from yoi.protocol import events as ev
from yoi.protocol.observation import Hop, Subject, SubjectKind
from yoi.serving.admission import Admitted, Refused, UpgradeRequest
from yoi.serving.front import Front, bind
from yoi.serving.hub import Channel, Hub, Watching
from yoi.serving.identity import AT_BACKEND, Identities
from yoi.serving.keys import ObservationKeys
from yoi.serving.tokens import TokenStore, parse_redaction
from yoi.types import SystemClock

WORKER = Subject(SubjectKind.WORKER, "triage", "local")
GREETING = ev.Greeting(worker_name="triage", provider="none", model="none", tools=[])


class Desk:
    """Lets in who has the token, under the configured policy."""

    def __init__(self, channel: Channel[Any], identities: Identities) -> None:
        self._channel = channel
        self._identities = identities
        self._policy = ConfiguredPolicy()

    async def admit(self, request: UpgradeRequest) -> Admitted:
        """Return the worker's stream as the token's holder may see it."""
        presented = dict(request.headers).get("authorization", "").removeprefix("Bearer ")
        principal = self._identities.identify(presented)
        if principal is None or not self._policy.observe(principal, WORKER):
            raise Refused(401, "unauthorized", "no token")
        feed = self._channel.feed(
            self._policy.projection(principal, WORKER),
            Wire.WEBSOCKET,
            lambda event: self._policy.project(event, principal),
        )
        return Admitted(
            channel=self._channel,
            feed=feed,
            watching=Watching(principal.name),
            cursor=request.query.get("cursor"),
        )


def tool_result(number: int, text: str) -> ev.ToolResult:
    """Return an event whose JSON has the size of `text`, most of it being `text`."""
    data = ev.ToolResultData(id=f"call-{number}", summary="", is_error=False, name="search")
    around = len(ev.encode_event(ev.ToolResult(data)))
    return ev.ToolResult(msgspec.structs.replace(data, summary=text.replace('"', "'")[around:]))


async def nothing(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Answer 404 to everything that is no WebSocket."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def main(port: int, pub_port: int, tokens: TokenStore) -> None:
    """Serve until killed; says `L` when it listens."""
    clock = SystemClock()
    hub = Hub(Hop.BACKEND, ObservationKeys.fresh().cursor_keys, clock)
    stream = Stream(WORKER, WorkerView(GREETING), os.urandom(8))
    channel = hub.add(stream, ev.encode_event)
    desk = Desk(channel, Identities(tokens, clock, AT_BACKEND))
    front = Front(nothing, desk.admit, hub, clock=clock)
    await front.start(bind("127.0.0.1", port))

    async def publish(socket: ServerConnection) -> None:
        async for message in socket:
            event = tool_result(stream.head, str(message))
            stream.publish(event, ev.encode_event(event))

    async with serve(publish, "127.0.0.1", pub_port, compression=None) as publisher:
        print("L", flush=True)
        await publisher.serve_forever()


if __name__ == "__main__":
    store = TokenStore(Path(tempfile.mkdtemp(prefix="yoi-bench-")) / "tokens.toml")
    _, token = store.create("observer", redact=[parse_redaction(text) for text in sys.argv[4:]])
    Path(sys.argv[3]).write_text(token.reveal())
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), store))
