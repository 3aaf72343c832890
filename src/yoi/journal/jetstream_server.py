"""What a NATS deployment must be like before anything is entrusted to it, and how it is reached."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.aio.client import Client

from yoi.errors import ClusterError, JournalError
from yoi.journal.server_clock import check_clock
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey

if TYPE_CHECKING:
    import ssl

OLDEST = "2.12"
"""Older servers let two writers through the fence on three replicas (measured)."""
_NO_STREAM, _NO_ROOM = 10059, 10047
_AGAIN_SECONDS = 0.2
_COPYING = "yoi-copying"
"""In the stream's metadata while it is being copied into."""
_REFUSED = "uthorization"
"""In what servers and client say of a sign-in that was refused, however it is spelt."""
_SEAL = "yoi-seal"
"""In the stream's metadata: the id of the key with which records are sealed."""


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """Where the servers of a deployment are, and what is ours on them."""

    servers: tuple[str, ...]
    """URLs, `nats://HOST:PORT` or `tls://HOST:PORT`."""
    prefix: str = "yoi"
    """The name of this deployment on the servers; two with one name would share their logs."""
    replicas: int = 1
    size_bytes: int = 1 << 30
    """The most that the stream of the logs takes; then appends are refused, nothing is dropped."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    seal: DeploymentKey | None = field(default=None, repr=False, compare=False)
    """Seals the records of all logs; None: who may read the stream reads them."""
    tls: "ssl.SSLContext | None" = field(default=None, repr=False, compare=False)

    @property
    def stream(self) -> str:
        """The name of the stream that holds all logs."""
        return f"{self.prefix.upper().replace('-', '_')}_J"

    @property
    def logs(self) -> str:
        """What the subjects of the logs begin with."""
        return f"{self.prefix}.j."


async def connected(settings: NatsSettings, limits: Limits = LIMITS) -> Client:
    """Return a connection that is good for logs: nothing is buffered while it is lost.

    Raises ClusterError: `cluster.unreachable`, `cluster.credentials`, `cluster.version`,
    `cluster.no_jetstream`.
    """
    faults: list[str] = []

    async def heard(exc: Exception) -> None:
        # The only place where a refused permission or a slow consumer is told.
        faults.append(str(exc) or type(exc).__name__)
        del faults[:-8]

    client = Client()
    try:
        async with asyncio.timeout(limits.journal_settle_ms / 1000):
            await client.connect(
                list(settings.servers),
                user=settings.user,
                password=settings.password,
                tls=settings.tls,
                pending_size=0,
                ping_interval=2,
                max_outstanding_pings=2,
                connect_timeout=2,
                reconnect_time_wait=0.1,  # type: ignore[arg-type]
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                error_cb=heard,
                name="yoi",
            )
        await _check(client, settings, limits)
    except (TimeoutError, nats.errors.Error, OSError, ValueError) as exc:
        await client.close()
        raise _unreachable(settings, _most_telling(faults, str(exc))) from None
    except BaseException:
        await client.close()
        raise
    return client


def _most_telling(faults: Sequence[str], last: str) -> str:
    """Return why no server took us: a refused sign-in before what a cut connection says of it."""
    heard = [why for why in (*faults, last) if why]
    refused = [why for why in heard if _REFUSED in why]
    return (refused or heard or ["no server answered"])[-1]


async def prepare(client: Client, settings: NatsSettings, limits: Limits = LIMITS) -> None:
    """Make the stream of the logs, or check that the one that is there loses nothing.

    Raises ClusterError: `cluster.stream`, `cluster.full`, `cluster.clock`, `cluster.unreachable`;
    JournalError
    `journal.incomplete` while another journal is being copied into it, and after that failed.
    """
    config = await _stream(client, settings, limits, {})
    if _COPYING in (config.get("metadata") or {}):
        raise JournalError(
            "journal.incomplete",
            f"a copy into the stream {settings.stream} was not finished: it is not whole",
            hint="let it go on where it stopped: yoi journal copy --to jetstream",
        )


async def prepare_copy(client: Client, settings: NatsSettings, limits: Limits) -> None:
    """Mark the stream of the logs, made where it is missing, as one that a copy is written into.

    Raises as `prepare`, and JournalError `journal.not_empty` where hosts have written to it.
    """
    config = await _stream(client, settings, limits, {_COPYING: "yes"})
    if _COPYING in (config.get("metadata") or {}):
        return
    told = await asked(client, f"STREAM.INFO.{settings.stream}", {}, limits)
    if told["state"]["messages"]:
        raise JournalError(
            "journal.not_empty",
            f"the stream {settings.stream} holds records already",
            hint='copy into a new one: another name in [cluster], such as name = "yoi-2"',
        )
    await _mark(client, config, {_COPYING: "yes"}, limits)


async def finish_copy(client: Client, stream: str, limits: Limits) -> None:
    """Take the mark of `prepare_copy` off the stream."""
    config = (await asked(client, f"STREAM.INFO.{stream}", {}, limits))["config"]
    await _mark(client, config, {}, limits)


async def _mark(
    client: Client, config: dict[str, Any], marks: dict[str, str], limits: Limits
) -> None:
    kept = {key: value for key, value in config.get("metadata", {}).items() if key != _COPYING}
    wanted = {**config, "metadata": {**kept, **marks}}
    told = await asked(client, f"STREAM.UPDATE.{config['name']}", wanted, limits)
    if told.get("error"):
        raise ClusterError(
            "cluster.stream",
            f"the stream {config['name']} cannot be marked: {told['error'].get('description')}",
            hint="give the user of [cluster] the right to $JS.API.STREAM.UPDATE.*",
        )


async def found_or_made(
    client: Client,
    config: Mapping[str, Any],
    refused: str,
    limits: Limits,
    before_making: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, Any]:
    """Return what the servers know of the stream `config` names; a missing one is made.

    `before_making` may still refuse that. Raises ClusterError `cluster.full` and `cluster.stream`,
    whose message begins with `refused`, and `cluster.unreachable`.
    """
    told = await asked(client, f"STREAM.INFO.{config['name']}", {}, limits)
    if told.get("error", {}).get("err_code") == _NO_STREAM:
        if before_making is not None:
            await before_making()
        told = await asked(client, f"STREAM.CREATE.{config['name']}", dict(config), limits)
    error = told.get("error")
    if error:
        why = f"{refused}: {error.get('description')}"
        if error.get("err_code") == _NO_ROOM:
            raise ClusterError(
                "cluster.full",
                why,
                hint="more room on every NATS server: jetstream { max_file: 10GB }\n"
                "or a smaller size_bytes in [cluster]",
            )
        raise ClusterError(
            "cluster.stream",
            why,
            hint='another name in [cluster], such as name = "yoi-2"; or look at what is there: '
            "nats stream ls --all",
        )
    return told


async def _stream(
    client: Client, settings: NatsSettings, limits: Limits, marks: dict[str, str]
) -> dict[str, Any]:
    """Return the settings of the stream; a missing one is made, with `marks`."""
    wanted = {
        "name": settings.stream,
        "subjects": [f"{settings.logs}>"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_bytes": settings.size_bytes,
        "max_msgs": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "num_replicas": settings.replicas,
        "allow_direct": True,
        "allow_atomic": True,
        "duplicate_window": 120_000_000_000,
        "metadata": {**marks, **({} if settings.seal is None else {_SEAL: settings.seal.id})},
    }

    async def check() -> None:
        if _COPYING not in marks:
            await _check_never_run(client, settings, limits)

    refused = f"the stream {settings.stream} cannot be made"
    told = await found_or_made(client, wanted, refused, limits, check)
    # Timers are of wall time: an hour off, they fire an hour too soon or too late.
    check_clock(told, wall_ms(), limits)
    config: dict[str, Any] = told["config"]
    for key in ("subjects", "discard", "max_age", "max_msgs", "max_msgs_per_subject", "storage"):
        if config.get(key) != wanted[key] and not (key == "max_age" and not config.get(key)):
            raise ClusterError(
                "cluster.stream",
                f"the stream {settings.stream} is not one of ours: its {key} is "
                f"{config.get(key)!r}, not {wanted[key]!r}",
                hint="another prefix in [cluster], or remove that stream",
            )
    if not config.get("allow_direct") or not config.get("allow_atomic"):
        raise ClusterError(
            "cluster.stream",
            f"the stream {settings.stream} allows no direct gets or no batches",
            hint=f"nats stream edit {settings.stream} --allow-direct --allow-batch",
        )
    check_seal(settings, config)
    return config


async def _check_never_run(client: Client, settings: NatsSettings, limits: Limits) -> None:
    """Raise ClusterError `cluster.stream` where machines have run, and their logs are gone."""
    units = f"{settings.prefix}_units"
    told = await asked(client, f"STREAM.INFO.KV_{units}", {}, limits)
    if told.get("state", {}).get("messages", 0):
        raise ClusterError(
            "cluster.stream",
            f"machines have run as {settings.prefix}, and the stream {settings.stream} of their "
            "logs is gone: what they had accepted is in it",
            hint=f"put it back: nats stream restore {settings.stream} DIR\n"
            'or begin anew with empty logs: another name in [cluster], such as name = "yoi-2"',
        )


def denied(client: Client) -> str | None:
    """Return what the servers last refused this account, None where nothing.

    A refused publish is not answered: it looks like a server that is silent.
    """
    told = str(client.last_error or "")
    return told if "permissions violation" in told.lower() else None


def check_seal(settings: NatsSettings, config: Mapping[str, Any]) -> None:
    """Raise ClusterError `cluster.key` unless a stream is sealed with our key, or we have none."""
    found = (config.get("metadata") or {}).get(_SEAL)
    ours = None if settings.seal is None else settings.seal.id
    if found == ours:
        return
    if found is None:
        why = "the logs were begun without a key, and this machine has one"
        hint = (
            "go on without key_file in host.toml; or begin sealed logs: yoi journal copy --to "
            "sqlite, another name in [cluster], yoi journal copy --to jetstream"
        )
    else:
        mine = "none" if ours is None else f"the key {ours}"
        why = f"the logs are sealed with the key {found}, and this machine has {mine}"
        hint = '[cluster] key_file = "..." in host.toml: the same file on every machine'
    raise ClusterError("cluster.key", f"{settings.stream}: {why}", hint=hint)


def wall_ms() -> int:
    """Return this machine's time, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


