"""A host of several: it waits for its turn, keeps its logs where the others find them."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex

from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import Tenure, bucket_of, holder_of, kept
from yoi.cluster.watchdog import Watchdog
from yoi.core.lease import LeaseTimes
from yoi.decisions.port import Decisions
from yoi.host.opened import Opened
from yoi.host.runtime_parts import closing
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings, connected
from yoi.journal.ownership import Ownership
from yoi.limits import Limits
from yoi.serving.secrets import WorkspaceSecrets


@dataclass(frozen=True, slots=True)
class Turn:
    """What a host has while it is its turn."""

    journal: JetStreamJournal
    ownership: Ownership
    over: asyncio.Event
    """Set when the host has to stop: another one may take over in a moment."""


async def turn(
    opened: Opened,
    workspace: Path,
    secrets_of: Path,
    decisions: Decisions,
    limits: Limits,
    waits: Callable[[str], None],
) -> Turn:
    """Wait until this host is the one that runs, and return what it runs with.

    `waits` is told what it waits for. Raises ClusterError, EnablementError, TrustError,
    SecretError.
    """
    settings = await asyncio.to_thread(ClusterSettings.load, workspace, decisions, limits)
    assert settings is not None, "[cluster] is there"
    servers = await servers_of(settings, secrets_of, decisions)
    times = LeaseTimes(settings.lease_ms / 1000)
    client = await connected(servers, limits)
    await opened.enter("the lease's connection", closing(client.close))
    bucket = await bucket_of(client, f"{servers.prefix}_leases", times.ttl, settings.replicas)
    holder = f"{socket.gethostname()}:{os.getpid()}:{token_hex(8)}"
    tenure = Tenure(bucket, holder, times, SUSPENSION_COUNTS, Watchdog())
    claiming = asyncio.ensure_future(tenure.claim())
    try:
        done, _ = await asyncio.wait([claiming], timeout=times.renew / 2)
        if not done:
            other = (await holder_of(bucket) or "another host").rpartition(":")[0]
            waits(f"standing by: {other or 'another host'} has the lease of {settings.name}")
        await claiming
    finally:
        claiming.cancel()
    await opened.enter("the lease", kept(tenure))
    journal = await JetStreamJournal.open(servers, limits)
    await opened.enter("the shared journal", closing(journal.close))
    return Turn(journal, tenure, tenure.over)


async def servers_of(
    settings: ClusterSettings, secrets_of: Path, decisions: Decisions
) -> NatsSettings:
    """Return where the servers are, with the password of the operator's secret store."""
    password = None
    if settings.password is not None:
        secrets = WorkspaceSecrets(secrets_of, decisions)
        await secrets.refresh()
        password = secrets.get(settings.password).reveal()
    return NatsSettings(
        servers=settings.nats,
        prefix=settings.name,
        replicas=settings.replicas,
        size_bytes=settings.size_bytes,
        user=settings.user,
        password=password,
    )


SUSPENSION_COUNTS = partial(
    time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
)
"""A clock that goes on while the machine sleeps."""
