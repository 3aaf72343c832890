"""A bucket of NATS: keys whose values change by compare-and-set only, and may lapse by themselves.

It is laid out as every NATS client knows it (`nats kv get`). What decides is always a write that
names the revision before it; reads only say what to try.
"""

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError

from yoi.errors import ClusterError
from yoi.journal.jetstream_server import found_or_made, wall_ms
from yoi.journal.server_clock import unix_seconds
from yoi.limits import LIMITS, Limits

UNSURE = (TimeoutError, OSError, nats.errors.Error, JetStreamError)
"""What a request may raise whose end is then not known."""
_NO_STREAM, _NO_MESSAGE = 10059, 10037
_WRONG_SEQUENCE, _IN_FLIGHT = 10071, 10164
_PAGE = 512


class Taken(Exception):
    """Another write came first: the key has another revision than the one that was named."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it stands; `data` is empty where it was dropped."""

    key: str
    revision: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """When a bucket was made, as the servers say it: another time means another bucket."""

    made: str
    """Empty where there is no bucket."""
    age: float
    """For how many seconds it has been there, by the servers' clock."""


class Bucket:
    """See the module docstring. `open` makes it where it is missing."""

    def __init__(self, client: Client, name: str, limits: Limits = LIMITS) -> None:
        self.name = name
        self._client = client
        self._limits = limits
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."
        self._timeout = limits.journal_request_ms / 1000
        self.made = ""
        """When the bucket that was opened was made (`Origin.made`)."""
        self.ttl = 0.0
        """After how many seconds a key lapses; 0: never."""

    @classmethod
    async def open(
        cls, client: Client, name: str, ttl: float, replicas: int, limits: Limits = LIMITS
    ) -> "Bucket":
        """Return the bucket whose keys lapse after `ttl` seconds; with 0 they stay.

        Raises ClusterError: `cluster.stream` where there is one of other times, `cluster.full`,
        `cluster.unreachable`.
        """
        age = int(ttl * 1e9)
        bucket = cls(client, name, limits)
        config = {
            "name": bucket._stream,
            "subjects": [f"{bucket._prefix}>"],
            "max_msgs_per_subject": 1,
            "max_age": age,
            "num_replicas": replicas,
            "storage": "file",
            "discard": "new",
            "allow_direct": True,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            # Revisions of a bucket that was removed are never met again in one made later: a write
            # that names one of them is refused.
            "first_seq": wall_ms(),
            "duplicate_window": min(age, 120_000_000_000) or 120_000_000_000,
        }
        told = await found_or_made(client, config, f"the bucket {name} cannot be used", limits)
        found = told["config"]
        if found.get("max_age", 0) != age or not found.get("allow_direct"):
            raise ClusterError(
                "cluster.stream",
                f"the bucket {name} has other times than lease_ms says, or is not one of ours",
                hint="the same lease_ms on every machine, or another name in [cluster]",
            )
        bucket.made, bucket.ttl = str(told.get("created", "")), ttl
        return bucket

    async def is_the_same(self) -> bool:
        """Return whether the bucket is still the one that was opened. Raises UNSURE."""
        return bool(self.made) and (await self.origin()).made == self.made

    async def origin(self) -> Origin:
        """Return when the bucket that is there now was made. Raises UNSURE."""
        answer = await self._client.request(
            f"$JS.API.STREAM.INFO.{self._stream}", b"", timeout=self._timeout
        )
        told: dict[str, Any] = json.loads(answer.data)
        error = told.get("error")
        if error:
            if error.get("err_code") == _NO_STREAM:
                return Origin("", 0.0)
            raise TimeoutError(error.get("description"))
        made, now = str(told.get("created", "")), str(told.get("ts", ""))
        return Origin(made, _seconds(now) - _seconds(made))

    async def put(self, key: str, data: bytes, expected: int) -> int:
        """Write `key`, whose revision is `expected` (0: it is not there); return the new one.

        Raises Taken, or one of UNSURE: then it is written, or not, or will be.
        """
        return await self._write(key, data, expected, {})

    async def drop(self, key: str, expected: int) -> None:
        """Leave nothing at `key` but the mark that it was there. Raises as `put`."""
        await self._write(key, b"", expected, {"KV-Operation": "DEL"})

    async def _write(self, key: str, data: bytes, expected: int, marks: dict[str, str]) -> int:
        answer = await self._client.request(
            self._prefix + key,
            data,
            timeout=self._timeout,
            headers={"Nats-Expected-Last-Subject-Sequence": str(expected), **marks},
        )
        told = json.loads(answer.data)
        error = told.get("error")
        if error:
            if error.get("err_code") in (_WRONG_SEQUENCE, _IN_FLIGHT):
                raise Taken(key)
            raise TimeoutError(error.get("description"))
        return int(told["seq"])

    async def last(self, key: str) -> Entry | None:
        """Return the key as the leader of the servers knows it. Raises UNSURE."""
        answer = await self._client.request(
            f"$JS.API.STREAM.MSG.GET.{self._stream}",
            json.dumps({"last_by_subj": self._prefix + key}).encode(),
            timeout=self._timeout,
        )
        told = json.loads(answer.data)
        error = told.get("error")
        if error:
            if error.get("err_code") == _NO_MESSAGE:
                return None
            raise TimeoutError(error.get("description"))
        message = told["message"]
        return Entry(key, int(message["seq"]), base64.b64decode(message.get("data", "")))

    async def since(self, revision: int = 0) -> list[Entry]:
        """Return the keys that were written after `revision`, oldest first. Raises UNSURE.

        Any server may answer, one that is behind too: it is a hint.
        """
        found: list[Entry] = []
        inbox = self._client.new_inbox()
        heard = await self._client.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)
        try:
            while True:
                asked_for = {
                    "seq": revision + 1,
                    "next_by_subj": f"{self._prefix}>",
                    "batch": _PAGE,
                }
                await self._client.publish(
                    f"$JS.API.DIRECT.GET.{self._stream}",
                    json.dumps(asked_for).encode(),
                    reply=inbox,
                )
                count = 0
                async with asyncio.timeout(self._timeout):
                    while True:
                        message = await heard.next_msg(timeout=self._timeout)
                        headers = message.headers or {}
                        if "Status" in headers or "Nats-Sequence" not in headers:
                            break
                        count += 1
                        revision = int(headers["Nats-Sequence"])
                        key = headers["Nats-Subject"].removeprefix(self._prefix)
                        found.append(Entry(key, revision, message.data))
                if count < _PAGE:
                    return found
        finally:
            await heard.unsubscribe()


def _seconds(told: str) -> float:
    """Return a time of the servers in Unix seconds. Raises TimeoutError for one that is none."""
    found = unix_seconds(told)
    if found is None:
        raise TimeoutError(f"the servers told no time: {told[:40]!r}")
    return found
