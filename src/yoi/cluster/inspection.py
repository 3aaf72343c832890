"""What one machine can say of a deployment: who runs, how the servers are, what is wrong."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs
from nats.aio.client import Client

from yoi.cluster.bucket import UNSURE, Taken
from yoi.cluster.records import Book, Record
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import machines_of
from yoi.cluster.units import buckets_of
from yoi.errors import ClusterError, YoiError
from yoi.journal.jetstream_server import NatsSettings, asked, connected, wall_ms
from yoi.journal.server_clock import skew_ms
from yoi.limits import LIMITS, Limits
from yoi.protocol.moves import MoveReport
from yoi.types import rfc3339_ms

_FULL = 0.8
_SKEW_MS = 1_000


@dataclass(frozen=True, slots=True)
class ServerReport:
    """One server of `[cluster]`."""

    url: str
    version: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class MachineReport:
    """One process that lives, and how much it runs."""

    name: str
    session: str
    owns: int
    """Services and workers."""


@dataclass(frozen=True, slots=True)
class OwnerReport:
    """One service or worker of the deployment."""

    name: str
    """`service:NAME` or `worker:NAME`."""
    state: str
    """`owned`, `free`, `lapsed` (its machine has gone without a word) or `barred`."""
    machine: str
    """The machine that has it, or had it last."""
    epoch: int
    since: str
    moved_from: str
    takeovers: int
    barred: str
    moves: tuple[MoveReport, ...]
    """The last of its moves, newest last."""
    moved: int
    """How often it has moved in all."""


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What was found; `remarks` are what a person should look at."""

    machines: tuple[MachineReport, ...]
    """The machines that live."""
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
        machines, owners = await _owners(client, settings, limits)
        told = await asked(client, f"STREAM.INFO.{servers.stream}", {}, limits)
        state, config = told.get("state", {}), told.get("config", {})
        remarks += _remarks(told, config, state, settings)
        remarks += [f"{one.name} runs nowhere: {one.barred}" for one in owners if one.barred]
        return ClusterReport(
            machines=machines,
            servers=tuple(found),
            logs=int(state.get("num_subjects", 0)),
            records_bytes=int(state.get("bytes", 0)),
            size_bytes=int(config.get("max_bytes", settings.size_bytes)),
            replicas=int(config.get("num_replicas", 0)),
            remarks=tuple(remarks),
        )
    except UNSURE as exc:
        raise _unanswered(exc) from None
    finally:
        await client.close()


async def owners(
    settings: ClusterSettings, servers: NatsSettings, limits: Limits = LIMITS
) -> tuple[OwnerReport, ...]:
    """Return who owns each service and worker. Raises ClusterError."""
    client = await connected(servers, limits)
    try:
        return (await _owners(client, settings, limits))[1]
    except UNSURE as exc:
        raise _unanswered(exc) from None
    finally:
        await client.close()


async def release(
    settings: ClusterSettings, servers: NatsSettings, member: str, limits: Limits = LIMITS
) -> None:
    """Let machines take `member` again. Raises ClusterError, `cluster.unit_unknown` among them."""
    client = await connected(servers, limits)
    try:
        _, units = await buckets_of(client, settings, limits)
        book = Book(units)
        known = await book.again(member)
        if not known.revision:
            raise ClusterError(
                "cluster.unit_unknown",
                f"no machine has ever run {member}",
                hint="yoi cluster leases",
            )
        if known.record.barred:
            await book.write(member, structs.replace(known.record, barred="", takeovers=0))
    except (Taken, *UNSURE) as exc:
        raise _unanswered(exc) from None
    finally:
        await client.close()


def _unanswered(exc: Exception) -> ClusterError:
    return ClusterError(
        "cluster.unreachable",
        f"JetStream did not carry it out: {exc or type(exc).__name__}",
        hint="yoi cluster doctor",
    )


async def _owners(
    client: Client, settings: ClusterSettings, limits: Limits
) -> tuple[tuple[MachineReport, ...], tuple[OwnerReport, ...]]:
    machines, units = await buckets_of(client, settings, limits)
    living = machines_of(await machines.since())
    book = Book(units)
    await book.look()
    records = {name: book.known[name].record for name in sorted(book.known)}
    count = Counter(one.session for one in records.values())
    return (
        tuple(
            MachineReport(name, session, count[session])
            for session, name in sorted(living.items(), key=lambda one: (one[1], one[0]))
        ),
        tuple(
            OwnerReport(
                name=name,
                state=_state(one, living),
                machine=one.machine,
                epoch=one.epoch,
                since=rfc3339_ms(one.since_ms),
                moved_from=one.moved_from,
                takeovers=one.takeovers,
                barred=one.barred,
                moves=tuple(move.report() for move in one.moves),
                moved=one.moved,
            )
            for name, one in records.items()
        ),
    )


def _state(record: Record, living: Mapping[str, str]) -> str:
    if record.barred:
        return "barred"
    if not record.session:
        return "free"
    return "owned" if record.session in living else "lapsed"


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
        f"{one.get('name', '?')} ({one.get('lag', 0)} messages behind)"
        for one in (told.get("cluster") or {}).get("replicas") or []
        if one.get("offline") or not one.get("current")
    ]
    found += [f"the copy on {name} is not up to date" for name in behind]
    skew = skew_ms(told, wall_ms())
    if skew is not None and abs(skew) > _SKEW_MS:
        found.append(f"the clock of the servers is {skew} ms away from this machine's")
    return found