async def asked(client: Client, what: str, request: Any, limits: Limits) -> dict[str, Any]:
    """Return the answer to one request of the JetStream API, also one that says an error.

    It is asked again until a leader answers: a request before there is one is dropped. Raises
    ClusterError `cluster.unreachable`.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + limits.journal_settle_ms / 1000
    while True:
        try:
            answer = await client.request(
                f"$JS.API.{what}", json.dumps(request).encode(), timeout=1
            )
            told: dict[str, Any] = json.loads(answer.data)
            return told
        except (nats.errors.Error, TimeoutError, OSError) as exc:
            if loop.time() >= until:
                raise _silent(client, what, exc) from None
        await asyncio.sleep(_AGAIN_SECONDS)


async def _check(client: Client, settings: NatsSettings, limits: Limits) -> None:
    version = client.connected_server_version
    if (version.major, version.minor) < tuple(map(int, OLDEST.split("."))):
        raise ClusterError(
            "cluster.version",
            f"nats-server {version.major}.{version.minor} is too old: {OLDEST} or newer is needed, "
            "because older ones let two hosts write one log",
            hint="bring every server of [cluster] to a version that is maintained, one by one",
        )
    info = await asked(client, "INFO", {}, limits)
    error = info.get("error")
    if error:
        raise ClusterError(
            "cluster.no_jetstream",
            f"{settings.servers[0]} has no JetStream for us: {error.get('description')}",
            hint="jetstream { store_dir: /var/lib/nats }   # in nats-server's configuration",
        )


def _silent(client: Client, what: str, exc: Exception) -> ClusterError:
    refused = denied(client)
    if refused is not None:
        return ClusterError(
            "cluster.credentials",
            f"the account on the NATS servers may not do what hosts do: {refused}",
            hint="give the user of [cluster] its own account, or these rights; then: "
            "yoi cluster doctor",
        )
    if isinstance(exc, nats.errors.NoRespondersError):
        return ClusterError(
            "cluster.no_jetstream",
            "the NATS servers have no JetStream, or no leader of it",
            hint="jetstream { store_dir: /var/lib/nats }   # in nats-server's configuration",
        )
    words = str(exc) or type(exc).__name__
    return ClusterError(
        "cluster.unreachable",
        f"JetStream did not answer {what}: {words}",
        hint="a majority of the NATS servers has to be there; look at each: yoi cluster status",
    )


def _unreachable(settings: NatsSettings, why: str) -> ClusterError:
    code = "cluster.credentials" if _REFUSED in why else "cluster.unreachable"
    return ClusterError(
        code,
        f"{', '.join(settings.servers)}: {why}",
        hint="[cluster] of .yoi/yoi.toml names the servers; look at each: yoi cluster status",
    )
