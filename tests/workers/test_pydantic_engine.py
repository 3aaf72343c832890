"""The real OpenAI-compatible provider, over HTTP, against a server that speaks its wire format."""

import asyncio
import json

import pytest
import structlog
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel
from tests.workers.wire import Reply, Server, call, chunk, text
from tests.workers.worlds import World, tool

from yoi.core.observation.worker_view import WorkerView
from yoi.errors import WorkerError
from yoi.limits import Limits
from yoi.protocol import events as ev
from yoi.types import Secret
from yoi.workers import items as it
from yoi.workers.engines import make_engine
from yoi.workers.profile import WorkerProfile
from yoi.workers.pydantic_engine import PydanticEngine

KEY = "sk-very-secret-key"


class Secrets:
    def secret(self, name):
        return Secret(name, KEY) if name == "openai" else None


def engine(server: Server, **more):
    profile = WorkerProfile.parse(
        {
            "name": "w",
            "model": "openai-compatible:local-model",
            "base_url": server.url,
            "api_key": "openai",
            **more,
        }
    )
    return make_engine(profile, Secrets())


async def test_text_tools_and_usage_stream_through_and_the_wire_carries_only_history():
    """T4 on the wire: the second body is the first plus what was committed between."""
    replies = Reply(call("call_1", "echo", '{"text"', ':"hi"}')), Reply(text("It ", "said ", "hi."))
    async with Server(*replies) as server, World(engine(server), [tool()]) as world:
        await world.run("echo hi")
        assert world.names() == [
            "user_message",
            "status",
            "configured",
            "invoke_start",
            "turn_start",
            "llm_call_start",
            "tool_call_start",
            "tool_call_args_delta",
            "tool_call_args_delta",
            "tool_call_done",
            "llm_call_end",
            "usage",
            "tool_result",
            "turn_end",
            "turn_start",
            "llm_call_start",
            "text_delta",
            "text_delta",
            "text_delta",
            "text_done",
            "llm_call_end",
            "turn_end",
            "usage",
            "run_end",
        ]
        used = [e.data for e in world.heard if isinstance(e, ev.Usage)]
        assert used[1] == ev.UsageData(input_tokens=10, output_tokens=3, cache_read_input_tokens=4)
    (head, first), (_, second) = server.requests
    assert f"authorization: bearer {KEY}" in head.lower()
    assert first["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "echo hi"},
    ]
    assert [t["function"]["name"] for t in first["tools"]] == ["echo"]
    assert second["messages"][:2] == first["messages"]
    said, answered = second["messages"][2:]
    assert said["tool_calls"][0]["function"] == {"name": "echo", "arguments": '{"text":"hi"}'}
    assert (answered["role"], answered["content"]) == ("tool", '{"said":"hi"}')
    assert answered["tool_call_id"] == said["tool_calls"][0]["id"]


async def test_thinking_is_heard():
    replies = Reply(
        [chunk({"reasoning_content": "let me "}), chunk({"reasoning_content": "see"}), *text("ok")]
    )
    async with Server(replies) as server, World(engine(server)) as world:
        await world.run("hi")
        assert [n for n in world.names() if "thinking" in n] == [
            "thinking_start",
            "thinking_delta",
            "thinking_delta",
            "thinking_done",
        ]
        said = next(i for i in await world.items() if isinstance(i, it.Assistant))
        assert [type(part) for part in said.parts] == [it.Thinking, it.Text]


async def test_an_overloaded_provider_is_asked_again_visibly_and_as_late_as_it_says():
    busy = Reply(status=429, body='{"error":{"message":"slow down"}}', headers="retry-after: 7\r\n")
    async with Server(busy, Reply(text("ok"))) as server, World(engine(server)) as world:
        await world.run("hi")
        (retry,) = [e.data for e in world.heard if isinstance(e, ev.LlmRetry)]
        assert (retry.failed_attempt, retry.wait_ms, retry.status) == (1, 7000, 429)
        assert "slow down" in retry.error
        assert world.slept == [7.0]
        assert (await world.items())[-1].result == "finished"
        assert len(server.requests) == 2


async def test_retries_end_and_the_failure_is_in_history():
    busy = [Reply(status=503, body='{"error":{"message":"no"}}') for _ in range(4)]
    async with Server(*busy) as server, World(engine(server)) as world:
        await world.run("hi")
        assert world.names().count("llm_retry") == 3
        end = (await world.items())[-1]
        assert end.result == "failed"
        assert "model.provider" in end.error
        assert "error" in world.names()


