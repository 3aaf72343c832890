"""examples/home-assistant through the whole host, against a hub with real sockets.

The hub is held to Home Assistant's behaviour by hass-client: tests/homeassistant/test_hub.py.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import msgspec
import pytest
from tests.canary import Canaries
from tests.examples.installed import Installed
from tests.homeassistant.hub import Hub

from yoi.control.client import call
from yoi.errors import ControlError
from yoi.host import Host
from yoi.limits import LIMITS

DOOR, HALL = "binary_sensor.front_door", "light.hall"


class House(Installed[Hub]):
    """The example and its worker, its address set to the hub's."""

    example = instance = "home-assistant"

    def addresses(self) -> tuple[tuple[str, str], ...]:
        port = self.gateway.port
        return (
            ("ws://homeassistant.local:8123", f"ws://127.0.0.1:{port}"),
            ('"homeassistant.local", port = 8123', f'"127.0.0.1", port = {port}'),
            ('ready = "command"', 'ready = "command"\nbackoff = { first_ms = 100, max_ms = 200 }'),
        )

    def source(self, text: str) -> str:
        # A test does not wait half a minute.
        return text.replace("PING_MS = 30_000", "PING_MS = 1_000")

    async def ask(self, method: str, **params: Any) -> Any:
        return await asyncio.to_thread(call, self.folder, method, **params)

    async def history(self) -> list[dict[str, Any]]:
        return list((await self.ask("worker.history", name="house"))["items"])

    async def told(self, count: int, about: str = "") -> list[str]:
        """Return what the worker was told (`about` one entity), once it is `count` changes."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(ControlError):  # the host is on its way
                    items = await self.history()
                    texts = [one["text"] for one in items if one["type"] == "system_item"]
                    texts = [text for text in texts if text.startswith(about)]
                    if len(texts) >= count:
                        return texts
                await asyncio.sleep(0.05)

    async def results(self, count: int) -> list[str]:
        """Return how the worker's tool calls ended, once `count` have."""
        async with asyncio.timeout(30):
            while True:
                items = await self.history()
                found = [one["outcome"] for one in items if one["type"] == "tool_result"]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.05)

    async def until_halted(self, runtime: Host) -> Any:
        """Return the connection's status, once nothing dials it any more."""
        service = runtime.services["home-assistant"]
        async with asyncio.timeout(30):
            while True:
                [link] = service.status().connections
                if link.halt is not None:
                    return link
                await asyncio.sleep(0.05)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as made:
        yield made


@pytest.fixture
def house(prepared: Any, hub: Hub) -> House:
    made: House = prepared(House, hub)
    made.keep("hub-token", hub.token)
    made.enable(made.install().granting({"token": "hub-token"}), watch=[DOOR, HALL])
    return made


async def test_a_change_runs_the_worker_and_its_call_waits_for_the_hub(house, hub):
    """W4, W10, T2: a tool whose answer is the hub's; the token is shown nowhere."""
    canaries = Canaries()
    canaries.mark("token", hub.token)
    async with house.runtime() as runtime:
        link = await hub.watched()
        hub.holding = True
        await hub.turn(DOOR, "on")
        await hub.until(lambda: hub.called)
        service = runtime.services["home-assistant"]
        [waiting] = service.status().deferred_calls
        assert waiting.tool == "call_service"
        # Heartbeats share the numbers, and go on while the call waits.
        await hub.until(lambda: [one for one in link.received if one["type"] == "ping"])
        await hub.release()
        assert await house.results(1) == ["returned"]
        assert await house.told(2) == [f"{DOOR}: off -> on", f"{HALL}: off -> on"]
        assert service.status().deferred_calls == []
        traces = canaries.grep_everything(
            status=msgspec.json.encode(service.status()),
            diagnostics=[msgspec.to_builtins(entry) for entry in house.diagnostics],
            reprs=[repr(service), repr(service.spec)],
            files=house.folder,
        )
    assert traces == []
    assert hub.called == [("light.turn_on", {"entity_id": HALL})]
    assert link.received[0] == {"type": "auth", "access_token": hub.token}
    numbers = [one["id"] for one in link.received[1:]]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_hub_that_restarts_interrupts_the_call_and_loses_no_state(house, hub):
    async with house.runtime() as runtime:
        await hub.watched()
        hub.holding = True
        await hub.turn(DOOR, "on")
        await hub.until(lambda: hub.called)
        await hub.stop()
        assert await house.results(1) == ["interrupted"]
        await hub.turn(DOOR, "off")
        await hub.start()
        link = await hub.watched(2)
        texts = await house.told(2)
        assert texts == [f"{DOOR}: off -> on", f"{DOOR}: on -> off (seen after a break)"]
        # A new session begins its numbers anew.
        assert [one["id"] for one in link.received if one["type"] == "subscribe_entities"] == [1]
        status = runtime.services["home-assistant"].status()
        assert (status.connections[0].gaps, status.deferred_calls) == (1, [])
    assert len(hub.called) == 1, "an interrupted call is not repeated"


