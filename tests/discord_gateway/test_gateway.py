"""The gateway is held honest by discord.py, unmodified, in a process of its own."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.discord_gateway.gateway import DiscordGateway, sent
from tests.peers import Peer, running
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

SCRIPT = Path(__file__).with_name("their_client.py")


@contextlib.asynccontextmanager
async def their_client(discord: DiscordGateway) -> AsyncIterator[Peer]:
    where = (str(discord.http_port), str(discord.ws_port), discord.api.token)
    async with running(SCRIPT, *where) as peer:
        assert await peer.ask("connect") == {"ok": True}
        yield peer


async def heard(peer: Peer, word: str, times: int = 1) -> None:
    await peer.until(lambda said: said.count(word) >= times)


async def test_discord_py_signs_in_hears_answers_and_beats() -> None:
    """With zlib-stream, which it asks for."""
    async with DiscordGateway(interval_ms=1000) as discord, their_client(discord) as them:
        await heard(them, "READY")
        discord.message("hi")
        await discord.until(lambda: discord.api.said == ["You said: hi"])
        await discord.until(lambda: 2 in sent(discord.sockets, 1))
        [identify] = sent(discord.sockets, 2)
        assert identify["token"] == discord.api.token
        assert {"intents", "properties"} <= set(identify)


async def test_discord_py_resumes_with_its_last_number_where_it_is_told() -> None:
    async with DiscordGateway() as discord, their_client(discord) as them:
        await heard(them, "READY")
        for number, how in enumerate(("kill", "reconnect", "invalid", "close"), 1):
            discord.message(f"before {how}")
            await heard(them, f"before {how}")
            if how == "kill":
                discord.socket.kill()
            elif how == "close":
                await discord.socket.close(4000, "bye")
            else:
                discord.socket.send(7 if how == "reconnect" else 9, True)
            await discord.ended(number)
            discord.message(f"during {how}")
            await heard(them, f"during {how}")
            await heard(them, "RESUMED", number)
        assert discord.resumed == [2, 5, 8, 11]
        assert {socket.path for socket in discord.sockets[1:]} == {"/resume"}
        assert len(discord.identified) == 1
        assert len(them.heard) == 1 + 3 * 4, "each once"


@pytest.mark.slow  # discord.py waits five seconds
async def test_discord_py_begins_anew_where_a_session_is_over() -> None:
    async with DiscordGateway() as discord, their_client(discord) as them:
        discord.identify_seconds = 0.0
        await heard(them, "READY")
        discord.forget()
        discord.socket.send(9, False)
        await heard(them, "READY", 2)
        assert len(discord.identified) == 2
        assert discord.resumed == []


async def test_discord_py_waits_where_it_posts_too_much() -> None:
    async with DiscordGateway() as discord, their_client(discord) as them:
        await heard(them, "READY")
        discord.api.bucket, discord.api.bucket_seconds = 1, 0.3
        discord.api.limit_next(0.2)
        for number in range(3):
            discord.message(f"{number}")
        await discord.until(lambda: len(discord.api.said) == 3)
        assert discord.api.of("/messages", 429)


async def test_discord_py_gives_up_where_its_token_is_wrong() -> None:
    async with DiscordGateway() as discord:
        told, discord.api.token = discord.api.token, "revoked"
        async with running(SCRIPT, str(discord.http_port), str(discord.ws_port), told) as them:
            await them.ask("connect")
            await heard(them, "LoginFailure")
        assert discord.sockets == []


async def say(socket: object, op: int, d: object) -> None:
    await socket.send(json.dumps({"op": op, "d": d}))  # type: ignore[attr-defined]


async def test_sessions_end_and_codes_are_given_as_discord_does() -> None:
    async with DiscordGateway() as discord:
        where = f"{discord.url}/?v=10&encoding=json"
        good = {"token": discord.api.token, "intents": 0, "properties": {}}

        async def code_after(*messages: tuple[int, object]) -> int | None:
            async with connect(where) as socket:
                await socket.recv()
                for op, d in messages:
                    await say(socket, op, d)
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await socket.recv()
                return socket.close_code

        assert await code_after((2, {**good, "token": "x"})) == 4004
        assert await code_after((3, {})) == 4003
        assert await code_after((2, good), (2, good)) == 4005
        [session] = discord.sessions
        resume = {"token": discord.api.token, "session_id": session, "seq": 99}
        assert await code_after((6, resume)) == 4007

        async with connect(where) as socket:
            await socket.recv()
            await say(socket, 6, {**resume, "seq": 1})
            assert json.loads(await socket.recv())["t"] == "RESUMED"
        # The client has said goodbye with 1000: nothing is left of the session.
        await discord.until(lambda: not discord.sessions)
        async with connect(where) as socket:
            await socket.recv()
            await say(socket, 6, {**resume, "seq": 1})
            assert json.loads(await socket.recv()) == {"op": 9, "d": False, "s": None, "t": None}
            await say(socket, 2, good)
            assert json.loads(await socket.recv())["op"] == 9, "two IDENTIFYs in five seconds"
