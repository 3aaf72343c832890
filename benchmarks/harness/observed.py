"""What the observed systems under test share: one worker's stream, and a socket that fills it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from yoi.core.observation import Stream, WorkerView
from yoi.protocol import events as ev
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.token_entries import TokenKind, parse_redaction
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.testing.trusting import workspace_id

GREETING = ev.Greeting(worker_name="triage", provider="none", model="none", tools=[])


def worker_stream() -> Stream[Any]:
    """Return the stream of a worker called triage."""
    subject = Subject(SubjectKind.WORKER, "triage")
    return Stream(subject, WorkerView(GREETING), os.urandom(8))


def tool_result(number: int, text: str) -> ev.ToolResult:
    """Return an event whose JSON has the size of `text`, most of it being `text`."""
    data = ev.ToolResultData(id=f"call-{number}", summary="", is_error=False, name="search")
    around = len(ev.encode_event(ev.ToolResult(data)))
    return ev.ToolResult(msgspec.structs.replace(data, summary=text.replace('"', "'")[around:]))


class Publisher(asyncio.Protocol):
    """Publishes each message as it is read, so that little is measured but what follows."""

    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream
        self._wire = ServerProtocol()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer the handshake; publish text."""
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if isinstance(event, Request):
                self._wire.send_response(self._wire.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                shown = tool_result(self._stream.head, bytes(event.data).decode())
                self._stream.publish(shown, ev.encode_event(shown))
        for out in self._wire.data_to_send():
            if out:
                self._transport.write(out)
            else:
                self._transport.close()


@asynccontextmanager
async def filled_from(port: int, stream: Stream[Any]) -> AsyncIterator[None]:
    """Publish each message of a WebSocket on `port` as one event of the message's size."""
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Publisher(stream), "127.0.0.1", port):
        yield


def write_token(
    workspace: Path,
    file: Path,
    kind: TokenKind = TokenKind.OBSERVER,
    redactions: tuple[str, ...] = (),
) -> None:
    """Make a token in `workspace` and write it to `file`."""
    store = TokenStore(tokens_file(workspace), owner=workspace_id(workspace))
    _, token = store.create(
        str(kind), kind=kind, redact=[parse_redaction(text) for text in redactions]
    )
    file.write_text(token.reveal())


async def say_listening() -> None:
    """Tell the benchmark, and go on until killed."""
    print("L", flush=True)
    await asyncio.Event().wait()
