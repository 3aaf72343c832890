"""A local server that speaks OpenAI's streaming chat completions, with what it was sent kept."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any


def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    return json.dumps(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "local-model-0613",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
    )


def usage(prompt: int, completion: int, cached: int) -> str:
    return json.dumps(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "local-model-0613",
            "choices": [],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }
    )


def text(*pieces: str) -> list[str]:
    return [
        *(chunk({"role": "assistant", "content": piece}) for piece in pieces),
        chunk({}, "stop"),
        usage(10, 3, 4),
        "[DONE]",
    ]


def call(call_id: str, name: str, *pieces: str) -> list[str]:
    head = {"index": 0, "id": call_id, "type": "function", "function": {"name": name}}
    head["function"]["arguments"] = ""
    return [
        chunk({"role": "assistant", "content": None, "tool_calls": [head]}),
        *(chunk({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}) for p in pieces),
        chunk({}, "tool_calls"),
        usage(20, 5, 0),
        "[DONE]",
    ]


class Reply:
    """One HTTP answer: a stream of server-sent events, or an error; `hang` never ends it."""

    def __init__(
        self,
        events: Sequence[str] = (),
        status: int = 200,
        body: str = "",
        headers: str = "",
        hang: bool = False,
        whole: bool = False,
    ) -> None:
        self.whole = whole
        self.events, self.status, self.body = events, status, body
        self.headers, self.hang = headers, hang


class Server:
    """Answers each request with the next reply; `.requests` holds (headers, decoded body)."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._replies = list(replies)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = next(
                    int(line.split(":")[1])
                    for line in head.lower().split("\r\n")
                    if line.startswith("content-length")
                )
                self.requests.append((head, json.loads(await reader.readexactly(length))))
                await self._answer(self._next(), writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _next(self) -> Reply:
        return self._replies.pop(0)

    async def _answer(self, reply: Reply, writer: asyncio.StreamWriter) -> None:
        if reply.status != 200:
            body = reply.body.encode()
            writer.write(
                f"HTTP/1.1 {reply.status} No\r\ncontent-type: application/json\r\n{reply.headers}"
                f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for event in reply.events:
            data = f"data: {event}\n\n".encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        if reply.hang:
            await asyncio.Event().wait()
        if reply.whole or (reply.events and reply.events[-1] == "[DONE]"):
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        else:
            raise ConnectionError  # the stream breaks off
