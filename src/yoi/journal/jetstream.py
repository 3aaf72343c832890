"""A journal in a stream of NATS JetStream, for a host that may lose its machine.

One stream holds all logs, one subject is a log, one message a commit; the expected last sequence of
the subject is the fence: of two writers one is refused by the server. A message's header says how
much its log holds after it. Facts and traps that this module rests on: docs/decisions/cluster.md.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from struct import pack, unpack_from
from typing import Any
from uuid import uuid4

import nats.errors
from nats.aio.client import Client

from yoi.errors import JournalError, SecretError
from yoi.journal.jetstream_server import (
    NatsSettings,
    connected,
    denied,
    finish_copy,
    prepare,
    prepare_copy,
)
from yoi.journal.log import Append, LogStatus, Record, check_appends, check_fit, check_name
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey

_EXPECT = "Nats-Expected-Last-Subject-Sequence"
_STATUS = "Yoi-Status"
_ID = "Yoi-Id"
_NOTHING = LogStatus(head=0, records=0, size_bytes=0)
_HEADER_BYTES = 4096
"""Room for headers: the server counts them as payload, and closes the connection over it."""
_SEAL_BYTES = 64
"""What sealing adds to a message, and more."""
_WRONG_SEQUENCE, _IN_FLIGHT, _FULL = 10071, 10164, 10077
_NO_MESSAGE = 10037
_READ_AT_ONCE = 256
_AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Put:
    """One message: what one commit appends to one log."""

    log: str
    expected: int
    """The stream's sequence of the log's last message; 0 for a new log."""
    status: LogStatus
    """What the log holds afterwards."""
    data: bytes


@dataclass(frozen=True, slots=True)
class _Stored:
    """A message as the stream holds it."""

    sequence: int
    headers: dict[str, str]

    @classmethod
    def of(cls, told: dict[str, Any]) -> "_Stored":
        """Return the message in an answer of the server: `NATS/1.0`, then lines `Name: value`."""
        lines = base64.b64decode(told.get("hdrs", "")).decode().split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return cls(int(told["seq"]), {name: value.strip() for name, _, value in pairs})


class _Refused(Exception):
    """The server's answer to a request, by its error code."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class JetStreamJournal:
    """A `yoi.journal.log.Journal` in a stream; it belongs to one event loop.

    `client` is connected, buffers nothing while it is not, and is closed with the journal.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        prefix: str,
        limits: Limits = LIMITS,
        now: Callable[[], float] | None = None,
        seal: DeploymentKey | None = None,
    ) -> None:
        """`prefix` begins the subjects of all logs, with a dot at its end; `seal` seals them."""
        self._seal = seal
        self._client = client
        self._stream = stream
        self._prefix = prefix
        self._limits = limits
        self._now = now or asyncio.get_running_loop().time
        self._known: dict[str, tuple[int, LogStatus]] = {}
        """Per log: the sequence of its last message, and what it holds, as this writer knows it."""
        self._ways: dict[str, tuple[int, int]] = {}
        """Per log: a position that was read, and the sequence of the message after it."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._closed = False

    @classmethod
    async def open(cls, settings: NatsSettings, limits: Limits = LIMITS) -> "JetStreamJournal":
        """Return the journal of a deployment; its stream is made where it is missing.

        Raises ClusterError where the servers cannot be trusted with it as they are.
        """
        return await cls._opened(settings, limits, prepare)

    @classmethod
    async def open_to_copy(cls, settings: NatsSettings, limits: Limits) -> "JetStreamJournal":
        """Return the journal of a deployment to be copied into; no host opens it until `copied`.

        Raises as `open`.
        """
        return await cls._opened(settings, limits, prepare_copy)

    @classmethod
    async def _opened(
        cls,
        settings: NatsSettings,
        limits: Limits,
        prepared: Callable[[Client, NatsSettings, Limits], Awaitable[None]],
    ) -> "JetStreamJournal":
        client = await connected(settings, limits)
        try:
            await prepared(client, settings, limits)
        except BaseException:
            await client.close()
            raise
        return cls(client, settings.stream, settings.logs, limits, seal=settings.seal)

    async def copied(self) -> None:
        """Let hosts open the journal: the copy into it is whole."""
        await finish_copy(self._client, self._stream, self._limits)

    async def commit(self, appends: Sequence[Append]) -> None:
        """Append all of `appends` or nothing; one message a log, several as one atomic batch."""
        self._open()
        check_appends(appends, self._limits)
        async with contextlib.AsyncExitStack() as held:
            for log in sorted(append.log for append in appends):
                await held.enter_async_context(self._lock(log))
            known = all(append.log in self._known for append in appends)
            try:
                await self._put([await self._fitting(append) for append in appends])
            except JournalError as exc:
                if exc.code != "journal.conflict" or not known:
                    raise
                # What this writer remembered may be older than a trim, which moves no head.
                await self._put([await self._fitting(append) for append in appends])

    async def read(self, log: str, after: int, limit: int) -> list[Record]:
        """Return the records that follow `after`."""
        self._open()
        check_name(log, self._limits)
        found: list[Record] = []
        size = 0
        most = min(limit, self._limits.journal_batch)
        async with self._lock(log):
            head, status = await self._last(log)
            first = max(after, status.head - status.records)
            at, start = self._ways.get(log, (0, 1))
            async for sequence, records in self._messages(log, start if at <= first else 1, head):
                for record in records:
                    if record.seq <= first:
                        continue
                    size += len(record.data)
                    if len(found) >= most or (found and size > self._limits.journal_batch_bytes):
                        return found
                    found.append(record)
                if records and records[-1].seq <= first + len(found):
                    self._ways[log] = (records[-1].seq, sequence + 1)
        return found

    async def status(self, log: str) -> LogStatus:
        """Return how much `log` holds, as the stream's leader says."""
        self._open()
        check_name(log, self._limits)
        async with self._lock(log):
            return (await self._last(log))[1]

    async def trim(self, log: str, through: int) -> None:
        """Drop the records up to `through`; a message without records carries the head on."""
        self._open()
        check_name(log, self._limits)
        async with self._lock(log):
            head, status = await self._last(log)
            first, through = status.head - status.records + 1, min(through, status.head)
            if through < first:
                return
            size = keep = 0
            async for sequence, records in self._messages(log, 1, head):
                size += sum(len(one.data) for one in records if first <= one.seq <= through)
                if not keep and records and records[-1].seq > through:
                    keep = sequence
            left = LogStatus(status.head, status.head - through, status.size_bytes - size)
            await self._put([_Put(log, head, left, b"")])
            # The last message stays: an empty subject would forget its fence.
            cut = keep or self._known[log][0]
            if cut > 1:
                await self._api(f"STREAM.PURGE.{self._stream}", filter=self._subject(log), seq=cut)
            self._ways.pop(log, None)

    async def reset(self, log: str, head: int) -> None:
        """Make `log` an empty one at position `head`, by a message without records."""
        self._open()
        check_name(log, self._limits)
        async with self._lock(log):
            last, _ = await self._last(log)
            await self._check_room(last)
            await self._put([_Put(log, last, LogStatus(head, 0, 0), b"")])
            if last:
                cut = self._known[log][0]
                await self._api(f"STREAM.PURGE.{self._stream}", filter=self._subject(log), seq=cut)
            self._ways.pop(log, None)

    async def logs(self) -> list[str]:
        """Return the names of the logs."""
        self._open()
        names: list[str] = []
        while True:
            told = await self._api(
                f"STREAM.INFO.{self._stream}", subjects_filter=f"{self._prefix}>", offset=len(names)
            )
            subjects = told["state"].get("subjects") or {}
            names += [one.removeprefix(self._prefix).replace("=", ".") for one in subjects]
            if not subjects or len(names) >= told.get("total", len(names)):
                return sorted(names)

    async def close(self) -> None:
        """Close the connection; what was not acknowledged may be stored or not."""
        if not self._closed:
            self._closed = True
            await self._client.close()

    # -- writing ----------------------------------------------------------------------------------

    async def _fitting(self, append: Append) -> _Put:
        if append.log not in self._known or self._known[append.log][1].head != append.after:
            await self._last(append.log)
        sequence, before = self._known[append.log]
        after = check_fit(append, before)
        await self._check_room(sequence)
        data = b"".join(pack(">I", len(one)) + bytes(one) for one in append.records)
        if len(data) + _SEAL_BYTES > self._client.max_payload - _HEADER_BYTES:
            raise JournalError(
                "journal.too_large",
                f"a commit of {len(data)} bytes; the server takes {self._client.max_payload}",
                hint="max_payload: 8MB   # in the configuration of every NATS server",
            )
        return _Put(append.log, sequence, after, data)

    async def _check_room(self, sequence: int) -> None:
        """Raise JournalError where a log whose last message has this sequence is one too many."""
        if not sequence and len(await self.logs()) >= self._limits.journal_logs:
            raise JournalError(
                "journal.full", f"the journal holds {self._limits.journal_logs} logs already"
            )

    async def _put(self, puts: Sequence[_Put]) -> None:
        """Store `puts`, and settle what is not known by asking again with the same expectation.

        Reading alone settles nothing: a message may wait in a socket, and be stored later.
        """
        record_id = uuid4().hex
        until = self._now() + self._limits.journal_settle_ms / 1000
        doubtful = False
        while True:
            try:
                last = await self._publish(puts, record_id)
                break
            except _Refused as exc:
                if exc.code == _IN_FLIGHT and self._now() < until:
                    doubtful = True
                elif exc.code == _WRONG_SEQUENCE and doubtful:
                    # No try of ours can be stored any more. One may have been.
                    found = await self._message(puts[-1].log)
                    if found is not None and found.headers.get(_ID) == record_id:
                        last = found.sequence
                        break
                    raise self._lost(puts, exc) from None
                else:
                    raise self._lost(puts, exc) from None
            except (TimeoutError, nats.errors.Error, OSError) as exc:
                if self._now() >= until:
                    self._forget(puts)
                    raise JournalError(
                        "journal.io",
                        f"whether a commit was stored is not known: "
                        f"{denied(self._client) or exc or 'timeout'}",
                    ) from None
                doubtful = True
            await asyncio.sleep(_AGAIN_SECONDS)
        for index, put in enumerate(puts, last - len(puts) + 1):
            self._known[put.log] = index, put.status

    async def _publish(self, puts: Sequence[_Put], record_id: str) -> int:
        """Return the stream's sequence of the last of `puts`, which follow one another."""
        batch = uuid4().hex
        for number, put in enumerate(puts, 1):
            status = f"{put.status.head} {put.status.records} {put.status.size_bytes}"
            data = self._sealed(put.log, status, put.data)
            headers = {_EXPECT: str(put.expected), _STATUS: status, _ID: record_id}
            if len(puts) > 1:
                headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number < len(puts):
                await self._client.publish(self._subject(put.log), data, headers=headers)
                continue
            if len(puts) > 1:
                headers["Nats-Batch-Commit"] = "1"
            answer = await self._client.request(
                self._subject(put.log), data, timeout=self._timeout, headers=headers
            )
        told = _answer(answer.data)
        return int(told["seq"])

    def _lost(self, puts: Sequence[_Put], exc: _Refused) -> JournalError:
        self._forget(puts)
        names = ", ".join(put.log for put in puts)
        if exc.code in (_WRONG_SEQUENCE, _IN_FLIGHT):
            return JournalError("journal.conflict", f"another writer has appended to {names}")
        if exc.code == _FULL:
            return JournalError("journal.full", f"the stream {self._stream} is full: {exc}")
        return JournalError("journal.io", f"the stream {self._stream} refused: {exc}")

    def _forget(self, puts: Sequence[_Put]) -> None:
        for put in puts:
            self._known.pop(put.log, None)

    # -- reading ----------------------------------------------------------------------------------

    async def _last(self, log: str) -> tuple[int, LogStatus]:
        """Return the sequence of a log's last message and what the log holds, from the leader."""
        found = await self._message(log)
        if found is None:
            self._known[log] = 0, _NOTHING
        else:
            self._known[log] = found.sequence, _status(found.headers)
        return self._known[log]

    async def _message(self, log: str) -> "_Stored | None":
        """Return the last message of a log as the stream's leader knows it: never a direct get."""
        try:
            told = await self._api(
                f"STREAM.MSG.GET.{self._stream}", last_by_subj=self._subject(log)
            )
        except _Refused as exc:
            if exc.code == _NO_MESSAGE:
                return None
            raise JournalError("journal.io", f"{self._stream} cannot be read: {exc}") from None
        return _Stored.of(told["message"])

    async def _messages(
        self, log: str, start: int, head: int
    ) -> AsyncIterator[tuple[int, list[Record]]]:
        """Yield each message from the sequence `start` to `head`: its sequence and its records.

        A replica that lags answers short; it is asked again until the head was seen.
        """
        inbox = self._client.new_inbox()
        heard = await self._client.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)
        until = self._now() + self._limits.journal_settle_ms / 1000
        try:
            while start <= head:
                asked = {"seq": start, "next_by_subj": self._subject(log), "batch": _READ_AT_ONCE}
                await self._client.publish(
                    f"$JS.API.DIRECT.GET.{self._stream}", json.dumps(asked).encode(), reply=inbox
                )
                before = start
                while True:
                    try:
                        message = await heard.next_msg(timeout=self._timeout)
                    except TimeoutError:
                        break  # asked again, from where it stopped
                    headers = message.headers or {}
                    if "Status" in headers:
                        break
                    if int(headers["Nats-Sequence"]) < start:
                        continue  # of an answer that was given up
                    start = int(headers["Nats-Sequence"]) + 1
                    data = self._opened_data(log, headers[_STATUS], message.data)
                    yield start - 1, _records(data, _status(headers).head)
                if start == before:
                    if self._now() >= until:
                        raise JournalError("journal.io", f"{log} is not whole on its replicas")
                    await asyncio.sleep(_AGAIN_SECONDS)
        except (TimeoutError, nats.errors.Error) as exc:
            raise JournalError("journal.io", f"{log} cannot be read: {exc or 'timeout'}") from None
        finally:
            with contextlib.suppress(nats.errors.Error):
                await heard.unsubscribe()

    async def _api(self, what: str, **request: Any) -> dict[str, Any]:
        """Return the answer to a request that may be made again: a read, or a purge."""
        data = json.dumps(request).encode()
        until = self._now() + self._limits.journal_settle_ms / 1000
        while True:
            try:
                answer = await self._client.request(f"$JS.API.{what}", data, timeout=self._timeout)
                return _answer(answer.data)
            except (TimeoutError, nats.errors.Error) as exc:
                if self._closed or self._now() >= until:
                    why = denied(self._client) or exc or "timeout"
                    words = f"NATS did not answer {what.partition('.')[0]}: {why}"
                    raise JournalError("journal.io", words) from None
            await asyncio.sleep(_AGAIN_SECONDS)

    # -- sealing ----------------------------------------------------------------------------------

    def _sealed(self, log: str, status: str, data: bytes) -> bytes:
        """Return what is stored: bound to the log, and to what it holds with this message."""
        if self._seal is None:
            return data
        return self._seal.seal(f"log {log}", status, data)

    def _opened_data(self, log: str, status: str, data: bytes) -> bytes:
        if self._seal is None:
            return data
        try:
            return self._seal.open(f"log {log}", status, data)
        except SecretError:
            raise JournalError(
                "journal.sealed",
                f"{log} holds what was not sealed there with this deployment's key",
                hint="find out who writes to the servers: nothing of it is believed",
            ) from None

    # -- names ------------------------------------------------------------------------------------

    @property
    def _timeout(self) -> float:
        return self._limits.journal_request_ms / 1000

    def _subject(self, log: str) -> str:
        # A dot would split the token; `=` stands in no name.
        return self._prefix + log.replace(".", "=")

    def _lock(self, log: str) -> asyncio.Lock:
        return self._locks.setdefault(log, asyncio.Lock())

    def _open(self) -> None:
        if self._closed:
            raise JournalError("journal.closed", "the journal is closed")


def _answer(data: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(data)
    error = told.get("error")
    if error:
        raise _Refused(int(error.get("err_code", 0)), str(error.get("description", "")))
    return told


def _status(headers: Any) -> LogStatus:
    head, records, size = map(int, headers[_STATUS].split())
    return LogStatus(head=head, records=records, size_bytes=size)


def _records(data: bytes, head: int) -> list[Record]:
    """Return the records in one message, the last of which is at `head`."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        (size,) = unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return [Record(head - len(found) + number, one) for number, one in enumerate(found, 1)]