async def test_a_rejected_request_is_not_repeated_and_the_key_is_not_shown():
    no = Reply(status=401, body=json.dumps({"error": {"message": f"bad key {KEY}"}}))
    async with Server(no) as server, World(engine(server)) as world:
        await world.run("hi")
        end = (await world.items())[-1]
        assert "model.rejected" in end.error
        assert "[masked]" in end.error
        assert KEY not in repr(world.heard)
        assert KEY not in repr(await world.items())


async def test_the_providers_own_words_are_in_the_log_of_who_asks_for_them():
    no = Reply(status=401, body=json.dumps({"error": {"code": "x-17", "message": f"not {KEY}"}}))
    with structlog.testing.capture_logs() as logged:
        async with Server(no) as server, World(engine(server)) as world:
            await world.run("hi")
            assert "x-17" not in (await world.items())[-1].error
    (told,) = [one for one in logged if one["event"] == "a provider's answer"]
    assert told["log_level"] == "debug"
    assert "x-17" in told["raw"]
    assert KEY not in told["raw"]


async def test_an_answer_that_repeats_the_key_is_masked_in_pieces_and_whole():
    """K3: whatever the provider says of the key: text, thinking, names, ids and arguments."""
    cut = (f"your key is {KEY[:7]}", KEY[7:12], f"{KEY[12:]}, and {KEY}")
    replies = [
        Reply(
            [
                chunk({"reasoning_content": f"the key {KEY[:9]}"}),
                chunk({"reasoning_content": KEY[9:]}),
                *call(KEY, "echo", '{"text": "', *cut, '"}'),
            ]
        ),
        Reply(call("call_2", KEY, "{}")),
        Reply(text(*cut)),
    ]
    async with Server(*replies) as server, World(engine(server), [tool()]) as world:
        await world.run("hi")
        items = await world.items()
        assert items[-1].result == "finished"
        heard = repr([*world.heard, *items])
        assert KEY not in heard
        assert KEY[2:] not in heard
        said = [e.data.text for e in world.heard if isinstance(e, ev.TextDelta)]
        assert "".join(said) == "your key is [masked], and [masked]"
        given = [e.data.json for e in world.heard if isinstance(e, ev.ToolCallArgsDelta)]
        assert "".join(given[:-1]) == '{"text": "your key is [masked], and [masked]"}'
    (_, _), (_, second), _ = server.requests
    assert KEY not in json.dumps(second)


@pytest.mark.parametrize(
    "broken",
    [
        [chunk({"content": "so "}), chunk({"content": "far"})],
        [chunk({"content": "so "}), chunk({"content": "far"}), "[DONE]"],
        [chunk({"content": "so "}), chunk({"content": "far"}), "{nonsense"],
        [
            chunk({"content": "so "}),
            chunk({"content": "far"}),
            '{"error":{"message":"exploded"}}',
            "[DONE]",
        ],
    ],
    ids=["cut", "no reason", "nonsense", "error event"],
)
async def test_a_broken_stream_is_asked_again_and_watchers_forget_the_piece(broken):
    async with Server(Reply(broken), Reply(text("ok"))) as server, World(engine(server)) as world:
        view = WorkerView.of(world.worker.watch(lambda event: view.apply(event)))
        await world.run("hi")
        said = [i for i in await world.items() if isinstance(i, it.Assistant)]
        assert [(s.finish, s.parts) for s in said] == [("complete", [it.Text("ok")])]
        assert world.names().count("llm_call_start") == 2  # the same call begins again
        shown = [e for e in view.snapshot().data.entries if e["type"] == "assistant"]
        assert [e["parts"] for e in shown] == [[{"kind": "text", "text": "ok"}]]
    assert server.requests[0][1] == server.requests[1][1]


async def test_a_stream_that_always_breaks_is_recorded_with_what_was_said():
    broken = [chunk({"content": "so "}), chunk({"content": "far"})]
    async with Server(*[Reply(broken)] * 4, Reply(text("ok"))) as server:
        async with World(engine(server)) as world:
            await world.run("hi")
            items = await world.items()
            said = next(i for i in items if isinstance(i, it.Assistant))
            assert (said.finish, said.parts) == ("failed", [it.Text("so far")])
            assert items[-1].result == "failed"
            await world.run("go on")
            assert (await world.items())[-1].result == "finished"
        roles = [m["role"] for m in server.requests[4][1]["messages"]]
        assert roles == ["system", "user", "assistant", "user"]


async def test_an_answer_cut_by_the_model_s_own_bound_ends_the_run():
    cut = [chunk({"content": "so"}), chunk({}, "length"), "[DONE]"]
    async with Server(Reply(cut)) as server, World(engine(server)) as world:
        await world.run("hi")
        items = await world.items()
        assert items[-1].result == "limit_reached"
        assert next(i for i in items if isinstance(i, it.Assistant)).finish == "cut"


