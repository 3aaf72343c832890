"""What a backend and a runtime of a `[cluster]` need to find each other."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from yoi.backend.cluster_source import ClusterSource
from yoi.cluster.asking import Asking, Process
from yoi.cluster.directory import Address, Directory, registered, this_network
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.units import buckets_of
from yoi.control.server import Method
from yoi.decisions.port import Decisions
from yoi.host.clustered import Membership, machine_name, servers_of
from yoi.host.commands import COMMAND
from yoi.host.forwarding import Forwarding
from yoi.host.opened import Opened
from yoi.host.runtime_parts import closing
from yoi.journal.jetstream_server import connected
from yoi.limits import Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.host_settings import HostSettings
from yoi.serving.identity import upstream_token
from yoi.serving.listeners import TlsFiles
from yoi.serving.principals import Principal
from yoi.types import Clock

_END = "-----END CERTIFICATE-----"


async def cluster_source(
    opened: Opened,
    workspace: Path,
    decisions: Decisions,
    machine: HostSettings,
    key: DeploymentKey,
    clock: Clock,
    limits: Limits,
) -> tuple[ClusterSource, Forwarding]:
    """Return the runtimes of the workspace's `[cluster]` as one, and the way of commands to them.

    Raises ClusterError.
    """
    settings = await asyncio.to_thread(ClusterSettings.load, workspace, decisions, limits)
    assert settings is not None, "[cluster] is there"
    client = await connected(await servers_of(settings, workspace, decisions), limits)
    await opened.enter("the cluster's connection", closing(client.close))
    machines, units = await buckets_of(client, settings, limits)
    directory = Directory(machines, units, key)
    this = Process("", machine_name(machine))
    asking = Asking(client, key, settings.name, machines, lambda: directory.book, this, limits)
    source = ClusterSource(settings.name, directory, upstream_token(key), clock, limits)
    return source, Forwarding(asking, {}, limits)


def methods_of_cluster(forwarding: Forwarding, workspace: Path) -> dict[str, Method]:
    """Return what the control socket of a backend answers about the machines of its cluster."""

    async def status(_: dict[str, Any]) -> Any:
        return {"pid": os.getpid(), "workspace": str(workspace), "services": 0, "starting": False}

    return {**forwarding.methods, "host.status": status}


class ClusterCommands:
    """A `yoi.backend.commands.CommandPort` to the workers of all machines of a deployment."""

    def __init__(self, deployment: str, forwarding: Forwarding) -> None:
        self._deployment = deployment
        self._forwarding = forwarding

    def reaches(self, subject: Subject) -> bool:
        """Return whether it is a worker of the deployment."""
        return subject.kind is SubjectKind.WORKER and subject.runtime_id == self._deployment

    async def send(
        self, subject: Subject, command: str, arguments: dict[str, Any], principal: Principal
    ) -> Any:
        """Have the worker's machine carry it out; history records `principal`. Raises YoiError."""
        params = {
            "name": subject.name,
            "command": command,
            "arguments": arguments,
            "by": str(principal),
        }
        told = await self._forwarding.to_owner(f"worker:{subject.name}", COMMAND, params)
        return msgspec.json.decode(told.ok)


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
