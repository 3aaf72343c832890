"""`DialTask`: the one dial that a connection may have under way."""

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.connector import Connector, WebSocket
from yoi.connections.resolver import Resolver, pin
from yoi.connections.target import DialTarget
from yoi.core.budget import Budget
from yoi.errors import ConnectionFailure, YoiError
from yoi.limits import Limits
from yoi.permissions import Decision, Url
from yoi.permissions.connection_settings import ConnectionSettings
from yoi.types import Clock


class DialOwner(Protocol):
    """What a dial tells its connection."""

    def dialling(self, target: DialTarget) -> None:
        """This is the target of the dial that was asked for."""
        ...

    def dial_postponed(self, error: YoiError, wait_ms: float) -> None:
        """Nothing is dialled, for `error`: the budget has room in `wait_ms`."""
        ...

    def dial_failed(self, error: YoiError) -> None:
        """There is no socket."""
        ...

    def dial_opened(self, socket: WebSocket, target: DialTarget) -> None:
        """The handshake is done."""
        ...


class DialTask:
    """Dials on the loop and tells `owner` how it went; a dial given up tells nothing."""

    def __init__(
        self,
        settings: ConnectionSettings,
        owner: DialOwner,
        *,
        authorise: Callable[[Url], Decision],
        certificate: Callable[[], ClientCertificate | None],
        connector: Connector,
        resolver: Resolver,
        budget: Budget | None,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._authorise = authorise
        self._certificate = certificate
        self._connector = connector
        self._resolver = resolver
        self._budget = budget
        self._clock = clock
        self._limits = limits
        self._task: asyncio.Task[None] | None = None
        self._number = 0

    def govern(
        self,
        authorise: Callable[[Url], Decision],
        certificate: Callable[[], ClientCertificate | None],
    ) -> None:
        """Ask these before each dial from now on."""
        self._authorise, self._certificate = authorise, certificate

    def begin(self, target: DialTarget) -> None:
        """Dial `target`, made anew where that is needed, if the budget has room for it."""
        if target.again is not None:
            try:
                target = target.again()
            except YoiError as exc:
                self._owner.dial_failed(target.cleared(exc))
                return
        self._owner.dialling(target)
        if self._budget is not None:
            wall_ms = self._clock.wall_ms()
            wait_ms = self._budget.wait_ms(wall_ms)
            if wait_ms:
                self._owner.dial_postponed(self._no_room(wait_ms), wait_ms)
                return
            self._budget.spend(wall_ms)
        self._number += 1
        self._task = asyncio.get_running_loop().create_task(self._run(target, self._number))

    def give_up(self) -> None:
        """Forget the dial; a socket that it opens all the same is ended."""
        self._number += 1
        if self._task is not None:
            self._task.cancel()

    async def settled(self) -> None:
        """Wait until nothing of it is left."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, target: DialTarget, number: int) -> None:
        try:
            socket = await self._open(target)
        except YoiError as exc:
            error = target.cleared(exc)
        except Exception as exc:
            # Not its words: they may hold what this target hides.
            where = traceback.extract_tb(exc.__traceback__)[-1]
            error = YoiError(
                "usage.internal",
                f"dialling failed with {type(exc).__name__} in {where.name}, line {where.lineno}",
            )
        else:
            if number == self._number:
                self._owner.dial_opened(socket, target)
            else:
                socket.abort()
            return
        if number == self._number:
            self._owner.dial_failed(error)

    def _no_room(self, wait_ms: float) -> ConnectionFailure:
        name = self._settings.name
        return ConnectionFailure(
            "connection.budget",
            f"{name} has few dials of this day left: the next one is made "
            f"in {wait_ms / 1000:.0f} s",
            name=name,
        )

    async def _open(self, target: DialTarget) -> WebSocket:
        """Ask policy, look the name up, judge each address, and dial only those: every time."""
        decision = self._authorise(target.url).require()
        certificate = self._certificate()
        if certificate is not None:
            target = replace(target, certificate=certificate)
        addresses = await pin(target.url, decision, self._resolver, self._limits)
        return await self._connector.dial(self._settings.handshake, target, decision, addresses)
