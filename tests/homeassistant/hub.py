"""A hub that speaks the WebSocket API of Home Assistant, for tests.

    async with Hub() as hub:
        hub.turn("light.hall", "on")      # somebody presses the switch
        await hub.restart()

`test_hub.py` runs a client made by others against it, unmodified.
"""

import contextlib
import itertools
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tests.changing import Changing
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "2026.11.2"
SERVICES = {
    "light.turn_on": "on",
    "light.turn_off": "off",
    "switch.turn_on": "on",
    "switch.turn_off": "off",
}
"""The services that there are, and the state that each makes."""


@dataclass(eq=False)
class HubConnection:
    """The hub's end of one socket."""

    number: int
    """Counts connections from 1."""
    socket: ServerConnection
    received: list[dict[str, Any]] = field(default_factory=list)
    """What the client sent, in order; a token stands there as it came."""
    last_id: int = 0
    subscriptions: dict[int, set[str] | None] = field(default_factory=dict)
    """Entities by the id of their subscription; None: all."""

    async def say(self, message: dict[str, Any]) -> None:
        """Send one message, or nothing where the socket is gone."""
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(json.dumps(message))

    def lose(self) -> None:
        """End the TCP connection with a reset."""
        self.socket.transport.abort()


class Hub(Changing):
    """See the module docstring. Listens on a port of 127.0.0.1 that it keeps."""

    def __init__(self, token: str = "eyJhbGciOiJIUzI1NiJ9.a-long-lived-token.0001") -> None:
        super().__init__()
        self.token = token
        self.port = 0
        self.states: dict[str, tuple[str, float]] = {
            "light.hall": ("off", 1_700_000_000.0),
            "binary_sensor.front_door": ("off", 1_700_000_000.0),
        }
        self.refusing: tuple[HTTPStatus, dict[str, str]] | None = None
        """What a reverse proxy, or the hub's ban list, answers instead of a socket."""
        self.refused = 0
        """Upgrades so far that were answered so."""
        self.connections: list[HubConnection] = []
        """All so far, closed ones too."""
        self.called: list[tuple[str, Any]] = []
        """Services that were called: name and target."""
        self.wrong_tokens = 0
        self.holding = False
        """Whether service calls wait for `release` before they are answered."""
        self._held: list[Callable[[], Any]] = []
        self._clock = itertools.count(1_700_000_001)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Return the address of the API."""
        return f"ws://127.0.0.1:{self.port}/api/websocket"

    # -- what happens at the hub ------------------------------------------------------------------

    async def turn(self, entity: str, state: str) -> None:
        """Change a state, and tell those who have subscribed to it."""
        self.states[entity] = state, float(next(self._clock))
        for one in self.open:
            for number, entities in one.subscriptions.items():
                if entities is None or entity in entities:
                    plus = {"s": state, "lc": self.states[entity][1], "c": "01CONTEXT"}
                    await one.say(
                        {"id": number, "type": "event", "event": {"c": {entity: {"+": plus}}}}
                    )
        self._changed()

    async def release(self) -> None:
        """Answer the service calls that wait."""
        self.holding = False
        held, self._held = self._held, []
        for answer in held:
            await answer()

    async def stop(self) -> None:
        """Close every socket and listen no more."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        self._server = None
        self._held.clear()

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._admit,
            ping_interval=None,
            close_timeout=1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def restart(self) -> None:
        """Stop and start."""
        await self.stop()
        await self.start()

    async def revoke(self, token: str) -> None:
        """Take the token back: its sockets are closed, and `token` is accepted from now on."""
        self.token = token
        for one in self.open:
            await one.socket.close()

    # -- what a test waits for --------------------------------------------------------------------

    @property
    def open(self) -> list[HubConnection]:
        """Return the connections that are open and signed in."""
        return [one for one in self.connections if one.last_id >= 0 and one.socket.state == 1]

    async def watched(self, times: int = 1) -> HubConnection:
        """Wait until entities were subscribed to on `times` connections; return the last."""

        def found() -> list[HubConnection]:
            return [one for one in self.connections if one.subscriptions]

        await self.until(lambda: len(found()) >= times)
        return found()[-1]

    # -- sockets ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            await self.stop()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.refusing is None and request.path == "/api/websocket":
            return None
        status, headers = self.refusing or (HTTPStatus.NOT_FOUND, {})
        self.refused += 1
        response = connection.respond(status, "")
        for name, value in headers.items():
            response.headers[name] = value
        self._changed()
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        made = HubConnection(len(self.connections) + 1, socket)
        self.connections.append(made)
        self._changed()
        try:
            await made.say({"type": "auth_required", "ha_version": VERSION})
            if await self._signed_in(made):
                async for text in socket:
                    message = json.loads(text)
                    made.received.append(message)
                    await self._handle(made, message)
                    self._changed()
        except ConnectionClosed:
            pass
        finally:
            made.last_id = -1
            self._changed()

    async def _signed_in(self, made: HubConnection) -> bool:
        first = json.loads(await made.socket.recv())
        made.received.append(first)
        if first.get("type") == "auth" and first.get("access_token") == self.token:
            await made.say({"type": "auth_ok", "ha_version": VERSION})
            return True
        self.wrong_tokens += 1
        message = "Invalid access token or password"
        if first.get("type") != "auth" or "access_token" not in first:
            message = "Auth message incorrectly formatted"
        await made.say({"type": "auth_invalid", "message": message})
        await made.socket.close()  # with 1000: the code says nothing
        return False

    # -- commands ---------------------------------------------------------------------------------

    async def _handle(self, made: HubConnection, message: dict[str, Any]) -> None:
        number = message.get("id")
        if not isinstance(number, int) or number <= 0:
            await _fail(made, number, "invalid_format", "Message incorrectly formatted.")
        elif number <= made.last_id:
            await _fail(made, number, "id_reuse", "Identifier values have to increase.")
        else:
            made.last_id = number
            await self._command(made, number, message)

    async def _command(self, made: HubConnection, number: int, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "ping":
                await made.say({"id": number, "type": "pong"})
            case "subscribe_entities":
                entities = set(message.get("entity_ids", ())) or None
                await _succeed(made, number, None)
                made.subscriptions[number] = entities
                all_of_them = {
                    entity: {"s": state, "a": {}, "c": "01CONTEXT", "lc": since}
                    for entity, (state, since) in self.states.items()
                    if entities is None or entity in entities
                }
                await made.say({"id": number, "type": "event", "event": {"a": all_of_them}})
            case "unsubscribe_events":
                made.subscriptions.pop(message.get("subscription", 0), None)
                await _succeed(made, number, None)
            case "get_states":
                states = [{"entity_id": e, "state": s} for e, (s, _) in self.states.items()]
                await _succeed(made, number, states)
            case "call_service":
                await self._call(made, number, message)
            case _:
                await _fail(made, number, "unknown_command", "Unknown command.")

    async def _call(self, made: HubConnection, number: int, message: dict[str, Any]) -> None:
        name = f"{message.get('domain')}.{message.get('service')}"
        target = message.get("target", {})
        self.called.append((name, target))
        state = SERVICES.get(name)
        if state is None:
            await _fail(made, number, "not_found", f"Service {name} not found.")
            return

        async def done() -> None:
            # The states are told before the service is done.
            await self.turn(str(target.get("entity_id")), state)
            context = {"id": "01CONTEXT", "parent_id": None, "user_id": "01USER"}
            await _succeed(made, number, {"context": context, "response": None})

        if self.holding:
            self._held.append(done)
        else:
            await done()


async def _succeed(made: HubConnection, number: Any, result: Any) -> None:
    await made.say({"id": number, "type": "result", "success": True, "result": result})


async def _fail(made: HubConnection, number: Any, code: str, message: str) -> None:
    error = {"code": code, "message": message}
    await made.say({"id": number, "type": "result", "success": False, "error": error})
