"""A model that streams what the last message asks for, as an OpenAI-compatible server does.

say 200 3      200 words, one every 3 ms, after a thought
call note      a call of the tool `note`, its arguments in pieces
python -m chaos.model PORT
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
    b"Cache-Control: no-store\r\n\r\n"
)
_BATCH = 64
CANARY = "canary-"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.startswith(b"content-length")
        )
        request = json.loads(await reader.readexactly(size))
        writer.write(_HEAD)
        wait_ms, deltas = answer(request["messages"])
        for number, delta in enumerate(deltas):
            writer.write(_chunk(delta))
            if wait_ms or number % _BATCH == 0:
                await writer.drain()
                await asyncio.sleep(wait_ms / 1000)
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
    writer.close()


def answer(messages: list[dict[str, Any]]) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return how long to wait between pieces, and the pieces of the answer."""
    last = messages[-1]
    text = last.get("content") or ""
    if not isinstance(text, str):
        text = "".join(part.get("text", "") for part in text)
    words = text.split()
    if last["role"] == "tool":
        return 1, _say("seen", 12)
    if words[:1] == ["call"]:
        return 2, _call(words[1], " ".join(words[2:]))
    if words[:1] == ["say"]:
        return int(words[2]), _say(" ".join(words[3:]), int(words[1]))
    return 1, _say(text[-40:], 5)


def _say(about: str, count: int) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in ("I think ", f"of {CANARY}thought ", about):
        yield {"reasoning_content": piece}
    for number in range(count):
        yield {"content": f"w{number} " if number else f"{about}: "}
    yield {"finish": "stop"}


def _call(tool: str, about: str) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    yield {"reasoning_content": f"call it with {CANARY}thought"}
    arguments = json.dumps({"text": f"{CANARY}argument {about}"})
    head = {"index": 0, "id": f"call_{about}", "type": "function"}
    yield {"tool_calls": [{**head, "function": {"name": tool, "arguments": ""}}]}
    for start in range(0, len(arguments), 7):
        piece = {"arguments": arguments[start : start + 7]}
        yield {"tool_calls": [{"index": 0, "function": piece}]}
    yield {"finish": "tool_calls"}


def _chunk(delta: dict[str, Any]) -> bytes:
    finish = delta.pop("finish", None)
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [choice],
    }
    if finish is not None:
        chunk["usage"] = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def main() -> None:
    """Listen until the process is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
