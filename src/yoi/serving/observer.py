"""One observer's WebSocket: handshake and control frames by `websockets`, frames straight through.

What is sent is encoded once per feed and written to the transport as it is; what is received is
only looked at to refuse it (O8).
"""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import structlog
from websockets.datastructures import Headers
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from yoi.core.observation.framing import websocket_frame
from yoi.core.token_bucket import TokenBucket
from yoi.limits import Limits
from yoi.protocol.observation import (
    OBSERVATION_CODES,
    SUBPROTOCOL,
    CloseCode,
    DiagnosticFrame,
    encode_frame,
    observation_diagnostic,
)
from yoi.serving.admission import Admit, Admitted, Declined, Refused, UpgradeRequest
from yoi.serving.hub import Hub
from yoi.serving.sockets import OpenSockets
from yoi.types import Clock

if TYPE_CHECKING:
    from yoi.serving.watcher import Watcher

_REASON = {code: code.name.lower() for code in CloseCode}
_QUERY_FIELDS = 8
_LOOKS = 8
"""At a client that takes no more, before it is cut off."""
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_REFUSALS = {
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "a WebSocket begins with GET"),
    HTTPStatus.UPGRADE_REQUIRED: ("upgrade_required", "this is a WebSocket"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ("bad_request", "the request is over its bound"),
}
"""What a handshake that is none is told: nothing of what was sent."""
_log = structlog.get_logger("yoi.serving")


@dataclass(frozen=True, slots=True)
class ObserverContext:
    """What all WebSockets of one listener share."""

    admit: Admit
    hub: Hub
    sockets: OpenSockets
    clock: Clock
    limits: Limits


