"""What `yoi cluster doctor` looks at: whether a NATS deployment can be trusted with logs.

Nothing of a deployment's is changed; what is tried is written to a log of its own, and removed.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any, Literal

import nats.errors
from nats.aio.client import Client

from yoi.cluster.asking import Asking, Process
from yoi.cluster.bucket import UNSURE, Bucket, Taken
from yoi.cluster.bulletin import Bulletin
from yoi.cluster.publication import Expected, secrets_of, verify
from yoi.cluster.records import Book
from yoi.cluster.settings import ClusterSettings
from yoi.errors import YoiError
from yoi.journal.jetstream_server import NatsSettings, asked, check_seal, connected, wall_ms
from yoi.journal.server_clock import skew_ms
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey

Level = Literal["ok", "warn", "fail"]
_EXPECT = "Nats-Expected-Last-Subject-Sequence"
_WRONG_SEQUENCE, _IN_FLIGHT = 10071, 10164
_TRIES = 20
_SLOW_MS = 250
_SKEW_MS = 1_000
_FULL = 0.8
_NO_DUPLICATES_OF_OURS = 120_000_000_000
_FIX_STREAM = "nats stream edit, or another name in [cluster] and yoi journal copy"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `fix` is empty where there is nothing to do."""

    name: str
    level: Level
    message: str
    fix: str = ""


async def examine(
    settings: ClusterSettings,
    servers: NatsSettings,
    obeyed: Expected | None,
    limits: Limits = LIMITS,
) -> list[Finding]:
    """Return what is found; `obeyed` is what this machine believes of publications, if any.

    Raises nothing but for defects: what fails is a finding.
    """
    quick = replace(limits, journal_settle_ms=min(limits.journal_settle_ms, 4_000))
    found, versions = [], set()
    for url in servers.servers:
        finding, version = await _server(replace(servers, servers=(url,)), url, quick)
        found += finding
        versions |= {version} - {None}
    if versions:
        minors = sorted({version for version in versions if version is not None})
        if minors[-1][1] - minors[0][1] > 1 or minors[-1][0] != minors[0][0]:
            found.append(
                Finding(
                    "versions",
                    "warn",
                    f"the servers are of {len(minors)} versions, more than one minor apart",
                    "bring them to one version, one server after the other",
                )
            )
        found += [finding async for finding in _deployment(settings, servers, obeyed, quick)]
    return found


async def _server(
    servers: NatsSettings, url: str, limits: Limits
) -> tuple[list[Finding], tuple[int, int] | None]:
    """Look at one server by itself; return its version where it can be used."""
    try:
        client = await connected(servers, limits)
    except YoiError as exc:
        return [Finding("server", "fail", f"{url}: {exc.message}", exc.hint or "")], None
    try:
        version = client.connected_server_version
        found = [
            Finding("server", "ok", f"{url}: nats-server {version.major}.{version.minor}."
            f"{version.patch}, JetStream")
        ]  # fmt: skip
        least = limits.journal_record_bytes + 64 * 1024
        if client.max_payload < least:
            found.append(
                Finding(
                    "max_payload",
                    "fail",
                    f"{url} takes messages of {client.max_payload} bytes; a record may have "
                    f"{limits.journal_record_bytes}",
                    "max_payload: 8MB   # in the configuration of every NATS server",
                )
            )
        return found, (version.major, version.minor)
    finally:
        await client.close()


async def _deployment(
    settings: ClusterSettings, servers: NatsSettings, obeyed: Expected | None, limits: Limits
) -> AsyncIterator[Finding]:
    client = await connected(servers, limits)
    try:
        info = await asked(client, "INFO", {}, limits)
        for one in _account(info):
            yield one
        told = await asked(client, f"STREAM.INFO.{servers.stream}", {}, limits)
        if "config" not in told:
            yield Finding(
                "logs", "warn", "no host has run yet: the first one makes the stream of the logs"
            )
        else:
            clustered = "cluster" in told and bool((told["cluster"] or {}).get("name"))
            for one in _stream(told, settings, clustered):
                yield one
            yield _clock(told)
            yield _seal(servers, told["config"])
            yield await _fence(client, servers, limits)
        yield await _leases(client, settings, limits)
        if servers.seal is not None:
            async for one in _commands(client, servers, servers.seal, limits):
                yield one
        if obeyed is not None:
            yield await _publication(Bulletin(client, servers, limits), servers, obeyed, limits)
    except (YoiError, *UNSURE) as exc:
        words = exc.message if isinstance(exc, YoiError) else str(exc) or "no answer in time"
        yield Finding("reach", "fail", f"it could not be looked at to the end: {words}")
    finally:
        await client.close()


