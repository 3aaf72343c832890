"""The ways in, from outside: guessing locks nobody out, and a proxy's own login is left alone."""

import msgspec
import pytest
from tests.backend.served import Caller, Runtime, backend, token

WS = "/api/runtimes/r/workers/w/events/ws"
SSE = "/api/runtimes/r/workers/w/events/sse"
JSON = {"Content-Type": "application/json"}


async def sign_in(served, code: str) -> int:
    body = msgspec.json.encode({"code": code})
    return (await Caller(served, None).ask("POST", "/api/session", JSON, body))[0]


async def test_wrong_codes_lock_nobody_out(tmp_path) -> None:
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        code = served.new_console_url().partition("#code=")[2]
        answers = [await sign_in(served, f"wrong{number}") for number in range(40)]
        assert answers == [401] * 30 + [503] * 10
        assert await sign_in(served, code) == 200
        assert await sign_in(served, code) == 503  # it was used: a wrong one like others


async def refused_by_header(caller: Caller) -> int:
    return (await caller.ask("GET", "/api/session"))[0]


async def refused_by_subprotocol(caller: Caller) -> int:
    guess, caller.token = caller.token, None
    offered = {"Sec-WebSocket-Protocol": f"yoi.observe.v1, yoi.token.{guess}"}
    async with caller.stream(WS, Authorization=None, **offered) as stream:
        return (await stream.head())[0]


async def refused_by_sse(caller: Caller) -> int:
    return (await caller.ask("GET", SSE))[0]


@pytest.mark.parametrize("guess", [refused_by_header, refused_by_subprotocol, refused_by_sse])
async def test_wrong_tokens_lock_nobody_out(tmp_path, guess) -> None:
    key = token(tmp_path)
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        wrong = [f"{kind}{number:043}" for number in range(50) for kind in ("yoi_", "yois_")]
        assert {await guess(Caller(served, one)) for one in wrong} == {401}
        assert (await Caller(served, key).get("/api/session"))[0] == 200


@pytest.mark.parametrize("theirs", ["Basic eDp5", "Bearer eyJhbGciOi.J9.x", "Negotiate YII="])
async def test_a_proxy_s_own_authorisation_is_not_looked_at(tmp_path, theirs) -> None:
    key = token(tmp_path)
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        caller = Caller(served, None)
        both = {"Authorization": theirs, "Yoi-Token": key}
        status, who = await caller.get("/api/session", **both)
        assert (status, who["principal"]) == (200, "token:eve")
        async with caller.open("GET", SSE, both) as events:
            assert (await events.head())[0] == 200
            await events.until(b"event: event")
        offered = {"Sec-WebSocket-Protocol": f"yoi.observe.v1, yoi.token.{key}"}
        async with caller.stream(WS, Authorization=theirs, **offered) as stream:
            assert (await stream.head())[0] == 101
            assert len(await stream.frames(1)) == 1
        assert (await caller.get("/api/session", Authorization=theirs))[0] == 401
