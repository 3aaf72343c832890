"""What one machine can say of a deployment: who runs, how the servers are, what is wrong."""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nats.js.errors import Error as JetStreamError

from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import bucket_of, holder_of
from yoi.errors import YoiError
from yoi.journal.jetstream_server import NatsSettings, asked, connected
from yoi.limits import LIMITS, Limits

_FULL = 0.8
_SKEW_MS = 1_000


@dataclass(frozen=True, slots=True)
class ServerReport:
    """One server of `[cluster]`."""

    url: str
    version: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What was found; `remarks` are what a person should look at."""

    holder: str | None
    """The host that runs, as it calls itself; None where nobody does."""
    servers: tuple[ServerReport, ...]
    logs: int
    records_bytes: int
    size_bytes: int
    replicas: int
    remarks: tuple[str, ...]


async def inspect(
    settings: ClusterSettings, servers: NatsSettings, limits: Limits = LIMITS
) -> ClusterReport:
    """Return the report; nothing is made or changed but a bucket that is missing.

    Raises ClusterError where no server can be used at all.
    """
    found = await asyncio.gather(*(_server(servers, url, limits) for url in servers.servers))
    remarks = [f"{one.url}: {one.fault}" for one in found if one.fault is not None]
    client = await connected(servers, limits)
    try:
        bucket = await bucket_of(
            client, f"{servers.prefix}_leases", settings.lease_ms / 1000, settings.replicas
        )
        holder = await holder_of(bucket)
        told = await asked(client, f"STREAM.INFO.{servers.stream}", {}, limits)
        state, config = told.get("state", {}), told.get("config", {})
        remarks += _remarks(told, config, state, settings)
        return ClusterReport(
            holder=None if not holder else holder.rpartition(":")[0],
            servers=tuple(found),
            logs=int(state.get("num_subjects", 0)),
            records_bytes=int(state.get("bytes", 0)),
            size_bytes=int(config.get("max_bytes", settings.size_bytes)),
            replicas=int(config.get("num_replicas", 0)),
            remarks=tuple(remarks),
        )
    except JetStreamError as exc:
        raise YoiError("cluster.unreachable", f"JetStream: {exc}") from None
    finally:
        await client.close()


async def _server(servers: NatsSettings, url: str, limits: Limits) -> ServerReport:
    quick = replace(limits, journal_settle_ms=min(limits.journal_settle_ms, 3_000))
    try:
        client = await connected(replace(servers, servers=(url,)), quick)
    except YoiError as exc:
        return ServerReport(url, None, exc.message)
    found = client.connected_server_version
    version = f"{found.major}.{found.minor}.{found.patch}"
    await client.close()
    return ServerReport(url, version, None)


def _remarks(
    told: dict[str, Any], config: dict[str, Any], state: dict[str, Any], settings: ClusterSettings
) -> list[str]:
    if not config:
        return ["no host has run yet: the stream of the logs is made by the first one"]
    found = []
    if config.get("num_replicas") != settings.replicas:
        found.append(
            f"the logs have {config.get('num_replicas')} copies, and replicas says "
            f"{settings.replicas}: change the stream, or the setting"
        )
    if config.get("num_replicas") == 1:
        found.append(
            "one copy: a power cut may take what was acknowledged in the last two minutes, unless "
            "the server says sync_interval: always"
        )
    most = config.get("max_bytes", 0)
    if most > 0 and state.get("bytes", 0) > _FULL * most:
        found.append(f"the logs take over {_FULL:.0%} of size_bytes: events will wait when full")
    behind = [
        one.get("name", "?")
        for one in (told.get("cluster") or {}).get("replicas") or []
        if one.get("offline") or not one.get("current")
    ]
    found += [f"the copy on {name} is not up to date" for name in behind]
    skew = _skew_ms(told.get("ts"))
    if skew is not None and abs(skew) > _SKEW_MS:
        found.append(f"the clock of the servers is {skew} ms away from this machine's")
    return found


def _skew_ms(told: str | None) -> int | None:
    try:
        there = datetime.fromisoformat(f"{(told or '')[:26].rstrip('Z')}+00:00")
    except ValueError:
        return None
    return int(there.timestamp() * 1000) - time.time_ns() // 1_000_000
