"""`Answering`: this process carries out commands that were given on other machines.

What is not sealed for this process costs little and is counted; where too much comes, whatever it
is, this process does not listen for a second, and servers tell that to who asks.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from nats.aio.client import Client

from yoi.cluster.bucket import UNSURE
from yoi.cluster.sealed_commands import Command, Hello, Seals, Welcome, subject_of
from yoi.control.server import Method, carried_out, encoded
from yoi.control.wire import Answer, Failure, Request
from yoi.core.challenges import Challenges, Verdict
from yoi.defects import defect
from yoi.errors import ClusterError, YoiError
from yoi.journal.jetstream_server import denied
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey
from yoi.tasks import ended

_log = structlog.get_logger("yoi.host")
_SECRET_BYTES = 32
_SEALING_BYTES = 64 * 1024
"""More than this is sealed beside the event loop."""
_TOLD_AGAIN_SECONDS = 60.0
_WINDOW_SECONDS = 1.0


@dataclass(slots=True)
class Counts:
    """What came for this process since it began."""

    carried_out: int = 0
    refused: int = 0
    """Not sealed for this process, or sent again, or too late."""
    busy: int = 0
    """Commands beyond how many may be at once."""
    silences: int = 0
    """Seconds without listening, because too much came."""


class Answering:
    """See the module docstring. `methods` are all that may be asked for.

    Each is logged with who asked, but for those in `unlogged`.
    """

    def __init__(
        self,
        client: Client,
        key: DeploymentKey,
        deployment: str,
        session: str,
        machine: str,
        methods: Mapping[str, Method],
        unlogged: Container[str],
        tell: Callable[[YoiError], None],
        monotonic: Callable[[], float],
        limits: Limits = LIMITS,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        subject = subject_of(deployment, session)
        assert subject is not None, "a session of this program"
        self.counts = Counts()
        self._client, self._subject = client, subject
        self._seals = Seals(key, deployment, session)
        self._machine, self._methods, self._tell = machine, dict(methods), tell
        self._unlogged = unlogged
        self._monotonic, self._limits, self._sleep = monotonic, limits, sleep
        self._challenges = Challenges(
            os.urandom(_SECRET_BYTES), limits.cluster_challenge_ms, limits.cluster_commands
        )
        self._acting: set[asyncio.Task[None]] = set()
        self._told_at = float("-inf")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry out commands while entered; leaving ends what is under way.

        When it begins, the servers know that this process listens.
        """
        listening = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._listen(listening))
        try:
            # Without the servers it begins as soon as they are there.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.journal_request_ms / 1000):
                    await listening.wait()
            yield
        finally:
            await ended(task)
            await ended(*self._acting)

    async def _listen(self, listening: asyncio.Event) -> None:
        while True:
            try:
                await self._listen_until_too_much(listening)
            except UNSURE:
                pass
            except Exception as exc:
                self._tell(defect(exc, "answering the machines of the cluster"))
            await self._sleep(_WINDOW_SECONDS)

    async def _listen_until_too_much(self, listening: asyncio.Event) -> None:
        limits = self._limits
        heard = await self._client.subscribe(
            self._subject,
            pending_msgs_limit=limits.cluster_messages,
            pending_bytes_limit=limits.cluster_message_bytes,
        )
        try:
            await self._client.flush(limits.journal_request_ms // 1000)
            refused = denied(self._client)
            if refused is not None:
                self._tell(
                    ClusterError(
                        "cluster.credentials",
                        f"commands of other machines may not come here: {refused}",
                        hint=f"let the user of [cluster] subscribe to {self._subject[:-16]}*",
                    )
                )
            listening.set()
            began, before, size = self._monotonic(), 0, 0
            async for message in heard.messages:
                now = self._monotonic()
                if now - began >= _WINDOW_SECONDS:
                    began, before, size = now, heard.delivered, 0
                size += len(message.data)
                # With those that the client has dropped already, because this is too slow.
                messages = heard.delivered - before
                if messages > limits.cluster_messages or size > limits.cluster_message_bytes:
                    self.counts.silences += 1
                    self._tell_of("more came in a second than machines say to each other")
                    return
                await self._hear(message.data, round(now * 1000))
        finally:
            with contextlib.suppress(*UNSURE):
                await heard.unsubscribe()

    async def _hear(self, message: bytes, now_ms: int) -> None:
        if len(message) > self._limits.control_request_bytes:
            self._refuse()
            return
        match self._seals.asked(message):
            case Hello() as hello:
                challenge = self._challenges.issue(hello.id, now_ms)
                said = Welcome(hello.id, challenge, self._machine)
                with contextlib.suppress(*UNSURE):
                    await self._client.publish(hello.inbox, self._seals.welcome(said))
            case Command() as command:
                self._begin(command, now_ms)
            case None:
                self._refuse()

    def _begin(self, command: Command, now_ms: int) -> None:
        verdict = self._challenges.redeem(command.id, command.challenge, now_ms)
        if verdict is Verdict.STALE:
            # No answer: what is sent again is not asked by who would hear it.
            self._refuse()
            return
        busy = verdict is Verdict.FULL or len(self._acting) >= self._limits.control_clients
        if busy:
            self.counts.busy += 1
        task = asyncio.get_running_loop().create_task(self._answer(command, busy=busy))
        self._acting.add(task)
        task.add_done_callback(self._acting.discard)

    async def _answer(self, command: Command, *, busy: bool) -> None:
        answer = _BUSY if busy else await self._carried_out(command)
        data = encoded(answer, self._limits)
        size = min(self._limits.cluster_part_bytes, self._client.max_payload // 2)
        count = max(1, -(-len(data) // size))
        with contextlib.suppress(*UNSURE):
            for number in range(count):
                part = data[number * size : (number + 1) * size]
                await self._client.publish(
                    command.inbox, await self._sealed(command.id, number, part, number + 1 == count)
                )

    async def _carried_out(self, command: Command) -> Answer:
        self.counts.carried_out += 1
        if command.method not in self._unlogged:
            _log.info(
                "a command given on another machine",
                machine=command.machine,
                method=command.method,
                about=str(command.params.get("name", "")),
            )
        return await carried_out(self._methods, Request(command.method, command.params))

    async def _sealed(self, request: str, number: int, data: bytes, is_last: bool) -> bytes:
        if len(data) <= _SEALING_BYTES:
            return self._seals.part(request, number, data, is_last=is_last)
        return await asyncio.to_thread(self._seals.part, request, number, data, is_last=is_last)

    def _refuse(self) -> None:
        """Count what is not a command for this process."""
        self.counts.refused += 1
        self._tell_of("it was not sealed for this process, was sent again, or came too late")

    def _tell_of(self, why: str) -> None:
        """Tell of what was refused, once a minute at most."""
        now = self._monotonic()
        if now - self._told_at < _TOLD_AGAIN_SECONDS:
            return
        self._told_at = now
        self._tell(
            ClusterError(
                "cluster.forged",
                f"commands for this machine were refused ({self.counts.refused} messages, "
                f"{self.counts.silences} floods since it began): {why}",
                hint="the same key_file on every machine? else find out who writes to the servers",
            )
        )


_BUSY = Answer(
    error=Failure("control.refused", "it has as many commands as it takes at once; try again")
)
