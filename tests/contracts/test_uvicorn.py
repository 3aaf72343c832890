"""What `yoi.serving` relies on in uvicorn's HTTP/1.1 protocol, which uvicorn does not promise.

A new version of uvicorn that fails here is kept out by the upper bound in pyproject.toml.
"""

import asyncio
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

GET = b"GET /path HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["who"].encode()})


def config() -> uvicorn.Config:
    made = uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        h11_max_incomplete_event_size=4096,
        timeout_keep_alive=1,
    )
    made.load()
    return made


def connected(
    kind: type[H11Protocol] = H11Protocol, made: uvicorn.Config | None = None
) -> tuple[H11Protocol, Transport, ServerState]:
    state = ServerState()
    protocol = kind(config=made or config(), server_state=state, app_state={})
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport, state


async def test_a_connection_is_in_the_state_it_was_given_and_can_be_shut_down():
    protocol, transport, state = connected()
    assert state.connections == {protocol}
    protocol.shutdown()
    assert transport.closed
    protocol.connection_lost(None)
    assert state.connections == set()


async def test_a_request_is_a_cycle_with_a_task_and_what_is_set_before_it_is_its_state():
    protocol, transport, state = connected()
    protocol.app_state = {"who": "yoi"}
    assert protocol.cycle is None
    protocol.data_received(GET[:10])
    assert protocol.cycle is None, "a head that is not complete begins no cycle"
    protocol.data_received(GET[10:])
    cycle = protocol.cycle
    assert not cycle.response_complete
    [task] = state.tasks
    await task
    assert cycle.response_complete
    assert b"yoi" in transport.written
    assert b"server:" not in transport.written.lower()
    assert b"date:" not in transport.written.lower()
    assert protocol.loop is asyncio.get_running_loop()
    protocol.connection_lost(None)


async def test_what_is_not_http_goes_through_one_method_and_the_h11_connection_can_be_replaced():
    said = []

    class Watched(H11Protocol):
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            self.conn = h11.Connection(h11.SERVER, 4096)

        def send_400_response(self, msg: str) -> None:
            said.append((msg, self.conn.our_state))

    protocol, transport, _ = connected(Watched)
    protocol.data_received(b"garbage\r\n\r\n")
    [(_, state)] = said
    assert state is h11.IDLE, "an answer may still be written"
    assert transport.written == b""
    protocol.connection_lost(None)


async def test_a_head_over_the_configured_bound_is_refused():
    said = []

    class Watched(H11Protocol):
        def send_400_response(self, msg: str) -> None:
            said.append(msg)

    protocol, _, _ = connected(Watched)
    protocol.data_received(b"GET /" + b"x" * 5000)
    assert said
    protocol.connection_lost(None)


async def test_an_upgrade_hands_the_transport_to_whatever_the_configured_callable_makes():
    made = []

    class Successor(asyncio.Protocol):
        def __init__(self, **more: Any) -> None:
            self.heard = b""
            made.append(self)

        def data_received(self, data: bytes) -> None:
            self.heard += data

    settings = config()
    settings.ws_protocol_class = lambda **more: Successor(**more)  # type: ignore[assignment]
    upgraded = []

    class Watched(H11Protocol):
        def handle_websocket_upgrade(self, event: Any) -> None:
            super().handle_websocket_upgrade(event)
            upgraded.append(self.conn.trailing_data)

    protocol, transport, state = connected(Watched, settings)
    protocol.data_received(UPGRADE + b"\x89\x80early")
    [successor] = made
    assert transport.protocol is successor
    assert state.connections == set()
    assert successor.heard.startswith(b"GET /ws HTTP/1.1\r\n"), "the request is handed on"
    assert b"sec-websocket-key" in successor.heard.lower()
    assert upgraded == [(b"\x89\x80early", False)], "what came with it is ours to hand on"