async def _commands(
    client: Client, servers: NatsSettings, key: DeploymentKey, limits: Limits
) -> AsyncIterator[Finding]:
    """Ask each machine whether it would take a command; none is given."""
    machines = Bucket(client, f"{servers.prefix}_leases", limits)
    book = Book(Bucket(client, f"{servers.prefix}_units", limits))
    asking = Asking(client, key, servers.prefix, machines, lambda: book, Process("", ""), limits)
    try:
        listening, silent = await asking.listening()
    except UNSURE:
        return  # no machine has run yet
    for name in silent:
        words = (
            f"{name} takes no commands of other machines: its key is another one, or it has none"
        )
        yield Finding("commands", "warn", words, "the same key_file of [cluster] in its host.toml")
    if listening and not silent:
        words = f"{len(listening)} machines take commands that are given on others"
        yield Finding("commands", "ok", words)


def _account(info: dict[str, Any]) -> list[Finding]:
    """Judge how much room the account has."""
    found = []
    limits, used = info.get("limits") or {}, int(info.get("storage", 0))
    most = int(limits.get("max_storage", -1))
    if most >= 0 and used > _FULL * most:
        found.append(
            Finding(
                "room",
                "warn" if used < most else "fail",
                f"the account uses {used} of {most} bytes: events wait when it is full",
                "more max_file for the account, or less size_bytes in [cluster]",
            )
        )
    streams = int(limits.get("max_streams", -1))
    if 0 <= streams <= int(info.get("streams", 0)):
        found.append(
            Finding(
                "streams",
                "warn",
                f"the account may have {streams} streams, and has them: five are needed",
                "more max_streams for the account",
            )
        )
    if not found:
        found.append(Finding("room", "ok", f"{used} bytes stored, within the account's bounds"))
    return found


def _stream(told: dict[str, Any], settings: ClusterSettings, clustered: bool) -> list[Finding]:
    config, state, found = told["config"], told["state"], []
    wrong = {
        "discard": config.get("discard") != "new",
        "max_age": bool(config.get("max_age")),
        "max_msgs_per_subject": config.get("max_msgs_per_subject", -1) > 0,
        "allow_direct": not config.get("allow_direct"),
        "allow_atomic": not config.get("allow_atomic"),
        "sealed": bool(config.get("sealed")),
        "persist_mode": config.get("persist_mode", "default") not in ("", "default"),
        "duplicate_window": config.get("duplicate_window") != _NO_DUPLICATES_OF_OURS,
    }
    for key in (key for key, is_wrong in wrong.items() if is_wrong):
        level: Level = "warn" if key == "duplicate_window" else "fail"
        words = f"{key} of the stream is {config.get(key)!r}, which no host has set"
        found.append(Finding("stream", level, words, _FIX_STREAM))
    copies = int(config.get("num_replicas", 1))
    if copies != settings.replicas:
        words = f"the logs have {copies} copies, and replicas in [cluster] says {settings.replicas}"
        fix = "nats stream edit --replicas, or change the setting"
        found.append(Finding("copies", "warn", words, fix))
    if copies == 1 and clustered:
        words = "one copy in a cluster of servers: the logs stand still while its server is away"
        found.append(Finding("copies", "warn", words, "replicas = 3 in [cluster]"))
    if copies == 1:
        words = (
            "one copy: a server acknowledges before it syncs unless it says otherwise, and a power "
            "cut then takes up to two minutes; this cannot be seen from here"
        )
        fix = "jetstream { sync_interval: always }   # or replicas = 3 on three machines"
        found.append(Finding("sync", "warn", words, fix))
    cluster = told.get("cluster") or {}
    if clustered and not cluster.get("leader"):
        found.append(Finding("leader", "fail", "the stream has no leader: nothing is appended"))
    for one in cluster.get("replicas") or []:
        if one.get("offline") or not one.get("current"):
            words = f"the copy on {one.get('name', '?')} is {one.get('lag', 0)} messages behind"
            found.append(Finding("copies", "warn", words, "look at that server's log"))
    most, used = int(config.get("max_bytes", -1)), int(state.get("bytes", 0))
    if most > 0 and used > _FULL * most:
        words = f"the logs take {used} of {most} bytes: events wait when it is full"
        found.append(Finding("room", "warn", words, "more size_bytes, and nats stream edit"))
    if not any(one.level == "fail" for one in found):
        words = f"{state.get('num_subjects', 0)} logs, {used} bytes, {copies} copies"
        found.insert(0, Finding("logs", "ok", words))
    return found


