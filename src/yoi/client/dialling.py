"""One WebSocket to an observation server, by the `websockets` library, with what it leaves open.

No proxy from the environment, no compression, no redirects, bounded frames, and nothing logged: the
library's log would hold the token.
"""

import asyncio
import logging
import ssl
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from yoi.client.outcomes import Leave, Why, of_answer, of_failed_dial
from yoi.client.target import Target
from yoi.client.tracker import Opening
from yoi.errors import ObserveError
from yoi.limits import Limits
from yoi.protocol.observation import SUBPROTOCOL

_silent = logging.Logger("yoi.client.wire", logging.CRITICAL + 1)
"""Not in the registry, so no configuration can turn it on."""


class NotConnected(Exception):
    """A dial failed; `leave` says how to go on."""

    def __init__(self, leave: Leave) -> None:
        self.leave = leave
        super().__init__(leave.message)


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def dial(
    target: Target, opening: Opening, tls: ssl.SSLContext | None, limits: Limits
) -> ClientConnection:
    """Return an open WebSocket on which nothing has been read yet. Raises NotConnected.

    `tls` is needed where the server is reached over TLS, and unused elsewhere.
    """
    server = target.server
    options: dict[str, Any] = {"ssl": tls} if server.secure else {}
    try:
        socket = await _Connect(
            target.websocket_url(opening.cursor, snapshot_always=opening.snapshot_always),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {server.token.reveal()}"},
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=limits.observe_open_ms / 1000,
            close_timeout=limits.observe_close_ms / 1000,
            ping_interval=None,  # bookmarks show that the server lives
            max_size=limits.observed_event_bytes + limits.observe_envelope_bytes,
            max_queue=limits.observe_queue,
            logger=_silent,
            **options,
        )
    except InvalidStatus as exc:
        answer = exc.response
        headers = {name.lower(): value for name, value in answer.headers.raw_items()}
        raise NotConnected(of_answer(answer.status_code, headers, bytes(answer.body))) from None
    except Exception as exc:
        raise NotConnected(of_failed_dial(exc)) from None
    if socket.subprotocol != SUBPROTOCOL:
        await hang_up(socket)
        words = "the server does not speak this version of observation"
        raise NotConnected(Leave(Why.HANDSHAKE, words, 0, ObserveError("observe.refused", words)))
    return socket


async def hang_up(socket: ClientConnection) -> None:
    """Close politely within a bound; a server that does not answer is not waited for."""
    try:
        await socket.close()
    except asyncio.CancelledError:
        socket.transport.abort()
        raise


def fault_of(closed: ConnectionClosed) -> tuple[Why, str] | None:
    """Return what the server did wrong where the library closed because of it."""
    sent = closed.sent
    if sent is None or closed.rcvd_then_sent:
        return None
    if sent.code == 1009:
        return Why.MALFORMED_FRAME, "a frame over its bound"
    if sent.code in (1002, 1003, 1007):
        return Why.MALFORMED_FRAME, "bytes that are not WebSocket frames"
    return None
