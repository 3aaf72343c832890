"""Where the runtimes of a deployment can be watched, and which of them has what.

Each runtime renews one key of the bucket of machines, sealed with the deployment's key: an address
that somebody else put there is not believed. What lapses is gone.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec

from yoi.cluster.bucket import UNSURE, Bucket, Taken
from yoi.cluster.records import Book, Record
from yoi.errors import SecretError
from yoi.secrets.deployment import DeploymentKey
from yoi.tasks import ended

_KIND = "runtime."
_PURPOSE = "address of a runtime"


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one runtime listens for backends."""

    machine: str
    url: str
    """`ws(s)://HOST:PORT`."""
    certificate: str = ""
    """PEM: the one that the listener shows, and that a backend accepts; empty without TLS."""
    network: str = ""
    """Without TLS: of which machine's loopback the address is."""


def this_network() -> str:
    """Return what tells this machine's (or container's) loopback from another one's."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return socket.gethostname()


@contextlib.asynccontextmanager
async def registered(
    bucket: Bucket,
    key: DeploymentKey,
    session: str,
    address: Callable[[], Address],
    renew: float,
) -> AsyncIterator[None]:
    """Let backends find what `address` says while entered; asked again every `renew` seconds."""
    renewing = asyncio.ensure_future(_renew(bucket, key, session, address, renew))
    try:
        yield
    finally:
        await ended(renewing)
        with contextlib.suppress(Taken, *UNSURE):
            found = await bucket.last(_KIND + session)
            if found is not None:
                await bucket.drop(_KIND + session, found.revision)


async def _renew(
    bucket: Bucket,
    key: DeploymentKey,
    session: str,
    address: Callable[[], Address],
    renew: float,
) -> None:
    revision, told = 0, await asyncio.to_thread(address)
    while True:
        # A certificate that is just being written is looked at the next time.
        with contextlib.suppress(OSError, ValueError):
            told = await asyncio.to_thread(address)
        data = key.seal(_PURPOSE, session, msgspec.json.encode(told))
        try:
            revision = await bucket.put(_KIND + session, data, revision)
        except Taken:
            # A renewal of unknown end was stored after all, or the key has lapsed.
            with contextlib.suppress(*UNSURE):
                found = await bucket.last(_KIND + session)
                revision = 0 if found is None else found.revision
            await asyncio.sleep(renew / 4)
            continue
        except UNSURE:
            pass
        await asyncio.sleep(renew)


class Directory:
    """What is known of the deployment's runtimes, as of the last `look`."""

    def __init__(self, machines: Bucket, units: Bucket, key: DeploymentKey) -> None:
        self._machines, self._key, self._network = machines, key, this_network()
        self._units = units
        self.book = Book(units)
        """Who owns what; another one where the bucket was made anew."""
        self.addresses: Mapping[str, Address] = {}
        """By session: what a runtime is known by, for as long as its process lives."""

    async def look(self) -> None:
        """Read what the servers know. Raises UNSURE."""
        found = {}
        for one in await self._machines.since():
            session = one.key.removeprefix(_KIND)
            if one.key.startswith(_KIND) and one.data:
                # Somebody else's is not there for us.
                with contextlib.suppress(SecretError, msgspec.DecodeError):
                    data = self._key.open(_PURPOSE, session, one.data)
                    address = msgspec.json.decode(data, type=Address)
                    # At another machine's loopback address something else listens here.
                    if address.certificate or address.network == self._network:
                        found[session] = address
        self.addresses = found
        if not await self.book.look():
            # Removed, and perhaps made anew: what stood in it says nothing of who has what.
            self._units.made = (await self._units.origin()).made
            self.book = Book(self._units)
            await self.book.look()

    @property
    def records(self) -> Mapping[str, Record]:
        """Return what is written of each service and worker that a machine has ever had."""
        return {name: one.record for name, one in self.book.known.items()}
