"""Server-sent events (WHATWG HTML 9.2): a WebSocket's frames for clients with only HTTP (O11).

The client's position is an index here too: what it does not take is not collected for it.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from yoi.core.observation.framing import sse_frame
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import (
    CloseCode,
    DiagnosticFrame,
    Hop,
    encode_frame,
    observation_diagnostic,
)
from yoi.serving.admission import Admitted, Declined
from yoi.serving.channel import Channel
from yoi.serving.http import ABORT
from yoi.types import Clock

if TYPE_CHECKING:
    from yoi.serving.watcher import Watcher

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # nginx collects an answer before it passes it on, unless told not to.
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """The ASGI answer to a request for a stream: what closes a WebSocket ends this."""

    def __init__(self, decided: Admitted | Declined, clock: Clock, limits: Limits = LIMITS) -> None:
        self._decided = decided
        self._clock = clock
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the stream ends, the client leaves, or takes nothing for too long."""
        decided = self._decided
        try:
            if isinstance(decided, Admitted) and scope["method"] != "HEAD":
                await self._stream(decided, scope, receive, send)
            else:
                last = _last_words(decided) if isinstance(decided, Declined) else b""
                await _start(send)
                await _body(send, last, more=False)
        finally:
            if isinstance(decided, Admitted):
                decided.left()

    async def _stream(self, admitted: Admitted, scope: Scope, receive: Receive, send: Send) -> None:
        abort = scope.get("state", {}).get(ABORT)
        buffer = _Buffer(admitted.channel, self._clock, self._limits, abort)
        watcher = admitted.channel.enter(admitted.feed, admitted.watching, buffer)
        buffer.watcher = watcher
        leaving = asyncio.get_running_loop().create_task(_leaves(receive, buffer))
        try:
            watcher.open(
                admitted.cursor,
                self._clock.monotonic(),
                snapshot_always=admitted.snapshot_always,
            )
            for name in admitted.notes:
                watcher.tell(name)
            await buffer.pour(send)
        finally:
            admitted.channel.leave(watcher)
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving


class _Buffer:
    """A bounded buffer between a watcher, which never waits, and ASGI's `send`, which does."""

    def __init__(
        self,
        channel: Channel[Any],
        clock: Clock,
        limits: Limits,
        abort: Callable[[], None] | None,
    ) -> None:
        self.watcher: Watcher[Any] | None = None
        self._channel = channel
        self._clock = clock
        self._most = limits.follower_buffer_bytes
        self._piece = limits.follower_write_bytes
        self._abort = abort
        self._pending: deque[bytes | memoryview] = deque()
        self._size = 0
        self._paused = False
        self._over = False
        self._wake = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Take frames; too many make the watcher pause."""
        if self._over:
            return
        self._pending.append(data)
        self._size += len(data)
        self._wake.set()
        if self._size > self._most and not self._paused and self.watcher is not None:
            self._paused = True
            self.watcher.pause(self._clock.monotonic())

    def finish(self, code: CloseCode, *, abort: bool) -> None:
        """Leave the channel; end after what was written, or at once."""
        if self.watcher is not None:
            self._channel.leave(self.watcher)
        self._over = True
        self._wake.set()
        if abort:
            self._pending.clear()
            self._size = 0
            if self._abort is not None:
                self._abort()

    def leave(self) -> None:
        """End: the client is gone."""
        self._over = True
        self._pending.clear()
        self._wake.set()

    async def pour(self, send: Send) -> None:
        """Send what is written until the end.

        The watcher is there before the first byte is sent: its stall is timed from the beginning.
        """
        await _start(send)
        while not self._over or self._pending:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await _body(send, self._next(), more=True)
                if self.watcher is not None:
                    self.watcher.moved(self._clock.monotonic())
            if self._paused:
                self._paused = False
                if not self._over and self.watcher is not None:
                    self.watcher.resume(self._clock.monotonic())
        await _body(send, b"", more=False)

    def _next(self) -> bytes:
        """Return what is sent at once: a copy, so it is small; the frames are shared."""
        taken: list[bytes | memoryview] = []
        room = self._piece
        while self._pending and room > 0:
            frame = self._pending.popleft()
            if len(frame) > room:
                view = memoryview(frame)
                frame = view[:room]
                self._pending.appendleft(view[room:])
            taken.append(frame)
            room -= len(frame)
        data = b"".join(taken)
        self._size -= len(data)
        return data


async def _leaves(receive: Receive, buffer: _Buffer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    buffer.leave()


async def _start(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})


async def _body(send: Send, data: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


def _last_words(declined: Declined) -> bytes:
    entry = observation_diagnostic(
        Hop.BACKEND, declined.name, declined.message, retry_after_ms=declined.retry_after_ms
    )
    return sse_frame(encode_frame(DiagnosticFrame(entry)), "diagnostic", "")
