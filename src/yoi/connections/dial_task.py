"""`DialTask`: the one dial that a connection may have under way."""

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import replace

from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.connector import Connector, WebSocket
from yoi.connections.resolver import Resolver, pin
from yoi.connections.target import DialTarget
from yoi.errors import YoiError
from yoi.limits import Limits
from yoi.permissions import Decision, Url
from yoi.permissions.connection_settings import Handshake


class DialTask:
    """Dials on the loop. `opened` or `failed` hears how it went; a dial given up says nothing."""

    def __init__(
        self,
        handshake: Handshake,
        *,
        authorise: Callable[[Url], Decision],
        certificate: Callable[[], ClientCertificate | None],
        connector: Connector,
        resolver: Resolver,
        limits: Limits,
        opened: Callable[[WebSocket, DialTarget], None],
        failed: Callable[[YoiError], None],
    ) -> None:
        self._handshake = handshake
        self._authorise = authorise
        self._certificate = certificate
        self._connector = connector
        self._resolver = resolver
        self._limits = limits
        self._opened = opened
        self._failed = failed
        self._task: asyncio.Task[None] | None = None
        self._number = 0

    def begin(self, target: DialTarget) -> None:
        """Dial `target`."""
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
                self._opened(socket, target)
            else:
                socket.abort()
            return
        if number == self._number:
            self._failed(error)

    async def _open(self, target: DialTarget) -> WebSocket:
        """Ask policy, look the name up, judge each address, and dial only those: every time."""
        decision = self._authorise(target.url).require()
        certificate = self._certificate()
        if certificate is not None:
            target = replace(target, certificate=certificate)
        addresses = await pin(target.url, decision, self._resolver, self._limits)
        return await self._connector.dial(self._handshake, target, decision, addresses)
