"""One client on its transport: what it is handed, and when it is cut off."""

from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from yoi.core.observation import Follower, FollowerState
from yoi.protocol.observation import CloseCode
from yoi.serving.counters import HubCounters

E = TypeVar("E")
_NOTES = 4
"""In-band diagnostics kept for a client that takes nothing; the newest ones are the true ones."""


class WatcherTransport(Protocol):
    """What carries frames to one client. Neither method raises or waits."""

    def write(self, data: bytes) -> None:
        """Take bytes. It may call the watcher's `pause` at once."""
        ...

    def finish(self, code: CloseCode, *, abort: bool) -> None:
        """Leave the channel, and end after what was written.

        With `abort` it ends at once, because the client takes nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Watching:
    """The principal that watches. `expires_at_ms` is wall-clock time, None for never."""

    principal: str
    expires_at_ms: int | None = None
    token: Any = None
    """What the reviewer needs to decide again whether this client may stay."""

    def __repr__(self) -> str:
        return f"<Watching {self.principal}>"


class Watcher(Generic[E]):
    """One follower on its transport, which entered a channel with it and leaves it again.

    A transport whose socket took everything so far may set `socket`: the channel then writes
    to that descriptor without asking the transport. The transport clears it before anything waits.
    """

    __slots__ = (
        "_counters",
        "_most_bytes",
        "_notes",
        "follower",
        "socket",
        "stalled",
        "transport",
        "watching",
    )

    def __init__(
        self,
        follower: Follower[E],
        watching: Watching,
        transport: WatcherTransport,
        counters: HubCounters,
        most_bytes: int,
    ) -> None:
        self.follower = follower
        self.watching = watching
        self.transport = transport
        self.stalled = False
        """Whether the transport takes no more."""
        self.socket = -1
        """A descriptor that can be written to directly, -1 while there is none."""
        self._counters = counters
        self._most_bytes = most_bytes
        self._notes: deque[tuple[str, str | None]] = deque(maxlen=_NOTES)

    def open(self, cursor: str | None, now: float, *, snapshot_always: bool) -> None:
        """Send the first frames and all that can follow at once."""
        self._write(self.follower.open(cursor, now, snapshot_always=snapshot_always))
        self.pump(now)

    def pump(self, now: float) -> None:
        """Send what the client has not got yet, as far as its transport takes it."""
        follower = self.follower
        while not self.stalled and follower.closed_with is None:
            data = follower.pull(now, self._most_bytes)
            if not data:
                if follower.behind:
                    continue  # the policy hides everything in this stretch
                break
            self._write(data)
        if self.stalled:
            return
        reason = follower.feed.stream.end_reason
        if reason is not None and follower.closed_with is None and not follower.behind:
            self._write(follower.close(reason))
        if follower.closed_with is not None:
            self._finish()

    def tick(self, now: float) -> None:
        """Let time pass: cut off a client that takes nothing, send a bookmark that is due."""
        if self.follower.overdue(now):
            self._cut_off()
        elif not self.stalled:
            self._write(self.follower.idle(now))

    def tell(self, name: str, message: str | None = None) -> None:
        """Send the diagnostic `name` in band; a client that takes nothing now hears it later."""
        if self.stalled:
            self._notes.append((name, message))
        elif self.follower.closed_with is None:
            self._write(self.follower.feed.diagnostic(name, message))

    def close(self, name: str, message: str | None = None, **fields: int) -> None:
        """Send the diagnostic `name` as the last frame, and end."""
        follower = self.follower
        if follower.closed_with is None and follower.state is not FollowerState.CLOSED:
            self._write(follower.close(name, message, **fields))
            self._finish()

    def pause(self, now: float) -> None:
        """Note that the transport takes no more."""
        self.stalled = True
        self.follower.paused(now)

    def moved(self, now: float) -> None:
        """Note that a paused transport got rid of something: slow is not dead."""
        if self.stalled:
            self.follower.drained()
            self.follower.paused(now)

    def resume(self, now: float) -> None:
        """Note that the transport takes more again, and go on from the client's position."""
        self.stalled = False
        self.follower.drained()
        while self._notes and not self.stalled:
            self.tell(*self._notes.popleft())
        self.pump(now)

    def _cut_off(self) -> None:
        """End a client that nothing can be said to any more."""
        if self.follower.closed_with is None:
            self._counters.cut_off += 1
            self.follower.close("slow_consumer")
            self._finish()

    def _finish(self) -> None:
        code = self.follower.closed_with
        assert code is not None
        self._counters.count_closed(code.name.lower())
        self.transport.finish(code, abort=self.stalled)

    def _write(self, data: bytes) -> None:
        if data:
            self._counters.frames += 1
            self._counters.bytes_out += len(data)
            self.transport.write(data)