async def test_enormous_output_is_cut_off():
    flood = [chunk({"content": "x" * 1000}) for _ in range(50)]
    limits = Limits(answer_text_bytes=10_500)
    flooded = Server(Reply(flood, hang=True))
    async with flooded as server, World(engine(server), limits=limits) as world:
        await world.run("hi")
        items = await world.items()
        assert "over 10500 bytes" in items[-1].error
        said = next(i for i in items if isinstance(i, it.Assistant))
        assert len(said.parts[0].text) == 10_000


async def test_cancel_closes_the_call():
    hanging = Server(Reply([chunk({"content": "so"})], hang=True))
    async with hanging as server, World(engine(server)) as world:
        await world.worker.send("hi")
        await world.until(ev.TextDelta)
        await world.worker.cancel()
        await world.until(ev.RunEnd)
        assert (await world.items())[-1].result == "cancelled"


async def test_a_silent_model_runs_out_of_time():
    async with Server(*[Reply(hang=True) for _ in range(2)]) as server:
        limits = Limits(llm_call_ms=50, llm_attempts=2)
        async with World(engine(server), limits=limits) as world:
            await world.run("hi")
            assert "model.timeout" in (await world.items())[-1].error


async def test_repeated_call_ids_are_told_apart():
    head = {"type": "function", "function": {"name": "echo", "arguments": '{"text":"a"}'}}
    both = [
        chunk({"tool_calls": [{"index": 0, "id": "same", **head}]}),
        chunk({"tool_calls": [{"index": 1, "id": "same", **head}]}),
        chunk({}, "tool_calls"),
        "[DONE]",
    ]
    wired = Server(Reply(both), Reply(text("ok")))
    async with wired as server, World(engine(server), [tool()]) as world:
        await world.run("hi")
        results = [i.call_id for i in await world.items() if isinstance(i, it.ToolResult)]
        assert results == ["same", "same-1"]


async def test_malformed_arguments_are_not_sent_back_as_they_were():
    """Some servers refuse a history with arguments that are not JSON, for ever."""
    async with Server(Reply(call("c", "echo", "{nons")), Reply(text("ok"))) as server:
        async with World(engine(server), [tool()]) as world:
            await world.run("hi")
        sent = server.requests[1][1]["messages"][2]["tool_calls"][0]["function"]["arguments"]
        assert "{nons" in json.loads(sent).values()


async def test_no_key_is_ever_taken_from_the_environment(monkeypatch):
    """W9."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/evil")
    table = {"name": "w", "model": "openai-chat:gpt-5"}
    with pytest.raises(WorkerError) as caught:
        make_engine(WorkerProfile.parse(table), Secrets())
    assert caught.value.code == "worker.profile"
    made = make_engine(WorkerProfile.parse({**table, "api_key": "openai"}), Secrets())
    assert made._model.provider.base_url.startswith("https://api.openai.com/")
    await made.close()
    with pytest.raises(WorkerError) as caught:
        make_engine(WorkerProfile.parse({**table, "api_key": "other"}), Secrets())
    assert caught.value.code == "worker.secret"


@pytest.mark.parametrize("model", ["nobody:m", "bedrock:m", "openai-compatible:m"])
async def test_a_model_that_can_not_be_built_says_why(model):
    with pytest.raises(WorkerError) as caught:
        make_engine(
            WorkerProfile.parse({"name": "w", "model": model, "api_key": "openai"}), Secrets()
        )
    assert caught.value.code == "worker.profile"


def test_a_secret_shows_nowhere():
    secret = Secret("openai", KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        __import__("pickle").dumps(secret)
    assert secret.reveal() == KEY


async def test_several_runs_share_one_connection_pool_and_close_it():
    async with Server(Reply(text("a")), Reply(text("b"))) as server:
        async with World(engine(server)) as world:
            await asyncio.wait_for(world.run("1"), 20)
            await world.run("2")
        assert len(server.requests) == 2


async def test_signed_thinking_goes_back_to_its_provider_as_it_came():
    """Some providers refuse a tool result whose thinking lost its signature."""
    sent = []

    async def stream(messages, info):
        sent.append(messages)
        if len(sent) == 1:
            yield {0: DeltaThinkingPart(content="hm", signature="sig")}
            yield {1: DeltaToolCall(name="echo", json_args='{"text":"a"}', tool_call_id="c")}
        else:
            yield "ok"

    made = PydanticEngine("function:f", FunctionModel(stream_function=stream), {})
    async with World(made, [tool()]) as world:
        await world.run("hi")
    thinking = sent[1][1].parts[0]
    assert (thinking.content, thinking.signature) == ("hm", "sig")
    assert sent[1][2].parts[0].content == '{"said":"a"}'
