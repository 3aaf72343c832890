"""The sockets that one plugin has opened itself: handles, caps, rates, and how they are dialled."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from yoi.connections import CallLater, Connector, HostResolver, WebSocket
from yoi.connections.background_work import BackgroundWork
from yoi.connections.pull_socket import PullClosed, PullSocket, PullState
from yoi.connections.resolver import pin
from yoi.core.redaction import Masker
from yoi.core.token_bucket import TokenBucket
from yoi.errors import ConnectionFailure, ServiceError, YoiError
from yoi.limits import Limits
from yoi.permissions import Decision
from yoi.protocol.status import PullSocketStatus
from yoi.runtime.pull_targets import Opening
from yoi.types import Clock

_GOING_AWAY = 1001


class PullDialler:
    """Opens sockets for plugins, with the driver's own checks. One for all plugins of a host."""

    def __init__(
        self,
        connector: Connector,
        resolver: HostResolver,
        clock: Clock,
        limits: Limits,
        call_later: CallLater,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.call_later = call_later
        self._connector = connector
        self._resolver = resolver
        self._used = 0

    def take_slot(self) -> None:
        """Count one more socket of the host. Raises ServiceError (`service.pull_sockets`)."""
        if self._used >= self.limits.pull_sockets_total:
            raise ServiceError(
                "service.pull_sockets",
                f"plugins of this host have {self.limits.pull_sockets_total} sockets open",
            )
        self._used += 1

    def give_slot(self) -> None:
        """Take back what `take_slot` counted."""
        self._used -= 1

    async def dial(self, opening: Opening, plugin: str) -> WebSocket:
        """Return an open WebSocket: authorised, looked up once, every address judged.

        Raises PermissionDenied, ConnectionFailure, and what filling in its values raises.
        Cancelled, it leaves nothing open.
        """
        target = opening.fill()
        try:
            # Judged once more as it is dialled: a value may stand in the path.
            decision = opening.decide(target.url).require()
            addresses = await pin(target.url, decision, self._resolver.of(plugin), self.limits)
            return await self._connector.dial(opening.handshake, target, decision, addresses)
        except YoiError as exc:
            raise target.cleared(exc) from None


@dataclass(frozen=True, slots=True)
class _Held:
    socket: PullSocket
    in_tool: bool
    opening: Opening

    def decide(self) -> Decision:
        """Decide whether it may be used, as policy is now."""
        return self.opening.decide(self.opening.url)


class PullSockets:
    """The handles of one service's instance. It belongs to the event loop.

    Handles count up from 1 and are never used again, not even by the next instance.
    """

    def __init__(
        self,
        dialler: PullDialler,
        masker: Callable[[], Masker],
        plugin: str,
        background: BackgroundWork,
    ) -> None:
        self._background = background
        self._plugin = plugin
        self._dialler = dialler
        self._masker = masker
        self._limits = dialler.limits
        now = dialler.clock.monotonic()
        self._opens = TokenBucket(self._limits.pull_opens_per_minute, now, period_s=60.0)
        self._sends = TokenBucket(self._limits.pull_sends_per_second, now)
        self._numbers = itertools.count(1)
        self._held: dict[int, _Held] = {}
        self._used = 0
        self._leaving: set[PullSocket] = set()

    async def open(self, opening: Opening, in_tool: bool) -> tuple[int, PullSocket]:
        """Return the handle of a new socket, and the socket.

        `in_tool`: it is closed by `end_tool`. Raises PermissionDenied, ServiceError
        (`service.pull_sockets`, `service.rate`) before anything is dialled, or ConnectionFailure.
        """
        # Before any bound is asked: a denial says what would allow it, and costs nothing.
        opening.decide(opening.url).require()
        if self._used >= self._limits.pull_sockets:
            raise ServiceError(
                "service.pull_sockets",
                f"{self._limits.pull_sockets} sockets of this plugin are open already",
                hint="close one; standing connections belong into [[connections]]",
            )
        self._take(
            self._opens,
            f"more than {self._limits.pull_opens_per_minute} sockets were opened in a minute",
        )
        self._dialler.take_slot()
        self._used += 1
        try:
            websocket = await self._dialler.dial(opening, self._plugin)
        except BaseException as exc:
            self._freed()
            if isinstance(exc, YoiError):
                raise self._masker().error(exc) from None
            raise
        socket = PullSocket(
            opening.url,
            websocket,
            clock=self._dialler.clock,
            limits=self._limits,
            call_later=self._dialler.call_later,
            freed=self._freed,
        )
        self._forget_oldest_ended()
        handle = next(self._numbers)
        self._held[handle] = _Held(socket, in_tool, opening)
        return handle, socket

    def send(self, handle: int, message: str | bytes) -> int:
        """Queue one message and return its bytes.

        Raises ServiceError (`service.handle`, `service.rate`), PermissionDenied, ConnectionFailure.
        """
        socket = self._allowed(handle).socket
        self._take(
            self._sends,
            f"more than {self._limits.pull_sends_per_second} messages were sent in a second",
        )
        return socket.send(message)

    async def receive(self, handle: int, timeout_ms: int) -> str | bytes | PullClosed:
        """Return the next message or how the socket ended; then the handle is gone.

        `timeout_ms` 0 means `pull_recv_ms`. Raises ServiceError (`service.handle`,
        `service.call_malformed`), PermissionDenied, ConnectionFailure (`connection.timeout`, and
        `connection.withheld` for a binary message that repeats a secret: it is left out).
        """
        if timeout_ms > self._limits.pull_recv_max_ms:
            raise ServiceError(
                "service.call_malformed",
                f"a recv waits at most {self._limits.pull_recv_max_ms} ms",
            )
        held = self._allowed(handle)
        got = await held.socket.receive(timeout_ms or self._limits.pull_recv_ms)
        masker = self._masker()
        if isinstance(got, PullClosed):
            self._held.pop(handle, None)
            error = None if got.error is None else masker.error(got.error)
            return replace(got, reason=masker.text(got.reason), error=error)
        if isinstance(got, str):
            if masker.cheap(len(got)):
                return masker.text(got)
            return await self._background.in_slices(masker.masking(got))
        if await self._background.in_slices(masker.finding(got)):
            raise ConnectionFailure(
                "connection.withheld",
                "a binary message that repeats a secret was left out",
            )
        return got

    def close(self, handle: int, code: int = 1000, reason: str = "") -> bool:
        """Close the socket and forget the handle; return whether there was one."""
        held = self._held.pop(handle, None)
        if held is None:
            return False
        self._let_go(held.socket, code, reason)
        return True

    def status(self, handle: int) -> PullSocketStatus:
        """Return the status of one socket. Raises ServiceError (`service.handle`)."""
        held = self._require(handle)
        return held.socket.status(handle, _owner(held))

    def statuses(self) -> list[PullSocketStatus]:
        """Return the status of each socket that has a handle."""
        return [held.socket.status(handle, _owner(held)) for handle, held in self._held.items()]

    def end_tool(self) -> None:
        """Close what was opened inside a tool call: the call has returned."""
        for handle in [handle for handle, held in self._held.items() if held.in_tool]:
            self.close(handle, 1000, "the tool call has returned")

    def end(self) -> None:
        """Close everything and forget every handle: the instance is gone."""
        for handle in list(self._held):
            self.close(handle, _GOING_AWAY, "going away")

    async def gone(self) -> None:
        """Wait until every socket that was closed here is gone; bounded by `close_ms`."""
        while self._leaving:
            await next(iter(self._leaving)).gone.wait()
            self._leaving = {one for one in self._leaving if not one.gone.is_set()}

    def _take(self, bucket: TokenBucket, what: str) -> None:
        now = self._dialler.clock.monotonic()
        if not bucket.take(now):
            raise ServiceError("service.rate", what, retry_after_ms=bucket.wait_ms(now))

    def _freed(self) -> None:
        self._used -= 1
        self._dialler.give_slot()

    def _let_go(self, socket: PullSocket, code: int, reason: str) -> None:
        socket.close(code, reason)
        self._leaving = {one for one in self._leaving if not one.gone.is_set()}
        if not socket.gone.is_set():
            self._leaving.add(socket)

    def _forget_oldest_ended(self) -> None:
        """Keep few of those whose peer is gone and whose last messages are still unread."""
        ended = [h for h, held in self._held.items() if held.socket.state is not PullState.OPEN]
        for handle in ended[: max(0, len(ended) - self._limits.pull_sockets + 1)]:
            self.close(handle)

    def _require(self, handle: int) -> _Held:
        held = self._held.get(handle)
        if held is None:
            raise ServiceError(
                "service.handle",
                f"no socket of this plugin has the handle {handle}",
                hint="a handle ends with its socket, with the tool call that opened it, and with "
                "the instance",
            )
        return held

    def reauthorise(self) -> None:
        """Close, with 1012, the sockets that policy as it is now no longer allows."""
        for handle, held in list(self._held.items()):
            if not held.decide().allowed:
                self.close(handle, 1012, "no longer allowed")

    def _allowed(self, handle: int) -> _Held:
        held = self._require(handle)
        decision = held.decide()
        if not decision.allowed:
            self.close(handle, 1008, "no longer allowed")
        decision.require()
        return held


def _owner(held: _Held) -> str:
    return "tool" if held.in_tool else "service"
