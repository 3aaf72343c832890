"""`Bulletin`: where a deployment's publication and its packages are, on the NATS servers.

The publication is the one entry of a bucket, changed by compare-and-set and read from the stream's
leader; packages are objects named by their digests.
"""

import asyncio
import base64
import hashlib
import io
from collections.abc import Iterable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js.api import ObjectInfo
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyWrongLastSequenceError
from nats.js.object_store import ObjectStore

from yoi.cluster.bucket import UNSURE
from yoi.cluster.publication import PublishedPackage
from yoi.errors import ClusterError
from yoi.journal.jetstream_server import NatsSettings, asked, wall_ms
from yoi.journal.server_clock import check_clock
from yoi.limits import LIMITS, Limits

_KEY = "publication"
_HEADER_BYTES = 4096
_NO_STREAM, _NO_MESSAGE = 10059, 10037


class Bulletin:
    """See the module docstring. `client` is closed by whoever made it."""

    def __init__(self, client: Client, settings: NatsSettings, limits: Limits = LIMITS) -> None:
        self._client, self._settings, self._limits = client, settings, limits
        self._bucket = f"{settings.prefix}_conf"
        self._objects = f"{settings.prefix}_packages"

    async def mark(self) -> str:
        """Return what differs once something else may be published; empty where nothing ever was.

        It says whether to `read` again, at little cost: of which bucket, which revision. Raises
        ClusterError `cluster.unreachable`.
        """
        told = await asked(self._client, f"STREAM.INFO.KV_{self._bucket}", {}, self._limits)
        last = told.get("state", {}).get("last_seq", 0)
        return f"{told.get('created')} {last}" if last else ""

    async def read(self) -> tuple[int, bytes] | None:
        """Return the publication and its revision, None where nothing was ever published.

        Raises ClusterError `cluster.unreachable`.
        """
        told = await asked(
            self._client,
            f"STREAM.MSG.GET.KV_{self._bucket}",
            {"last_by_subj": f"$KV.{self._bucket}.{_KEY}"},
            self._limits,
        )
        if told.get("error"):
            if told["error"].get("err_code") in (_NO_STREAM, _NO_MESSAGE):
                return None
            raise self._failed(str(told["error"].get("description")))
        message: dict[str, Any] = told["message"]
        return int(message["seq"]), base64.b64decode(message.get("data", ""))

    async def write(self, data: bytes, after: int) -> None:
        """Put `data` in place of the publication of the revision `after` (0: of none).

        Raises ClusterError: `cluster.publication` where another one was there first,
        `cluster.too_large`, `cluster.unreachable`.
        """
        if len(data) > self._client.max_payload - _HEADER_BYTES:
            raise ClusterError(
                "cluster.too_large",
                f"the publication has {len(data)} bytes; the servers take "
                f"{self._client.max_payload}",
                hint="max_payload: 8MB   # in the configuration of every NATS server",
            )
        js = self._client.jetstream(timeout=5)
        try:
            bucket = await js.create_key_value(
                bucket=self._bucket, history=1, replicas=self._settings.replicas
            )
            told = await asked(self._client, f"STREAM.INFO.KV_{self._bucket}", {}, self._limits)
            # Signed by a clock that is ahead, it would be refused everywhere.
            check_clock(told, wall_ms(), self._limits)
            if after:
                await bucket.update(_KEY, data, last=after)
            else:
                await bucket.create(_KEY, data)
        except KeyWrongLastSequenceError:
            raise ClusterError(
                "cluster.publication",
                "somebody else published meanwhile; nothing of this was published",
                hint="look at what is there, then again: yoi cluster publish",
            ) from None
        except UNSURE as exc:
            raise self._failed(str(exc) or "timeout") from None

    async def put_packages(self, packages: Iterable[tuple[PublishedPackage, bytes]]) -> None:
        """Store the archives that the servers do not hold yet. Raises ClusterError."""
        js = self._client.jetstream(timeout=10)
        try:
            store = await js.create_object_store(
                bucket=self._objects, replicas=self._settings.replicas
            )
            for package, data in packages:
                found = await _info(store, package)
                if found is None or found.digest != _object_digest(data):
                    await store.put(_name(package), data)
        except UNSURE as exc:
            raise self._failed(str(exc) or "timeout") from None

    async def package(self, package: PublishedPackage) -> bytes:
        """Return what the servers hold under the package's digest; it is checked by the caller.

        Raises ClusterError: `cluster.package` where nothing is, `cluster.unreachable`.
        """
        js = self._client.jetstream(timeout=5)
        try:
            async with asyncio.timeout(self._limits.journal_settle_ms / 1000):
                store = await js.object_store(self._objects)
                found = await _info(store, package)
                if found is None or found.size != package.size_bytes:
                    raise ClusterError(
                        "cluster.package",
                        f"the servers do not hold {package.reference} as it was published",
                        hint="publish again, where a person decides: yoi cluster publish",
                    )
                taken = _Bounded(self._limits.package_bytes)
                await store.get(_name(package), writeinto=taken)
                return taken.getvalue()
        except UNSURE as exc:
            raise self._failed(f"{package.reference}: {exc or 'timeout'}") from None

    async def drop_packages(self, but: Iterable[PublishedPackage]) -> None:
        """Remove the archives that are none of `but`. Raises ClusterError."""
        kept = {_name(one) for one in but}
        js = self._client.jetstream(timeout=5)
        try:
            store = await js.object_store(self._objects)
            for info in await store.list(ignore_deletes=True):
                if info.name not in kept:
                    await store.delete(info.name)
        except nats.errors.Error:
            return  # nothing was ever stored
        except (TimeoutError, OSError, JetStreamError) as exc:
            raise self._failed(str(exc) or "timeout") from None

    def _failed(self, why: str) -> ClusterError:
        return ClusterError(
            "cluster.unreachable",
            f"{self._bucket} on the NATS servers: {why}",
            hint="yoi cluster doctor",
        )


def _name(package: PublishedPackage) -> str:
    return package.digest.removeprefix("sha256:")


def _object_digest(data: bytes) -> str:
    return "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()


async def _info(store: ObjectStore, package: PublishedPackage) -> ObjectInfo | None:
    try:
        found = await store.get_info(_name(package))
    except JetStreamError:
        return None
    return None if found.deleted else found


class _Bounded(io.BytesIO):
    """Takes so many bytes and no more, whatever the servers say an object has."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any) -> int:
        """Take `data`. Raises OSError for too much."""
        if self.tell() + len(data) > self._most:
            raise OSError(f"it has more than {self._most} bytes")
        return super().write(data)
