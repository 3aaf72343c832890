"""`Tenure`: this process is a machine that lives, as long as it renews one key of a bucket.

The key is this process's own: it lapses when it is not renewed, and another machine that wants to
take over what this one holds ends it first, by making it anew. So the machines that live are a
matter of compare-and-set, and whatever a machine holds costs one renewal.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from secrets import token_hex
from typing import Any, Protocol

import msgspec

from yoi.cluster.bucket import UNSURE, Bucket, Entry, Taken
from yoi.core.lease import Lease, LeaseState, LeaseTimes
from yoi.errors import ClusterError
from yoi.tasks import ended

_KIND = "host."


class _Value(msgspec.Struct):
    machine: str = ""
    book: str = ""


class Ends(Protocol):
    """Ends the process at a time; `yoi.cluster.watchdog` has the real one."""

    def arm(self, seconds: float) -> None:
        """End the process in `seconds`, unless armed again or disarmed before."""
        ...

    def disarm(self) -> None:
        """Let the process live."""
        ...


class Tenure:
    """See the module docstring. One per process; it belongs to the event loop."""

    def __init__(
        self,
        bucket: Bucket,
        machine: str,
        times: LeaseTimes,
        monotonic: Callable[[], float],
        ends: Ends,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        book: str = "",
    ) -> None:
        """`machine` is the name of this machine; several processes may have one name.

        `book` says by which bucket of owners it goes (`Bucket.made`): the others are told.
        """
        self.lease = Lease(times)
        self.machine = machine
        self.session = token_hex(8)
        """What this process is known by: no other one ever has it."""
        self.over = asyncio.Event()
        """Set when this process may act no more, or will not in a moment."""
        self.bucket = bucket
        self._key = _KIND + self.session
        self._value = json.dumps({"machine": machine, "pid": os.getpid(), "book": book}).encode()
        self._monotonic = monotonic
        self._ends = ends
        self._sleep = sleep
        self._revision = 0

    @property
    def lives(self) -> bool:
        """Return whether this process may act now."""
        return self.lease.may_send(self._monotonic())

    async def claim(self) -> None:
        """Make the key.

        Raises ClusterError: `cluster.unreachable` where no server does it, `cluster.stream` where
        the bucket was removed meanwhile, and it stands in another one.
        """
        until = self._monotonic() + self.lease.times.ttl
        expected = 0
        while True:
            sent = self._monotonic()
            try:
                try:
                    self._revision = await self.bucket.put(self._key, self._value, expected)
                    same = await self.bucket.is_the_same()
                except Taken:
                    # It was written although its answer was lost, when is not known: once more.
                    found = await self._mine()
                    expected = 0 if found is None else found.revision
                    continue
            except UNSURE as exc:
                if self._monotonic() > until:
                    raise ClusterError(
                        "cluster.unreachable",
                        f"no lease from the servers: {exc or 'timeout'}",
                        hint="yoi cluster doctor",
                    ) from None
                await self._sleep(self.lease.times.renew)
                continue
            if not same:
                raise ClusterError(
                    "cluster.stream",
                    "the bucket of the machines was removed while this one joined them",
                    hint="start it again: it makes the bucket anew, or takes the one that is there",
                )
            self.lease.claimed(self._revision, sent)
            if self.lives:
                self._ends.arm(self.lease.stops_at - self._monotonic())
                return
            raise ClusterError(
                "cluster.unreachable",
                "the lease was granted too late to be used",
                hint="yoi cluster doctor",
            )

    async def keep(self) -> None:
        """Renew the lease until it is over; then `over` is set. Never raises but when cancelled."""
        while self.lease.state(self._monotonic()) in (LeaseState.HELD, LeaseState.EXPIRING):
            left = self.lease.stops_at - self._monotonic()
            if left < self.lease.times.renew:
                # A drain that begins later would not end before sending must.
                break
            await self._sleep(max(0.0, self.lease.renew_at - self._monotonic()))
            await self._renew()
        self.over.set()

    async def release(self) -> None:
        """Give the lease back: nothing of ours is sent any more, and no other need wait."""
        self._ends.disarm()
        if self.lease.state(self._monotonic()) is not LeaseState.LOST:
            with contextlib.suppress(Taken, *UNSURE):
                async with asyncio.timeout(self.lease.times.renew):
                    await self.bucket.drop(self._key, self._revision)
            self.lease.refused()

    async def _renew(self) -> None:
        sent = self._monotonic()
        try:
            async with asyncio.timeout(self.lease.times.renew):
                revision = await self.bucket.put(self._key, self._value, self._revision)
        except Taken:
            # Also where an earlier renewal of ours arrived after it was given up.
            await self._adopt(sent)
            return
        except UNSURE:
            return
        self._took(revision, sent)

    async def _adopt(self, sent: float) -> None:
        """Take a renewal of unknown end for one of ours, or the lease for lost."""
        with contextlib.suppress(*UNSURE):
            async with asyncio.timeout(self.lease.times.renew):
                found = await self._mine()
                if found is None:
                    self.lease.refused()
                    return
                try:
                    revision = await self.bucket.put(self._key, self._value, found.revision)
                except Taken:
                    return
                self._took(revision, sent)

    async def _mine(self) -> Entry | None:
        """Return the key where it has our value."""
        found = await self.bucket.last(self._key)
        return found if found is not None and found.data == self._value else None

    def _took(self, revision: int, sent: float) -> None:
        self._revision = revision
        self.lease.renewed(sent, self._monotonic())
        self._ends.arm(self.lease.stops_at - self._monotonic())


def machines_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the names of the machines that live, by session, as the keys of the bucket say."""
    return {session: one.machine for session, one in _living(entries)}


def books_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Return by which bucket of owners each machine goes that says it, by session."""
    return {session: one.book for session, one in _living(entries) if one.book}


def _living(entries: Iterable[Entry]) -> Iterator[tuple[str, _Value]]:
    for one in entries:
        value = _value_in(one.data) if one.key.startswith(_KIND) else _Value()
        if value.machine:
            yield one.key.removeprefix(_KIND), value


def _value_in(data: bytes) -> _Value:
    """Return what a key says; it names no machine where it was ended, or is none of ours."""
    try:
        return msgspec.json.decode(data, type=_Value)
    except (msgspec.DecodeError, RecursionError):
        return _Value()


async def end(bucket: Bucket, session: str, by: str) -> bool:
    """Have `session` be over for ever, where its key has lapsed; return whether it is over.

    Its own renewal is refused from then on. In a bucket that was removed and made anew a missing
    key has not lapsed: until the bucket is as old as keys get, its process may still act. Raises
    UNSURE.
    """
    key = _KIND + session
    found = await bucket.last(key)
    if found is None:
        try:
            await bucket.put(key, json.dumps({"ended_by": by}).encode(), 0)
        except Taken:
            return False
    elif not found.data:
        return True
    elif _value_in(found.data).machine:
        return False
    origin = await bucket.origin()
    return origin.made == bucket.made and origin.age >= bucket.ttl


@contextlib.asynccontextmanager
async def kept(tenure: Tenure) -> AsyncIterator[Tenure]:
    """Renew a claimed lease for as long as the block lasts, then give it back."""
    keeping = asyncio.ensure_future(tenure.keep())
    try:
        yield tenure
    finally:
        await ended(keeping)
        await tenure.release()
