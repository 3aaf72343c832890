"""What the observed systems under test share: one worker's stream, and a socket that fills it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve

from yoi.core.observation import Stream, WorkerView
from yoi.protocol import events as ev
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.tokens import TokenKind, TokenStore, parse_redaction, tokens_file

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


@asynccontextmanager
async def filled_from(port: int, stream: Stream[Any]) -> AsyncIterator[None]:
    """Publish each message of a WebSocket on `port` as one event of the message's size."""

    async def publish(socket: ServerConnection) -> None:
        async for message in socket:
            event = tool_result(stream.head, str(message))
            stream.publish(event, ev.encode_event(event))

    async with serve(publish, "127.0.0.1", port, compression=None):
        yield


def write_token(
    workspace: Path,
    file: Path,
    kind: TokenKind = TokenKind.OBSERVER,
    redactions: tuple[str, ...] = (),
) -> None:
    """Make a token in `workspace` and write it to `file`."""
    store = TokenStore(tokens_file(workspace))
    _, token = store.create(
        str(kind), kind=kind, redact=[parse_redaction(text) for text in redactions]
    )
    file.write_text(token.reveal())


async def say_listening() -> None:
    """Tell the benchmark, and go on until killed."""
    print("L", flush=True)
    await asyncio.Event().wait()
