"""One WebSocket on one asyncio transport. The `websockets` library speaks the protocol; ours are
the bounds it leaves open, text validity, exact pausing, and one write per turn of the loop.
"""

import asyncio
import ssl
from typing import TYPE_CHECKING, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from yoi.connections.fragments import Fragments
from yoi.connections.handshake import AnswerHead, refusal
from yoi.connections.message_faults import flood, not_utf8, parser_fault, too_big
from yoi.core.session_effects import End
from yoi.core.token_bucket import TokenBucket
from yoi.defects import described
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import Limits
from yoi.types import Clock

if TYPE_CHECKING:
    from websockets.protocol import Event

    from yoi.connections.client import Client
    from yoi.connections.connector import WebSocketOwner

# The library parses a chunk whole before we see its frames: this bounds what a flood can cost.
_CHUNK_BYTES = 16 * 1024
# Above this much, frames go to the socket at once instead of at the end of the loop's turn.
_JOIN_BYTES = 256 * 1024
_FRAME_OVERHEAD = 14
_WHOLE_TEXT = 0x81
# A text frame this short is waited for; a longer one is put together by the library.
_WAIT_BYTES = 4096
# A read this short has emptied the socket: the loop reads four times as much at once.
_DRAINED_BYTES = 64 * 1024


class AsyncioWebSocket(asyncio.Protocol):
    """A `yoi.connections.WebSocket`. It does the handshake first: await `upgraded`, then `attach`.

    Frames written in one turn of the loop leave in one system call, which is what makes the
    library cheap enough (docs/decisions/websocket-driver.md).
    """

    def __init__(self, protocol: "Client", address: str, *, limits: Limits, clock: Clock) -> None:
        self.address = address
        self.subprotocol: str | None = None
        self.last_heard = self.complete_until = clock.monotonic()
        self._loop = asyncio.get_running_loop()
        self.upgraded: asyncio.Future[None] = self._loop.create_future()
        self._ws = protocol
        self._limits = limits
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._owner: WebSocketOwner | None = None
        self._answer = AnswerHead(limits)
        # Reading: bytes and events that wait because reading stopped.
        self._stopped = True
        self._reading = False
        self._deaf = False
        self._held = b""
        self._events: list[Event] = []
        self._fragments = Fragments(limits)
        self._controls = TokenBucket(limits.control_frames_per_second, self.last_heard)
        # Writing.
        self._flushing = False
        self._queued = 0
        self._backlog = 0
        self._room = limits.send_buffer_bytes - _FRAME_OVERHEAD
        # The end.
        self._error: YoiError | None = None
        self._lost = False
        self._reported = False

    # -- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the opening handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Read frames, or what is left of the handshake."""
        self.last_heard = self._clock.monotonic()
        if self._ws.state is State.CONNECTING:
            data = self._upgrade(data)
        if self._held:
            data = self._held + data
        drained = len(data) < _DRAINED_BYTES
        self._read(data)
        if drained and not (self._held or self._events or self._stopped or self._deaf):
            self._note_complete()

    def _note_complete(self) -> None:
        if self._ws.between_messages:
            self.complete_until = self.last_heard

    def eof_received(self) -> bool:
        """Let the transport close; half-open sockets have no use here."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, after what was received before it."""
        self._lost = True
        self._transport = None
        if not self.upgraded.done():
            # TLS 1.3: a server judges the client's certificate after the handshake.
            judged = isinstance(exc, ssl.SSLError) and not self._answer.heard
            self.upgraded.set_exception(
                exc if judged and exc is not None else self._answer.hung_up(self._clock.wall())
            )
        if exc is not None and self._error is None and self._ws.close_rcvd is None:
            self._error = ConnectionFailure("connection.lost", f"the transport failed: {exc}")
        self._report_end()

    # -- WebSocket ---------------------------------------------------------------------------------

    def attach(self, owner: "WebSocketOwner") -> None:
        """Report to `owner` from here on."""
        self._owner = owner
        if self._lost:
            self._loop.call_soon(self._read_on)

    def send_text(self, text: str) -> int:
        """Queue one text message."""
        try:
            payload = text.encode()
        except UnicodeEncodeError:
            raise ConnectionFailure(
                "connection.send_failed", "the text has a lone surrogate, which is not text"
            ) from None
        return self._send(Opcode.TEXT, payload)

    def send_binary(self, data: bytes) -> int:
        """Queue one binary message."""
        return self._send(Opcode.BINARY, data)

    def ping(self) -> None:
        """Queue a ping."""
        if self._ws.state is State.OPEN:
            self._ws.send_ping(b"")
            self._written(0)

    def pause_reading(self) -> None:
        """Stop reporting at once, and stop the socket."""
        self._stopped = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Report again, from the next turn of the loop."""
        self._stopped = False
        if self._transport is not None:
            self._transport.resume_reading()
        if self._events or self._held or self._lost or self._ws.parser_exc is not None:
            # Not here: the caller is in the middle of taking messages out of its queue.
            self._loop.call_soon(self._read_on)

    def close(self, code: int, reason: str) -> None:
        """Write a close frame behind what is queued."""
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, self._fit(reason))
            self._flush()

    def drop(self, code: int, reason: str) -> None:
        """Write a close frame and read on only to see the socket's end."""
        self._go_deaf()
        if self._ws.state is State.OPEN:
            self._ws.fail(code, self._fit(reason))
        self._flush()
        if self._transport is not None:
            self._transport.resume_reading()
        elif self._lost:
            self._report_end()

    def abort(self) -> None:
        """End the socket now."""
        self._go_deaf()
        if self._transport is not None:
            self._transport.abort()
        elif self._lost:
            self._report_end()

    # -- the handshake -----------------------------------------------------------------------------

    def _upgrade(self, data: bytes) -> bytes:
        """Read the response from `data` within its bound; return what follows it."""
        if self.upgraded.done():
            return b""
        try:
            piece, rest = self._answer.take(data, self._clock.wall())
            self._ws.receive_data(piece)
            if self._ws.handshake_exc is not None:
                raise refusal(self._ws.handshake_exc)
            if self._ws.state is State.CONNECTING:
                self._answer.require_room()
                return b""
        except ConnectionFailure as exc:
            self._go_deaf()
            self.upgraded.set_exception(exc)
            return b""
        self._answer.forget()
        self.subprotocol = self._ws.subprotocol
        self._events += self._ws.events_received()
        if self._ws.writes:
            self._written(0)  # frames may have come with the response, and want an answer
        if self._transport is not None:
            self._transport.pause_reading()
        self.upgraded.set_result(None)
        return rest

    # -- reading -----------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        """Report the events that wait, then those in `data`, until reading stops."""
        if self._deaf:
            self._held = b""
            return
        if self._stopped or self._reading:
            self._held = data
            return
        self._held = b""
        self._reading = True
        at = 0
        ws = self._ws
        try:
            while self._report() and at < len(data):
                if ws.between_messages:
                    at, wait = self._take_whole_texts(data, at)
                    if wait:
                        break
                    if self._stopped or self._deaf or at == len(data):
                        continue
                chunk = data[at : at + _CHUNK_BYTES]
                at += len(chunk)
                before = len(ws.writes)
                ws.receive_data(chunk)
                self._events = ws.events_received()
                if len(ws.writes) > before:
                    self._written(0)  # pongs, or the answer to a close frame
        finally:
            self._reading = False
        if not self._deaf:
            self._held = data[at:]

    def _read_on(self) -> None:
        self._read(self._held)
        if self._lost:
            self._report_end()

    def _report(self) -> bool:
        """Report the events that wait; return whether more may be read."""
        events = self._events
        if events:
            at = 0
            try:
                for event in events:
                    if self._stopped or self._deaf:
                        break
                    at += 1
                    self._take(event)
            except ConnectionFailure as fault:
                self._fail(fault, fault.fields["close_code"])
            except Exception as exc:
                self._defect(exc)
            self._events = [] if self._deaf else events[at:]
        if self._deaf or self._stopped:
            return False
        if self._ws.parser_exc is not None:
            self._fail(parser_fault(self._ws.parser_exc, self._ws.granted), None)
            return False
        return True

    def _take_whole_texts(self, data: bytes, at: int) -> tuple[int, bool]:
        """Report the whole text frames that `data` begins with at `at`: the way of nearly all.

        Returns where the first other thing begins, and whether it is the beginning of a short text
        frame to wait for. Whatever is not beyond doubt is left to the library: this way may only
        ever agree with it (tests/connections/test_fast_path.py).
        """
        end = len(data)
        owner, max_bytes = self._owner, self._ws.granted
        if owner is None:
            return at, False
        try:
            while end - at >= 2 and data[at] == _WHOLE_TEXT:
                size = data[at + 1]
                start = at + 2
                if size == 126:
                    if end - at < 4:
                        return at, True
                    size = data[at + 2] << 8 | data[at + 3]
                    start = at + 4
                    if size < 126:
                        break
                elif size > 126:
                    break
                stop = start + size
                if size > max_bytes:
                    break
                if stop > end:
                    return at, size <= _WAIT_BYTES
                try:
                    text = str(data[start:stop], "utf-8")
                except UnicodeDecodeError:
                    break
                at = stop
                owner.on_text(text, size)
                if self._stopped or self._deaf:
                    break
        except Exception as exc:
            self._defect(exc)
            return end, False
        return at, end - at == 1 and data[at] == _WHOLE_TEXT

    def _take(self, event: "Event") -> None:
        if not isinstance(event, Frame):
            return  # the handshake's response
        opcode = event.opcode
        if opcode is Opcode.TEXT and event.fin:
            data = event.data
            try:
                text = str(data, "utf-8")
            except UnicodeDecodeError:
                raise not_utf8() from None
            if self._owner is not None:
                self._owner.on_text(text, len(data))
        elif opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._take_data(event)
        else:
            self._count_control()
            if opcode is Opcode.CLOSE:
                self._go_deaf()
                if self._owner is not None:
                    self._owner.on_closing()

    def _take_data(self, frame: Frame) -> None:
        """Take a binary frame or a fragment."""
        whole = self._fragments.take(frame)
        if whole is None or self._owner is None:
            return
        message, size = whole
        if isinstance(message, str):
            self._owner.on_text(message, size)
        else:
            self._owner.on_binary(message)

    def _count_control(self) -> None:
        if not self._controls.take(self.last_heard):
            bound = self._limits.control_frames_per_second
            raise flood(f"more than {bound} control frames in a second")

    def _fail(self, error: YoiError, close_code: int | None) -> None:
        """Fail the connection (RFC 6455 7.1.7): say why, then read no more."""
        if self._error is None:
            self._error = error
        self.drop(1002 if close_code is None else close_code, error.message)
        if self._owner is not None:
            self._owner.on_closing()

    def _defect(self, exc: Exception) -> None:
        """End a session whose owner raised: a socket that is not read must not stay open."""
        self._fail(YoiError("usage.internal", f"a message was not taken: {described(exc)}"), 1011)
        self._loop.call_exception_handler(
            {"message": "a message was not taken", "exception": exc, "protocol": self}
        )

    def _go_deaf(self) -> None:
        self._deaf = True
        self._stopped = False
        self._held = b""
        self._events = []
        self._fragments.forget()

    # -- writing -----------------------------------------------------------------------------------

    def _send(self, opcode: Opcode, payload: bytes) -> int:
        transport, ws = self._transport, self._ws
        if transport is None or ws.state is not State.OPEN:
            raise ConnectionFailure("connection.session_ended", "the session has ended")
        size = len(payload)
        if size > ws.granted:
            raise too_big(f"a message to send has {size} bytes", size, ws.granted)
        if self._backlog + self._queued + size > self._room:
            self._require_room(size, transport)
        ws.send_whole(opcode, payload)
        self._written(size)
        return size

    def _require_room(self, size: int, transport: asyncio.Transport) -> None:
        """A message of any allowed size leaves where half of the buffer is free."""
        bound = self._room - min(size, self._limits.send_buffer_bytes // 2)
        if self._backlog + self._queued > bound:
            self._backlog = transport.get_write_buffer_size()
            if self._backlog + self._queued > bound:
                raise ConnectionFailure(
                    "connection.send_failed",
                    f"{self._backlog + self._queued} bytes are unsent; the peer does not read",
                )

    def _written(self, size: int) -> None:
        """Let what the library wrote leave at the end of this turn of the loop."""
        self._queued += size + _FRAME_OVERHEAD
        if self._queued > _JOIN_BYTES:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._queued = 0
        pieces = self._ws.data_to_send()
        transport = self._transport
        if transport is None or not pieces:
            return
        # The library's b"" asks for a half-close; the server ends the socket, or we do, whole.
        transport.write(b"".join(pieces))
        self._backlog = transport.get_write_buffer_size()
        if self._backlog > self._limits.send_buffer_bytes + self._ws.granted:
            # Only answers to control frames get here: it makes us answer and never reads.
            if self._error is None:
                self._error = ConnectionFailure("connection.flood", "the peer reads no answers")
            transport.abort()

    def _fit(self, reason: str) -> str:
        cut = reason.encode("utf-8", "replace")[: self._limits.close_reason_bytes]
        return cut.decode("utf-8", "ignore")

    # -- the end -----------------------------------------------------------------------------------

    def _report_end(self) -> None:
        if self._reported or self._owner is None:
            return
        if self._stopped and (self._events or self._held):
            return  # what was received comes first; the pause that holds it back is bounded
        self._reported = True
        owner, self._owner = self._owner, None
        owner.on_ended(self._end())

    def _end(self) -> End:
        peer, sent, error = self._ws.close_rcvd, self._ws.close_sent, self._error
        if error is None and self._ws.parser_exc is not None:
            error = parser_fault(self._ws.parser_exc, self._ws.granted)
        if peer is not None and error is None:
            return End(int(peer.code), peer.reason, sent is not None)
        if error is None:
            error = ConnectionFailure(
                "connection.lost", "the transport ended without a close frame"
            )
        if sent is not None:
            return End(int(sent.code), "", False, error)
        return End(int(CloseCode.ABNORMAL_CLOSURE), "", False, error)
