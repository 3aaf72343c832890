"""What a backend and a runtime of a `[cluster]` need to find each other."""

import asyncio
import contextlib
from pathlib import Path

from yoi.backend.cluster_source import ClusterSource
from yoi.cluster.directory import Address, Directory, registered, this_network
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.units import buckets_of
from yoi.decisions.port import Decisions
from yoi.host.clustered import Membership, servers_of
from yoi.host.opened import Opened
from yoi.host.runtime_parts import closing
from yoi.journal.jetstream_server import connected
from yoi.limits import Limits
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.identity import upstream_token
from yoi.serving.settings import TlsFiles
from yoi.types import Clock

_END = "-----END CERTIFICATE-----"


async def cluster_source(
    opened: Opened,
    workspace: Path,
    decisions: Decisions,
    key: DeploymentKey,
    clock: Clock,
    limits: Limits,
) -> ClusterSource:
    """Return the runtimes of the workspace's `[cluster]` as one. Raises ClusterError."""
    settings = await asyncio.to_thread(ClusterSettings.load, workspace, decisions, limits)
    assert settings is not None, "[cluster] is there"
    client = await connected(await servers_of(settings, workspace, decisions), limits)
    await opened.enter("the cluster's connection", closing(client.close))
    machines, units = await buckets_of(client, settings, limits)
    directory = Directory(machines, units, key)
    return ClusterSource(settings.name, directory, upstream_token(key), clock, limits)


def registration(
    cluster: Membership, key: DeploymentKey, url: str, tls: TlsFiles | None
) -> contextlib.AbstractAsyncContextManager[None]:
    """Return what lets backends of the deployment find the listener at `url` while entered."""
    tenure = cluster.tenure
    where = url.replace("http", "ws", 1)

    def address() -> Address:
        # Read again each time: a certificate may have been renewed.
        if tls is None:
            return Address(tenure.machine, where, network=this_network())
        return Address(tenure.machine, where, _first(tls.certificate))

    return registered(tenure.bucket, key, tenure.session, address, tenure.lease.times.renew)


def _first(certificates: Path) -> str:
    """Return the listener's own certificate: what follows it in the file has issued others, too."""
    text = certificates.read_text()
    return text[: text.index(_END) + len(_END)] + "\n"