class ObserverProtocol(asyncio.Protocol):
    """Made by uvicorn's HTTP protocol when a request asks for a WebSocket."""

    def __init__(self, context: ObserverContext, **_: Any) -> None:
        self._context = context
        self._protocol = ServerProtocol(
            select_subprotocol=_select, max_size=context.limits.observer_input_bytes
        )
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._watcher: Watcher[Any] | None = None
        self._admitted: Admitted | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_resort: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._answering = False
        self._early = b""
        self._finished = False
        self._frames = TokenBucket(
            context.limits.control_frames_per_second, context.clock.monotonic()
        )

    # asyncio calls:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport from the HTTP protocol."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._transport = transport
        if os.name == "posix" and transport.get_extra_info("sslcontext") is None:
            self._fd = transport.get_extra_info("socket").fileno()
        high = self._context.limits.follower_buffer_bytes
        transport.set_write_buffer_limits(high=high, low=high // 4)
        self._context.sockets.upgraded(self)

    def data_received(self, data: bytes) -> None:
        """Read the handshake, then control frames; anything else is refused."""
        if not self._answering:
            self._read(data)
            return
        # No client should send before its handshake is answered; what comes is read after it.
        self._early += data
        if len(self._early) > self._context.limits.observer_input_bytes and self._transport:
            self._transport.abort()

    def eof_received(self) -> bool:
        """End: an observer that half-closes hears nothing either."""
        self._protocol.receive_eof()
        return False

    def pause_writing(self) -> None:
        """Stop reading: a client that takes nothing gets no answers to its pings either."""
        transport = self._transport
        if transport is not None and transport.is_reading() and not transport.is_closing():
            transport.pause_reading()
        if self._watcher is not None:
            self._watcher.pause(self._context.clock.monotonic())
            self._look_again()

    def _look_again(self, before: int = 0) -> None:
        """Look now and then whether a client that is slow takes anything."""
        if self._transport is None or self._watcher is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent < before:
            self._watcher.moved(self._context.clock.monotonic())
        self._looking = asyncio.get_running_loop().call_later(
            self._context.limits.follower_stall_ms / _LOOKS / 1000, self._look_again, unsent
        )

    def resume_writing(self) -> None:
        """Read on: the client takes again what it is sent."""
        if self._looking is not None:
            self._looking.cancel()
        transport = self._transport
        if transport is not None and not transport.is_reading() and not transport.is_closing():
            transport.resume_reading()
        if self._watcher is not None:
            self._watcher.resume(self._context.clock.monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._fd = -1  # before the transport closes it, and the number is used again
        for timer in (self._last_resort, self._looking):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._leave()
        admitted, self._admitted = self._admitted, None
        if admitted is not None:
            admitted.left()
        self._context.sockets.lost(self)

    def _leave(self) -> None:
        """Leave the channel: nothing is written for this client any more."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            assert self._admitted is not None
            self._admitted.channel.leave(watcher)

    # The watcher and its channel call:

    def write(self, data: bytes) -> None:
        """Send encoded frames as they are.

        The socket is written to directly where nothing waits before: the transport would do the
        same, later. It takes over what the socket does not take, and every error.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._fd >= 0 and not transport.get_write_buffer_size():
            try:
                taken = os.write(self._fd, data)
            except OSError:
                taken = 0
            if taken == len(data):
                if self._watcher is not None:
                    self._watcher.socket = self._fd
                return
            data = data[taken:]
        self._buffer(transport, data)

    def _buffer(self, transport: asyncio.Transport, data: bytes) -> None:
        """Leave `data` to the transport, which nothing may pass then."""
        if self._watcher is not None:
            self._watcher.socket = -1
        transport.write(data)

    def finish(self, code: CloseCode, *, abort: bool) -> None:
        """Close after what was written, or at once where nothing can be written."""
        assert self._transport is not None
        self._leave()
        if abort:
            self._transport.abort()
            return
        self._close(code)

    def shutdown(self) -> None:
        """End, because the process does."""
        if self._watcher is not None:
            self._watcher.close("shutdown")
        elif self._transport is not None:
            self._transport.abort()

    def abort(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()

    # The handshake

    def _read(self, data: bytes) -> None:
        """Take what came in pieces: a flood is noticed before all of it was answered."""
        most = self._context.limits.observer_input_bytes
        for start in range(0, len(data), most):
            transport = self._transport
            if transport is None or transport.is_closing():
                return
            self._protocol.receive_data(data[start : start + most])
            for event in self._protocol.events_received():
                self._heard(event)
            if self._protocol.handshake_exc is not None and not self._answering:
                self._reject_unread()
            self._flush()

    def _heard(self, event: Any) -> None:
        if isinstance(event, Request):
            self._answering = True
            self._task = asyncio.get_running_loop().create_task(self._handshake(event))
        elif isinstance(event, Frame):
            flooded = not self._frames.take(self._context.clock.monotonic())
            if flooded and self._finished and self._transport is not None:
                self._transport.abort()
            elif flooded or event.opcode in _DATA:
                self._refuse_input()

    def _reject_unread(self) -> None:
        """Answer a request that cannot be one for a WebSocket: too long, or with a body."""
        self._context.sockets.count_refused("handshake")
        self._protocol.data_to_send()  # its own words
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if isinstance(self._protocol.handshake_exc, InvalidMessage):
            status = HTTPStatus.BAD_REQUEST
        assert self._transport is not None
        self._transport.write(_not_a_handshake(status).serialize())
        self._transport.close()

    async def _handshake(self, request: Request) -> None:
        try:
            response = self._protocol.accept(request)
            if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                self._context.sockets.count_refused("handshake")
                self._reject(_not_a_handshake(HTTPStatus(response.status_code)))
                return
            try:
                async with asyncio.timeout(self._context.limits.observer_admit_ms / 1000):
                    answer = await self._context.admit(_upgrade(request))
            except TimeoutError:
                answer = Declined("runtime_unavailable")
            if isinstance(answer, Admitted):
                self._admitted = answer
                if not self._context.hub.room(answer.watching.principal):
                    raise Refused(503, "busy", "as many watch as may; try again later")
        except Refused as exc:
            self._context.sockets.count_refused(exc.code)
            self._reject(_answer(exc.status, exc.code, exc.message))
            return
        except Exception:
            _log.exception("a defect in Yoi", what="an observer's handshake")
            self._reject(_answer(500, "internal", "a defect in Yoi"))
            return
        finally:
            self._task = None
        try:
            self._open(response, answer)
        except Exception:
            _log.exception("a defect in Yoi", what="an observer's first frames")
            self.abort()

    def _open(self, response: Response, answer: Admitted | Declined) -> None:
        """One step from the handshake's answer to the first frame."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._protocol.send_response(response)
        self._flush()
        if isinstance(answer, Declined):
            self._decline(answer)
        else:
            watcher = answer.channel.enter(answer.feed, answer.watching, self)
            self._watcher = watcher
            watcher.open(
                answer.cursor,
                self._context.clock.monotonic(),
                snapshot_always=answer.snapshot_always,
            )
            for name in answer.notes:
                watcher.tell(name)
        self._answering = False
        early, self._early = self._early, b""
        if early:
            self._read(early)

    def _decline(self, answer: Declined) -> None:
        entry = observation_diagnostic(
            self._context.hub.hop, answer.name, answer.message, retry_after_ms=answer.retry_after_ms
        )
        self.write(websocket_frame(encode_frame(DiagnosticFrame(entry))))
        self._context.sockets.count_refused(answer.name)
        self._close(OBSERVATION_CODES[answer.name].close or CloseCode.SHUTDOWN)

    def _reject(self, response: Response) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._protocol.send_response(response)
        self._flush()
        self._transport.close()

    # Afterwards

    def _refuse_input(self) -> None:
        self._context.hub.counters.refused_input += 1
        if self._watcher is not None:
            self._watcher.close("observation_only")
        elif not self._finished and self._protocol.state is OPEN:
            self._decline(Declined("observation_only"))

    def _close(self, code: CloseCode) -> None:
        if self._finished:
            return
        self._finished = True
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, _REASON[code])
        self._flush()
        self._arm()

    def _arm(self) -> None:
        """A peer that does not answer the close is not waited for."""
        if self._last_resort is None and self._transport is not None:
            self._last_resort = asyncio.get_running_loop().call_later(
                self._context.limits.close_ms / 1000, self._transport.abort
            )

    def _flush(self) -> None:
        """Send what the protocol wants sent: the handshake's answer, pongs, a close."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._buffer(transport, data)
            else:
                transport.close()  # the protocol's end of stream
                return
        if self._protocol.close_expected():
            self._arm()


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def _upgrade(request: Request) -> UpgradeRequest:
    path, _, text = request.path.partition("?")
    try:
        query = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_QUERY_FIELDS))
    except ValueError:
        raise Refused(400, "bad_request", "too many query fields") from None
    headers = [(name.lower(), value) for name, value in request.headers.raw_items()]
    return UpgradeRequest(path, query, headers)


def _not_a_handshake(status: HTTPStatus) -> Response:
    response = _answer(
        status, *_REFUSALS.get(status, ("bad_request", "not a WebSocket handshake of RFC 6455"))
    )
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "GET"
    if status is HTTPStatus.UPGRADE_REQUIRED:
        response.headers["Upgrade"] = "websocket"
    return response


def _answer(status: int, code: str, message: str) -> Response:
    body = json.dumps({"code": code, "message": message}).encode()
    headers = Headers(
        [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
        ]
    )
    return Response(status, HTTPStatus(status).phrase, headers, body)
