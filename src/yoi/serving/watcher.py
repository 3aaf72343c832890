"""One client on its transport: what it is handed, and what becomes of it when it takes nothing."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from yoi.core.observation import Follower, FollowerState
from yoi.protocol.observation import CloseCode

if TYPE_CHECKING:
    from yoi.serving.channel import Channel

E = TypeVar("E")
_NOTES = 4
"""In-band diagnostics kept for a client that takes nothing; the newest say what is so now."""


class Outlet(Protocol):
    """A transport as a watcher sees it. Neither method raises or waits."""

    def write(self, data: bytes) -> None:
        """Hand over bytes; may call the watcher's `pause` at once."""
        ...

    def finish(self, code: CloseCode, *, abort: bool) -> None:
        """End after what was written; at once where `abort`, because nothing can be written."""
        ...


@dataclass(frozen=True, slots=True)
class Watching:
    """Who watches. `expires_at_ms` is wall-clock, None for never."""

    principal: str
    expires_at_ms: int | None = None
    token: Any = None
    """Whatever the door needs to judge again."""

    def __repr__(self) -> str:
        return f"<Watching {self.principal}>"


@dataclass(slots=True)
class HubCounters:
    """What happened, for metrics: plain numbers, read when somebody asks."""

    events: int = 0
    attached: int = 0
    frames: int = 0
    bytes_out: int = 0
    cut_off: int = 0
    refused_input: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    """By observation code."""
    resyncs: dict[str, int] = field(default_factory=dict)
    """Fresh snapshots in band, by observation code."""


class Watcher(Generic[E]):
    """One follower on its transport."""

    __slots__ = (
        "_channel",
        "_notes",
        "fd",
        "follower",
        "outlet",
        "stalled",
        "watching",
    )

    def __init__(
        self, channel: "Channel[E]", follower: Follower[E], watching: Watching, outlet: Outlet
    ) -> None:
        self.follower = follower
        self.watching = watching
        self.outlet = outlet
        self.stalled = False
        """Whether the transport takes no more."""
        self.fd = -1
        """The socket, while it is written to past its transport (`straight`)."""
        self._channel = channel
        self._notes: deque[tuple[str, str | None]] = deque(maxlen=_NOTES)

    def open(self, cursor: str | None, now: float, *, snapshot_always: bool) -> None:
        """Send the first frames and all that can follow at once."""
        self._write(self.follower.open(cursor, now, snapshot_always=snapshot_always))
        self.pump(now)

    def pump(self, now: float) -> None:
        """Hand over what the client has not got yet, as far as its transport takes it."""
        follower, most = self.follower, self._channel.most_bytes
        while not self.stalled and follower.closed_with is None:
            data = follower.pull(now, most)
            if not data:
                if follower.behind:
                    continue  # everything in this stretch is hidden from this observer
                break
            self._write(data)
        if self.stalled:
            return
        reason = self._channel.stream.end_reason
        if reason is not None and follower.closed_with is None and not follower.behind:
            self._write(follower.close(reason))
        if follower.closed_with is not None:
            self.finish()

    def tick(self, now: float) -> None:
        """Cut off who takes nothing; tell who hears nothing that all is well."""
        if self.follower.overdue(now):
            self._channel.counters.cut_off += 1
            self.cut("slow_consumer")
        elif not self.stalled:
            data = self.follower.idle(now)
            if data:
                self._write(data)

    def tell(self, name: str, message: str | None = None) -> None:
        """Say the diagnostic `name` in band; one that takes nothing now hears it later."""
        if self.stalled:
            self._notes.append((name, message))
        elif self.follower.closed_with is None:
            self._write(self.follower.feed.diagnostic(name, message))

    def close(self, name: str, message: str | None = None, **fields: int) -> None:
        """Say the diagnostic `name` as the last thing, and end."""
        if self.follower.closed_with is None and self.follower.state is not FollowerState.CLOSED:
            self._write(self.follower.close(name, message, **fields))
            self.finish()

    def cut(self, name: str) -> None:
        """End a client to whom nothing can be said any more."""
        if self.follower.closed_with is None:
            self.follower.close(name)
            self.finish()

    def finish(self) -> None:
        """End the transport with the follower's close code and leave the channel."""
        code = self.follower.closed_with
        assert code is not None
        self._channel.count_closed(code)
        self._channel.detach(self)
        self.outlet.finish(code, abort=self.stalled)

    def pause(self, now: float) -> None:
        """The transport takes no more."""
        self.stalled = True
        self.follower.paused(now)

    def moved(self, now: float) -> None:
        """The transport still takes no more, but gets rid of what it has: slow is not dead."""
        if self.stalled:
            self.follower.drained()
            self.follower.paused(now)

    def resume(self, now: float) -> None:
        """The transport takes more again: go on from the index."""
        self.stalled = False
        self.follower.drained()
        while self._notes and not self.stalled:
            self.tell(*self._notes.popleft())
        self.pump(now)

    def straight(self, fd: int) -> None:
        """The socket took all there was: what follows may go to `fd` at once, until `detour`."""
        if self.fd < 0:
            self._channel.enter_lane(self, fd)

    def detour(self) -> None:
        """The transport is given something: nothing may pass it."""
        if self.fd >= 0:
            self._channel.leave_lane(self)

    def gone(self) -> None:
        """The client has left by itself."""
        self.follower.gone()
        self._channel.detach(self)

    def _write(self, data: bytes) -> None:
        if data:
            counters = self._channel.counters
            counters.frames += 1
            counters.bytes_out += len(data)
            self.outlet.write(data)
