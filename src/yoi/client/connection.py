"""Watching one subject through any number of connections: the I/O around `Tracker`."""

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from websockets.exceptions import ConnectionClosed

from yoi.client.dialling import NotConnected, dial, fault_of, hang_up
from yoi.client.outcomes import Leave, Why, bounded_ms
from yoi.client.target import Locate, Target, trusting
from yoi.client.tracker import Opening, Phase, Tracker
from yoi.client.values import Value
from yoi.client.view import FoldedView, View
from yoi.core.backoff import FullJitter
from yoi.errors import ObserveError
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import Subject
from yoi.types import Clock, SystemClock

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


class Timer(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> Any:
        """Forget it."""
        ...


CallLater = Callable[[float, Callable[[], None]], Timer]
Sleep = Callable[[float], Awaitable[None]]


def observe(
    target: Target,
    *,
    cursor: str | None = None,
    snapshot: Literal["auto", "always"] = "auto",
    view: View | None = None,
    tls: ssl.SSLContext | None = None,
    locate: Locate | None = None,
) -> "Observation":
    """Return an iterator over all that happens to `target`, through every loss of connection.

    `cursor` continues an earlier watch, whose state the caller kept; `snapshot="always"` asks for
    the state as of that cursor first. `tls` verifies the server (`trusting`); None means by the
    system's certificates. `locate` is asked before each dial, for servers that move. `view` is
    kept up to date before a value is handed out: a `FoldedView` unless another is given.

        async with observe(Target.worker(url, "triage", token=token)) as watch:
            async for value in watch:
                ...
    """
    return Observation(
        target, Opening(cursor, snapshot == "always"), view=view, tls=tls, locate=locate
    )


class Observation:
    """An async iterator over `Value`s. Ends after `Ended`; raises ObserveError for what is final.

    What it promises about order, repetition and gaps stands in `yoi.client.tracker`. Cancelling
    `__anext__` is safe: the next call goes on where it was. Nothing runs between calls; who reads
    slowly makes the server wait, and then gets a `Resync` or another connection. Leaving
    `async with`, or `aclose`, closes the socket.

    A certificate that cannot be trusted is final until a first connection has stood, and a token
    that is refused is final unless `locate` brings another.
    """

    def __init__(
        self,
        target: Target,
        opening: Opening,
        *,
        view: View | None = None,
        tls: ssl.SSLContext | None = None,
        locate: Locate | None = None,
        clock: Clock | None = None,
        rng: Callable[[], float] = random.random,
        sleep: Sleep = asyncio.sleep,
        call_later: CallLater | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self.view: View = FoldedView(limits) if view is None else view
        self._tracker = Tracker(target.subject, opening, self.view, limits)
        self._target = target
        self._tls = tls
        self._locate = locate
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._call_later = call_later
        self._limits = limits
        self._backoff = FullJitter(
            first_ms=limits.observe_backoff_first_ms,
            max_ms=limits.observe_backoff_max_ms,
            rng=rng,
        )
        self._ready: deque[Value] = deque()
        self._socket: ClientConnection | None = None
        self._dial_at: float | None = None
        self._stood = False
        self._refused_token = False
        self._waiting_since: float | None = None
        self._silent = False
        self._watchdog: Timer | None = None
        self._attempt: asyncio.Future[None] | None = None

    @property
    def subject(self) -> Subject:
        """Return what is watched."""
        return self._tracker.subject

    @property
    def cursor(self) -> str | None:
        """Return the cursor after the last value handed out or about to be; None before a first."""
        return self._tracker.cursor

    @property
    def connected(self) -> bool:
        """Whether a connection stands now."""
        return self._socket is not None

    @property
    def duplicates(self) -> int:
        """Return how many events came again and were dropped."""
        return self._tracker.duplicates

    def start_over(self, message: str) -> None:
        """Void the cursor: what comes next is a new connection, `Resync` and a fresh `Snapshot`.

        For callers that cannot use what the last event did to their own state.
        """
        if self._tracker.phase is not Phase.OVER:
            self._ready.clear()
            self._tracker.start_over(message)

    async def aclose(self) -> None:
        """Close; iteration ends, a call under way too. Closing twice is harmless."""
        self._ready.clear()
        self._tracker.over()
        if self._attempt is not None:
            self._attempt.cancel()
        await self._hang_up()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Value:
        while not self._ready:
            tracker = self._tracker
            if tracker.phase is Phase.OVER:
                await self._hang_up()
                raise StopAsyncIteration
            if tracker.phase is Phase.LEAVING:
                await self._part()
            elif tracker.phase is Phase.AWAY:
                await self._try()
            else:
                await self._hear()
        return self._ready.popleft()

    async def _try(self) -> None:
        """Open, unless `aclose` is called meanwhile."""
        self._attempt = asyncio.ensure_future(self._open())
        try:
            await self._attempt
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._tracker.phase is not Phase.OVER or (task is not None and task.cancelling()):
                raise
        finally:
            self._attempt = None

    async def _open(self) -> None:
        """Wait until it is time, then dial once."""
        if self._dial_at is not None:
            await self._sleep(max(0.0, self._dial_at - self._clock.monotonic()))
            self._dial_at = None
        if self._locate is not None:
            found = await self._locate()
            if found is None:
                self._tracker.left(
                    Leave(Why.UNKNOWN_PLACE, "the server's address is not known now")
                )
                return
            self._target = found
        if self._tls is None and self._target.server.secure:
            self._tls = trusting()  # once: it reads many files
        try:
            socket = await dial(self._target, self._tracker.opening(), self._tls, self._limits)
        except NotConnected as exc:
            self._tracker.left(exc.leave)
            return
        self._socket = socket
        self._stood = True
        self._silent = False
        self._tracker.connected()
        self._watch(self._limits.observe_silence_ms / 1000)

    async def _hear(self) -> None:
        """Wait for one frame, or for the end of the connection."""
        assert self._socket is not None
        self._waiting_since = self._clock.monotonic()
        try:
            data = await self._socket.recv(decode=False)
        except ConnectionClosed as exc:
            self._ready.extend(self._lost(exc))
            return
        finally:
            self._waiting_since = None
        self._ready.extend(self._tracker.receive(data))

    def _lost(self, exc: ConnectionClosed) -> list[Value]:
        tracker = self._tracker
        fault = fault_of(exc)
        if self._silent:
            tracker.left(Leave(Why.SILENT, "the server has said nothing for too long"))
        elif fault is not None:
            tracker.broken(*fault)
        elif exc.rcvd is not None:
            return tracker.closed(exc.rcvd.code, exc.rcvd.reason)
        else:
            tracker.left(Leave(Why.LOST, "the connection was lost"))
        return []

    async def _part(self) -> None:
        """Leave the connection; say when the next is tried, or raise what is final."""
        await self._hang_up()
        tracker = self._tracker
        leave = tracker.leave
        if tracker.phase is Phase.OVER or leave is None:
            return  # closed meanwhile
        if leave.error is not None and not self._hopeful(leave.error):
            tracker.over()
            raise leave.error
        if tracker.proven:
            self._backoff.reset()
            self._refused_token = False
        wait = bounded_ms(leave.retry_after_ms, self._limits) + self._backoff.next_ms()
        self._dial_at = self._clock.monotonic() + wait / 1000
        self._ready.append(tracker.disconnected(round(wait)))

    def _hopeful(self, error: ObserveError) -> bool:
        """Whether another dial may end otherwise, although this one was refused for good."""
        if error.code == "observe.tls":
            return self._stood
        if error.code == "observe.unauthorized" and self._locate is not None:
            again, self._refused_token = self._refused_token, True
            return not again
        return False

    async def _hang_up(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        socket, self._socket = self._socket, None
        if socket is not None:
            await hang_up(socket)

    def _watch(self, seconds: float) -> None:
        """Look in `seconds` whether the server is silent. Only time spent waiting counts."""
        later = self._call_later or asyncio.get_running_loop().call_later
        self._watchdog = later(seconds, self._look)

    def _look(self) -> None:
        bound = self._limits.observe_silence_ms / 1000
        since = self._waiting_since
        quiet = 0.0 if since is None else self._clock.monotonic() - since
        if quiet >= bound:
            self._silent = True
            if self._socket is not None:
                self._socket.transport.abort()
        else:
            self._watch(bound - quiet)
