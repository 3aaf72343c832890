"""`Tenure`: this host's turn. It waits for the lease, renews it, and says when it is over.

The lease is a key of a bucket whose entries lapse. Everything is decided by compare-and-set, never
by a read or a watch; the epoch is the revision at which the key was made.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import nats.errors
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from yoi.core.lease import Lease, LeaseState, LeaseTimes
from yoi.errors import ClusterError
from yoi.journal.jetstream_server import asked
from yoi.limits import LIMITS, Limits

_KEY = "host"
_DUPLICATES = 120.0
_WAYS_TO_FAIL = (TimeoutError, OSError, nats.errors.Error, JetStreamError)


class Ends(Protocol):
    """Ends the process at a time; `yoi.cluster.watchdog` has the real one."""

    def arm(self, seconds: float) -> None:
        """End the process in `seconds`, unless armed again or disarmed before."""
        ...

    def disarm(self) -> None:
        """Let the process live."""
        ...


class Tenure:
    """See the module docstring. One per host; it belongs to the event loop."""

    def __init__(
        self,
        bucket: KeyValue,
        holder: str,
        times: LeaseTimes,
        monotonic: Callable[[], float],
        ends: Ends,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        """`holder` is what other hosts are told about this one."""
        self.lease = Lease(times)
        self.over = asyncio.Event()
        """Set when this host may act no more, or will not in a moment."""
        self._bucket = bucket
        self._value = json.dumps({"holder": holder}).encode()
        self._monotonic = monotonic
        self._ends = ends
        self._sleep = sleep
        self._revision = 0

    async def claim(self) -> None:
        """Return when the lease is ours; until then another host has it, or no server answers."""
        while True:
            sent = self._monotonic()
            try:
                self._revision = await self._bucket.create(_KEY, self._value)
            except KeyWrongLastSequenceError:
                await self._sleep(self.lease.times.renew)
                continue
            except _WAYS_TO_FAIL:
                await self._sleep(self.lease.times.renew)
                continue
            self.lease.claimed(self._revision, sent)
            if self.lease.may_send(self._monotonic()):
                self._ends.arm(self.lease.stops_at - self._monotonic())
                return
            raise ClusterError(
                "cluster.unreachable", "the lease was granted too late to be used", hint=None
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

    def epoch(self, log: str) -> int:
        """Return the epoch of the lease: what this host holds is held under it."""
        return self.lease.epoch

    def fenced(self, log: str, epoch: int) -> None:
        """Hear that `log` has a later owner: then another host was given the lease."""
        self.lease.saw(epoch)
        self.over.set()

    def moved_from(self, log: str) -> str | None:
        """Return None: who held the lease before is not known."""
        return None

    async def release(self) -> None:
        """Give the lease back: nothing of ours is sent any more, and another host need not wait."""
        self._ends.disarm()
        if self.lease.state(self._monotonic()) is not LeaseState.LOST:
            with contextlib.suppress(*_WAYS_TO_FAIL):
                async with asyncio.timeout(self.lease.times.renew):
                    await self._bucket.delete(_KEY, last=self._revision)
            self.lease.refused()

    async def _renew(self) -> None:
        sent = self._monotonic()
        try:
            async with asyncio.timeout(self.lease.times.renew):
                revision = await self._bucket.update(_KEY, self._value, last=self._revision)
        except KeyWrongLastSequenceError:
            # Also where an earlier renewal of ours arrived after it was given up.
            await self._adopt(sent)
            return
        except _WAYS_TO_FAIL:
            return
        self._took(revision, sent)

    async def _adopt(self, sent: float) -> None:
        """Take a renewal of unknown end for one of ours, or the lease for lost."""
        try:
            found = await self._bucket.get(_KEY)
            mine = found.value == self._value and found.revision is not None
        except _WAYS_TO_FAIL:
            mine = False
        if not mine:
            self.lease.refused()
            return
        assert found.revision is not None, "it is ours"
        with contextlib.suppress(*_WAYS_TO_FAIL):
            async with asyncio.timeout(self.lease.times.renew):
                revision = await self._bucket.update(_KEY, self._value, last=found.revision)
                self._took(revision, sent)

    def _took(self, revision: int, sent: float) -> None:
        self._revision = revision
        self.lease.renewed(sent, self._monotonic())
        self._ends.arm(self.lease.stops_at - self._monotonic())


async def bucket_of(
    client: Client, name: str, ttl: float, replicas: int, limits: Limits = LIMITS
) -> KeyValue:
    """Return the bucket of the leases, which is made where it is missing.

    Its revisions, which are the epochs, begin at the time it was made: logs that were moved here
    from another deployment, or outlived a bucket, have earlier ones. Raises ClusterError
    (`cluster.stream`) where it has other times.
    """
    stream = f"KV_{name}"
    told = await asked(client, f"STREAM.INFO.{stream}", {}, limits)
    if "config" not in told:
        wanted = {
            "name": stream,
            "subjects": [f"$KV.{name}.>"],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_age": int(ttl * 1e9),
            "duplicate_window": int(min(ttl, _DUPLICATES) * 1e9),
            "max_msgs_per_subject": 1,
            "num_replicas": replicas,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "first_seq": time.time_ns() // 1_000_000,
        }
        made = await asked(client, f"STREAM.CREATE.{stream}", wanted, limits)
        # Also where another host was first, with another time.
        told = {**made, **await asked(client, f"STREAM.INFO.{stream}", {}, limits)}
    if told.get("config", {}).get("max_age") != int(ttl * 1e9):
        why = "it has other times than lease_ms says"
        if "config" not in told:
            why = str(told.get("error", {}).get("description"))
        raise ClusterError(
            "cluster.stream",
            f"the bucket {name}: {why}",
            hint="the same lease_ms on every machine, or another name in [cluster]",
        )
    try:
        return await client.jetstream(timeout=2).key_value(name)
    except _WAYS_TO_FAIL as exc:
        raise ClusterError("cluster.unreachable", f"the bucket {name}: {exc}") from None


async def holder_of(bucket: KeyValue) -> str | None:
    """Return what the host that has the lease says about itself; None where nobody has it."""
    try:
        found = await bucket.get(_KEY)
    except _WAYS_TO_FAIL:
        return None
    told = json.loads(found.value or b"{}")
    return str(told.get("holder", ""))


@contextlib.asynccontextmanager
async def kept(tenure: Tenure) -> AsyncIterator[Tenure]:
    """Renew a claimed lease for as long as the block lasts, then give it back."""
    keeping = asyncio.ensure_future(tenure.keep())
    try:
        yield tenure
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await tenure.release()