def _clock(told: dict[str, Any]) -> Finding:
    skew = skew_ms(told, wall_ms())
    if skew is None:
        return Finding("clock", "warn", "the servers do not tell their time")
    if abs(skew) <= _SKEW_MS:
        return Finding("clock", "ok", f"within {_SKEW_MS} ms of the servers'")
    level: Level = "fail" if abs(skew) > LIMITS.cluster_skew_ms else "warn"
    return Finding(
        "clock",
        level,
        f"this machine's clock is {abs(skew)} ms {'behind' if skew > 0 else 'ahead of'} the "
        "servers'",
        "set the clocks of all machines by NTP: timedatectl set-ntp true",
    )


async def _fence(client: Client, servers: NatsSettings, limits: Limits) -> Finding:
    """Let two writers append to one log at one position: exactly one may be taken."""
    subject = f"{servers.logs}doctor-{token_hex(8)}"
    timeout = limits.journal_request_ms / 1000
    headers = {_EXPECT: "0", "Yoi-Status": "0 0 0"}
    try:
        answers = await asyncio.gather(
            *(client.request(subject, b"", timeout=timeout, headers=headers) for _ in range(2))
        )
        told = [json.loads(answer.data) for answer in answers]
        read = await asked(
            client, f"STREAM.MSG.GET.{servers.stream}", {"last_by_subj": subject}, limits
        )
    except nats.errors.Error as exc:
        return Finding("fence", "fail", f"a log cannot be written: {exc or 'timeout'}")
    finally:
        await asked(client, f"STREAM.PURGE.{servers.stream}", {"filter": subject}, limits)
    codes = sorted(int(one.get("error", {}).get("err_code", 0)) for one in told)
    if codes[0] == 0 and codes[1] in (_WRONG_SEQUENCE, _IN_FLIGHT) and "message" in read:
        return Finding("fence", "ok", "of two writers at one position one is refused")
    if codes == [0, 0]:
        return Finding(
            "fence", "fail", "two writers were taken at one position: hosts would mix their logs",
            "nats-server 2.12 or newer on every server",
        )  # fmt: skip
    return Finding("fence", "fail", f"a log cannot be written: JetStream says {codes}")


async def _leases(client: Client, settings: ClusterSettings, limits: Limits) -> Finding:
    """Renew a lease of our own as a host does, and say how long that takes."""
    try:
        bucket = await Bucket.open(
            client,
            f"{settings.name}_leases",
            settings.lease_ms / 1000,
            settings.replicas,
            limits,
        )
    except YoiError as exc:
        return Finding("leases", "fail", exc.message, exc.hint or "")
    key, revision, took = f"doctor-{token_hex(8)}", 0, []
    try:
        for _ in range(_TRIES):
            begun = time.monotonic()
            revision = await bucket.put(key, b"{}", revision)
            took.append((time.monotonic() - begun) * 1000)
        await bucket.drop(key, revision)
    except (Taken, *UNSURE) as exc:
        return Finding("leases", "fail", f"a lease cannot be renewed: {exc or 'timeout'}")
    slowest = max(took)
    if slowest > _SLOW_MS:
        words = f"a renewal took {slowest:.0f} ms: a busy server can cost machines their leases"
        return Finding("leases", "warn", words, "faster disks for the servers, or more lease_ms")
    return Finding("leases", "ok", f"renewed in {slowest:.0f} ms at most")


def _seal(servers: NatsSettings, config: dict[str, Any]) -> Finding:
    try:
        check_seal(servers, config)
    except YoiError as exc:
        return Finding("key", "fail", exc.message, exc.hint or "")
    sealed = "with this machine's key" if servers.seal is not None else "with none"
    return Finding("key", "ok", f"records are sealed {sealed}")


async def _publication(
    bulletin: Bulletin, servers: NatsSettings, obeyed: Expected, limits: Limits
) -> Finding:
    """Say whether this machine would go by what is published now; nothing is remembered of it."""
    try:
        found = await bulletin.read()
        publication = verify(b"" if found is None else found[1], obeyed, wall_ms(), limits)
        secrets_of(publication.publication, servers.seal)
        for package in publication.publication.packages:
            await bulletin.package(package)
    except YoiError as exc:
        return Finding("publication", "fail", exc.message, exc.hint or "")
    published, now_ms = publication.publication, wall_ms()
    words = f"serial {published.serial}, for {published.days_left(now_ms):.0f} more days"
    if published.ends_soon(now_ms):
        return Finding("publication", "warn", words, "publish again: yoi cluster publish")
    return Finding("publication", "ok", words)
