"""The hub is held honest by a client made by others, unmodified, in a process of its own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from tests.homeassistant.hub import VERSION, Hub
from tests.peers import Peer, running
from websockets.asyncio.client import connect

SCRIPT = Path(__file__).with_name("their_client.py")


@contextlib.asynccontextmanager
async def their_client(hub: Hub, token: str | None = None) -> AsyncIterator[Peer]:
    async with running(SCRIPT, hub.url, token or hub.token) as peer:
        yield peer


async def test_their_client_signs_in_watches_and_calls_services() -> None:
    async with Hub() as hub, their_client(hub) as them:
        assert await them.ask("connect") == {"ok": VERSION}
        assert await them.ask("watch", entities=["light.hall"]) == {"ok": None}
        done = await them.ask(
            "call_service", domain="light", service="turn_on", target={"entity_id": "light.hall"}
        )
        assert done["ok"]["response"] is None
        assert hub.called == [("light.turn_on", {"entity_id": "light.hall"})]
        await hub.turn("binary_sensor.front_door", "on")  # not watched
        assert (await them.ask("ping_pong"))["error"] == "FailedCommand"
        all_of_them, changed = them.heard
        assert all_of_them["a"]["light.hall"]["s"] == "off"
        assert changed["c"]["light.hall"]["+"]["s"] == "on"
        states = await them.ask("get_states")
        assert {one["entity_id"] for one in states["ok"]} == set(hub.states)


async def test_their_client_is_refused_what_the_hub_does_not_know() -> None:
    async with Hub() as hub, their_client(hub) as them:
        await them.ask("connect")
        assert await them.ask("call_service", domain="light", service="explode") == {
            "error": "FailedCommand",
            "message": "Service light.explode not found.",
        }


async def test_their_client_with_a_wrong_token_is_refused() -> None:
    async with Hub() as hub, their_client(hub, "another token") as them:
        answer = await them.ask("connect")
        assert answer["error"] == "AuthenticationFailed"
        assert hub.wrong_tokens == 1


async def test_their_client_loses_its_socket_with_its_token() -> None:
    async with Hub() as hub, their_client(hub) as them:
        await them.ask("connect")
        assert (await them.ask("get_states"))["ok"]
        await hub.revoke("another token")
        await hub.until(lambda: not hub.open)
        async with asyncio.timeout(20):
            while "ok" in (answer := await them.ask("connect")):
                pass  # it has not seen the end of its socket yet
        assert answer["error"] == "AuthenticationFailed"
        assert hub.wrong_tokens == 1


async def test_ids_have_to_grow() -> None:
    """What their client never does wrong."""
    async with Hub() as hub, connect(hub.url) as raw:

        async def said(message: object) -> dict[str, object]:
            await raw.send(json.dumps(message))
            async with asyncio.timeout(20):
                answer: dict[str, object] = json.loads(await raw.recv())
            return answer

        assert json.loads(await raw.recv())["type"] == "auth_required"
        assert (await said({"type": "auth", "access_token": hub.token}))["type"] == "auth_ok"
        assert await said({"id": 2, "type": "ping"}) == {"id": 2, "type": "pong"}
        for number, code in ((2, "id_reuse"), (1, "id_reuse"), (0, "invalid_format")):
            answer = await said({"id": number, "type": "ping"})
            assert answer["error"]["code"] == code  # type: ignore[index]