async def test_a_lost_socket_is_a_gap_and_what_changed_in_it_is_told_once(house, hub):
    async with house.runtime() as runtime:
        for number, state in enumerate(("on", "off", "on"), 1):
            link = await hub.watched(number)
            before = hub.states[DOOR][0]
            link.lose()
            await hub.until(lambda link=link: link.last_id < 0)
            await hub.turn(DOOR, state)
            texts = await house.told(number, DOOR)
            assert texts[number - 1 :] == [f"{DOOR}: {before} -> {state} (seen after a break)"]
        [status] = runtime.services["home-assistant"].status().connections
        assert status.gaps == 3
        assert len(await house.told(3, DOOR)) == 3


async def test_a_revoked_token_ends_it_for_good_until_it_is_set_anew(house, hub):
    """One wrong attempt, not one a second: a hub bans an address that goes on trying."""
    async with house.runtime() as runtime:
        await hub.watched()
        await hub.revoke("eyJhbGciOiJIUzI1NiJ9.another-long-lived-token.0002")
        link = await house.until_halted(runtime)
        assert (link.halt, link.last_error_code) == ("refused", "connection.unauthorised")
        assert "Invalid access token" in link.last_error
        status = runtime.services["home-assistant"].status()
        assert status.health == "degraded"
        assert hub.wrong_tokens == 1
        await hub.turn(DOOR, "on")
        house.keep("hub-token", hub.token)
        await hub.watched(2)
        assert await house.told(1, DOOR) == [f"{DOOR}: off -> on (seen after a break)"]
        assert hub.wrong_tokens == 1


async def test_a_proxy_that_is_asked_too_often_is_given_the_time_it_wants(house, hub):
    """429 with Retry-After, from whatever stands before the hub."""
    async with house.runtime():
        link = await hub.watched()
        hub.refusing = HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"}
        link.lose()
        await hub.until(lambda: hub.refused)
        hub.refusing = None
        await hub.watched(2)
    # The pauses here are 0.2 s at most, but for what the server asks for.
    waits = [one.fields.get("retry_in_ms") or 0 for one in house.diagnostics]
    assert max(waits) >= 900
    assert hub.refused == 1


async def test_a_ban_ends_it_until_a_person_says_so(house, hub):
    """The hub's `ip_ban_enabled` answers 403 to whoever tried too often."""
    async with house.runtime() as runtime:
        link = await hub.watched()
        hub.refusing = HTTPStatus.FORBIDDEN, {}
        link.lose()
        status = await house.until_halted(runtime)
        assert (status.halt, status.last_error_status) == ("unauthorised", 403)
        assert hub.refused == LIMITS.unauthorised_dials
        hub.refusing = None
        runtime.services["home-assistant"].reconnect(None)
        await hub.watched(2)


async def test_kill_9_loses_no_change_and_calls_nothing_twice(house, hub):
    """`durability = "disk"`: the host dies while a call waits, three times."""

    expected: list[str] = []
    for number in range(1, 4):
        hub.holding = True
        host = await house.serve()
        try:
            await hub.watched(number)
            if expected:
                expected.append(f"{DOOR}: on -> off (seen after a break)")
                await house.told(len(expected))
            await hub.turn(DOOR, "on")
            expected.append(f"{DOOR}: off -> on")
            await hub.until(lambda number=number: len(hub.called) == number)
        finally:
            host.send_signal(signal.SIGKILL)
            await host.wait()
        await hub.turn(DOOR, "off")
    host = await house.serve()
    try:
        await hub.watched(4)
        expected.append(f"{DOOR}: on -> off (seen after a break)")
        await house.told(len(expected))
        await hub.turn(HALL, "on")
        expected.append(f"{HALL}: off -> on")
        assert await house.told(len(expected)) == expected
        assert await house.results(3) == ["interrupted"] * 3
    finally:
        host.terminate()
        await host.wait()
    assert len(hub.called) == 3
