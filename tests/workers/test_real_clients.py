"""The providers' own client libraries, as an engine uses them, against their strict servers."""

import json

import pytest
from tests.workers import providers as p
from tests.workers.wire import Reply
from tests.workers.worlds import World, tool

from yoi.protocol import events as ev
from yoi.types import Secret
from yoi.workers import items as it
from yoi.workers.engines import make_engine
from yoi.workers.profile import WorkerProfile

MODELS = {"anthropic": "anthropic:claude-sonnet-4-6", "google": "google:gemini-2.5-flash"}


class Keys:
    """A secret store that has every key."""

    def secret(self, name):
        return Secret(name, "a-key-of-a-provider")

    async def refresh(self):
        pass


def anthropic(*blocks):
    """Return the stream of a message with `blocks`, each a text, or a tool's name and input."""
    said = [("message_start", {"message": {
        "id": "m", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }})]  # fmt: skip
    for index, block in enumerate(blocks):
        if isinstance(block, str):
            begun = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block}
        else:
            begun = {"type": "tool_use", "id": f"toolu_{index}", "name": block[0], "input": {}}
            delta = {"type": "input_json_delta", "partial_json": block[1]}
        said += [
            ("content_block_start", {"index": index, "content_block": begun}),
            ("content_block_delta", {"index": index, "delta": delta}),
            ("content_block_stop", {"index": index}),
        ]
    why = "end_turn" if isinstance(blocks[-1], str) else "tool_use"
    ended = {"delta": {"stop_reason": why, "stop_sequence": None}, "usage": {"output_tokens": 3}}
    said += [("message_delta", ended), ("message_stop", {})]
    events = [f"{json.dumps({'type': kind, **data})}\nevent: {kind}" for kind, data in said]
    return Reply(events, whole=True)


def google(*blocks):
    """Return the same as Google streams it."""
    parts = [{"text": b} if isinstance(b, str) else {"functionCall": _call(*b)} for b in blocks]
    chunk = {
        "candidates": [
            {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 10, "candidatesTokenCount": 3, "totalTokenCount": 13
        },
    }  # fmt: skip
    return Reply([json.dumps(chunk)], whole=True)


def _call(name, arguments):
    try:
        return {"name": name, "args": json.loads(arguments)}
    except ValueError:
        return {"name": name, "args": {}}


def google_rules(body):
    """Judge the body as Google's REST interface names things."""
    declared = [
        each for one in body.get("tools") or () for each in one.get("functionDeclarations", ())
    ]
    p.google({**body, "tools": declared})


LIBRARIES = {"anthropic": "anthropic", "google": "google.genai"}
KINDS = {"anthropic": (anthropic, p.anthropic), "google": (google, google_rules)}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_library_s_requests_are_legal(kind):
    """Invented tools, broken arguments, two texts in a row, a summary, and a run after it."""
    pytest.importorskip(LIBRARIES[kind], reason="pip install -r requirements/dev.txt")
    reply, rules = KINDS[kind]
    replies = [
        reply("let me see", ("in vented", "{}"), ("echo", '{"text":"a"}')),
        reply(("echo", "[")),
        reply("done"),
        reply("and the second"),
        reply("a summary"),
        reply("fine"),
    ]
    profile = {"name": "w", "model": MODELS[kind], "api_key": "k"}
    async with p.StrictServer(replies, rules=rules) as server:
        url = server.url.removesuffix("/v1")
        engine = make_engine(WorkerProfile.parse({**profile, "base_url": url}), Keys())
        async with World(engine, [tool()]) as world:
            await world.worker.pause("ann")
            await world.worker.send("first")
            await world.worker.send("second")
            await world.worker.resume("ann")
            await world.until(ev.RunEnd, 2)
            await world.worker.compact()
            await world.until(ev.CompactDone)
            await world.run("third")
            history = await world.items()
        ends = [i.result for i in history if isinstance(i, it.RunEnd)]
        assert server.refused == []
        assert ends == ["finished"] * len(ends)
        results = [i.outcome for i in history if isinstance(i, it.ToolResult)]
        assert results[:2] == ["refused", "returned"]
    assert len(server.requests) >= 5
