"""`Asking`: has commands carried out by the machine of a deployment that runs what they are about.

What is known of a command's end is told as it is: a machine that did not say that it takes one has
done nothing; one that said so and then is silent may have done it. Nothing is asked again by
itself but where nothing was done.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from yoi.cluster.bucket import UNSURE, Bucket
from yoi.cluster.records import Book
from yoi.cluster.sealed_commands import Command, Hello, Seals, Welcome, subject_of
from yoi.cluster.tenure import machines_of
from yoi.control.wire import Failure
from yoi.errors import ClusterError, ControlError
from yoi.journal.jetstream_server import denied
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey
from yoi.tasks import ended

T = TypeVar("T")
_ID_BYTES = 16
_WELCOME_BYTES = 64 * 1024
_FOREIGN = 100
"""So many messages that are no answer are passed over; then no answer is waited for."""
_NOT_SENT = (nats.errors.OutboundBufferLimitError, nats.errors.ConnectionClosedError)


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a deployment, and the name of its machine as the servers say it."""

    session: str
    machine: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a machine answered."""

    machine: str
    """The name that it has itself."""
    value: msgspec.Raw


class _Reply(msgspec.Struct):
    ok: msgspec.Raw = msgspec.Raw(b"null")
    error: Failure | None = None


class Asking:
    """See the module docstring. `book` returns who owns what, kept up to date by its owner."""

    def __init__(
        self,
        client: Client,
        key: DeploymentKey,
        deployment: str,
        machines: Bucket,
        book: Callable[[], Book],
        this: Process,
        limits: Limits = LIMITS,
    ) -> None:
        """`this` process is never asked; its session is empty where it runs nothing."""
        self._client, self._key, self._deployment = client, key, deployment
        self._machines, self._book, self._this, self._limits = machines, book, this, limits

    def elsewhere(self, member: str) -> Process | None:
        """Return the other process that has `member`; None where it is this one, or none."""
        record = self._book().of(member).record
        if not record.session or record.session == self._this.session:
            return None
        return Process(record.session, record.machine)

    async def look_again(self, member: str) -> None:
        """Ask the servers who has `member` now."""
        with contextlib.suppress(*UNSURE):
            await self._book().again(member)

    async def ask(
        self, to: Process, method: str, params: Mapping[str, Any], seconds: float
    ) -> Told:
        """Return what that process answers within `seconds`.

        Raises ClusterError: `cluster.not_listening` and `cluster.unreachable`, where nothing was
        done, and `cluster.unanswered`, where that is not known; ControlError with the code of the
        method's own error.
        """
        return await self._asked(to, method, params, seconds, self._limits.control_response_bytes)

    async def ask_all(self, method: str) -> tuple[list[Told], list[str]]:
        """Return what all other processes answer to `method`, and which machines did not, by name.

        They are asked beside each other; how many, for how long and for how much is bounded.
        """
        try:
            asked, left_out = await self._others()
        except UNSURE:
            known = {one.record.machine for one in self._book().known.values()}
            return [], sorted(known - {"", self._this.machine})
        limits = self._limits
        seconds, most = limits.cluster_list_ms / 1000, limits.cluster_list_bytes
        answers = await self._each(asked, lambda to: self._asked(to, method, {}, seconds, most))
        told: list[Told] = []
        silent = [one.machine for one in left_out]
        room = self._limits.control_response_bytes // 2
        for one in asked:
            answer = answers.get(one)
            room -= 0 if answer is None else len(answer.value)
            if answer is None or room < 0:
                silent.append(one.machine)
            else:
                told.append(answer)
        return told, sorted(silent)

    async def listening(self) -> tuple[list[str], list[str]]:
        """Return which machines would take a command now, and which would not, by name.

        Nothing is done there. Raises one of UNSURE where it is not known which ones live.
        """
        asked, left_out = await self._others()
        answers = await self._each(asked, self._greeted)
        silent = [one.machine for one in (*asked, *left_out) if one not in answers]
        return sorted(one.machine for one in answers.values()), sorted(silent)

    async def _others(self) -> tuple[list[Process], list[Process]]:
        """Return the other processes that live: those to ask, and those beyond how many may be."""
        found = machines_of(await self._machines.since())
        others = sorted(
            (Process(*one) for one in found.items() if one[0] != self._this.session),
            key=lambda one: (one.machine, one.session),
        )
        return others[: self._limits.cluster_asked], others[self._limits.cluster_asked :]

    async def _each(
        self, asked: list[Process], ask: Callable[[Process], Awaitable[T]]
    ) -> dict[Process, T]:
        """Return what each answers in time, asked beside each other, a few at once."""
        gate = asyncio.Semaphore(self._limits.cluster_asked_at_once)

        async def one_answers(to: Process) -> T:
            async with gate:
                return await ask(to)

        tasks = {asyncio.ensure_future(one_answers(one)): one for one in asked}
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._limits.cluster_list_ms / 1000)
        finally:
            await ended(*tasks)
        return {
            one: task.result()
            for task, one in tasks.items()
            if not task.cancelled() and task.exception() is None
        }

    async def _greeted(self, to: Process) -> Welcome:
        """Return the word of a process that it would take a command."""
        subject = subject_of(self._deployment, to.session)
        if subject is None:
            raise _not_listening(to)
        seals = Seals(self._key, self._deployment, to.session)
        async with self._inbox(_WELCOME_BYTES) as (inbox, heard):
            return await self._welcomed(
                seals, Hello(token_hex(_ID_BYTES), inbox), to, subject, heard
            )

    async def _asked(
        self, to: Process, method: str, params: Mapping[str, Any], seconds: float, most: int
    ) -> Told:
        subject = subject_of(self._deployment, to.session)
        if subject is None:
            raise _not_listening(to)
        seals, request = Seals(self._key, self._deployment, to.session), token_hex(_ID_BYTES)
        until = asyncio.get_running_loop().time() + seconds
        async with self._inbox(most) as (inbox, heard):
            welcome = await self._welcomed(seals, Hello(request, inbox), to, subject, heard)
            command = seals.command(
                Command(
                    id=request,
                    inbox=inbox,
                    challenge=welcome.challenge,
                    machine=self._this.machine,
                    method=method,
                    params=dict(params),
                )
            )
            if len(command) > min(self._limits.control_request_bytes, self._client.max_payload):
                raise ControlError(
                    "control.refused",
                    f"the command has {len(command)} bytes: too many for another machine",
                )
            try:
                await self._client.publish(subject, command, reply=inbox)
            except _NOT_SENT:
                raise _not_sent() from None
            except UNSURE:
                raise _unanswered(welcome.machine, method) from None
            data = await _whole(seals, request, heard, until, most)
        if data is None:
            raise _unanswered(welcome.machine, method)
        return Told(welcome.machine, _value(data, welcome.machine, method))

    @contextlib.asynccontextmanager
    async def _inbox(self, most: int) -> AsyncIterator[tuple[str, Subscription]]:
        """Give a subject of our own, and what comes there."""
        inbox = self._client.new_inbox()
        try:
            heard = await self._client.subscribe(inbox, pending_bytes_limit=2 * most)
        except UNSURE:
            raise _not_sent() from None
        try:
            yield inbox, heard
        finally:
            with contextlib.suppress(*UNSURE):
                await heard.unsubscribe()

    async def _welcomed(
        self, seals: Seals, hello: Hello, to: Process, subject: str, heard: Subscription
    ) -> Welcome:
        """Return the word of a process that it takes the command. Nothing is done before that."""
        try:
            async with asyncio.timeout(self._limits.cluster_hello_ms / 1000):
                await self._client.publish(subject, seals.hello(hello), reply=hello.inbox)
                for _ in range(_FOREIGN):
                    message = await heard.next_msg(timeout=None)
                    if (message.headers or {}).get("Status"):
                        # The servers say that nothing listens there; it is believed here only.
                        break
                    welcome = seals.welcomed(hello.id, message.data)
                    if welcome is not None:
                        return welcome
        except _NOT_SENT:
            raise _not_sent() from None
        except UNSURE:
            pass
        raise _not_listening(to, denied(self._client))


async def _whole(
    seals: Seals, request: str, heard: Subscription, until: float, most: int
) -> bytes | None:
    """Return the answer put together; None where it does not come, or is over `most` bytes."""
    parts: list[bytes] = []
    foreign = size = 0
    try:
        async with asyncio.timeout_at(until):
            while size <= most and foreign < _FOREIGN:
                message = await heard.next_msg(timeout=None)
                opened = seals.answered(request, len(parts), message.data)
                if opened is None:
                    foreign += 1
                    continue
                data, is_last = opened
                size += len(data)
                parts.append(data)
                if is_last:
                    return b"".join(parts)
    except UNSURE:
        pass
    return None


def _value(data: bytes, machine: str, method: str) -> msgspec.Raw:
    """Return the value in an answer. Raises ControlError for the error in it."""
    try:
        reply = msgspec.json.decode(data, type=_Reply)
    except (msgspec.DecodeError, RecursionError):
        raise _unanswered(machine, method) from None
    if reply.error is None:
        return reply.ok
    raise reply.error.error(f"on {machine}: ")


def _not_listening(to: Process, refused: str | None = None) -> ClusterError:
    why = "" if refused is None else f" (the servers have refused this account: {refused})"
    return ClusterError(
        "cluster.not_listening",
        f"{to.machine or 'the other machine'} takes no command now: nothing was done{why}",
        hint="again, in some seconds; which machine has what: yoi cluster leases",
        machine=to.machine,
    )


def _not_sent() -> ClusterError:
    return ClusterError(
        "cluster.unreachable",
        "the NATS servers of [cluster] do not answer: nothing was done",
        hint="yoi cluster status",
    )


def _unanswered(machine: str, method: str) -> ClusterError:
    return ClusterError(
        "cluster.unanswered",
        f"{machine} was asked ({method}), and did not answer in time: it may be done, or not",
        hint=f"look before you ask again: yoi {_looked_at(method)} list",
        machine=machine,
    )


def _looked_at(method: str) -> str:
    return "worker" if method.startswith("worker.") else "service"
