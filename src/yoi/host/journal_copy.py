"""Moves a workspace's logs between the file that one host uses and the servers of a `[cluster]`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from pathlib import Path
from typing import TypeVar

from yoi.cluster.holders import lease_holders
from yoi.cluster.settings import ClusterSettings
from yoi.control.server import claimed
from yoi.decisions.port import Decisions
from yoi.display import shell_word
from yoi.durable import rename_file
from yoi.errors import ClusterError, JournalError
from yoi.folders import hint_of, remove_file
from yoi.host.clustered import servers_of
from yoi.journal.copying import Copied, copy
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings, connected
from yoi.journal.log import CopyTarget, Journal
from yoi.journal.sqlite import SqliteJournal, Survives
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey

J = TypeVar("J", bound=Journal)


class To(Enum):
    """Where the logs go."""

    JETSTREAM = "jetstream"
    SQLITE = "sqlite"


async def copy_journal(
    workspace: Path,
    to: To,
    decisions: Decisions,
    seal: DeploymentKey | None,
    limits: Limits = LIMITS,
) -> Copied:
    """Copy the logs of `workspace` and return what arrived; the source stays as it is.

    Records on the servers are sealed with `seal`. No host may run on either; one that starts
    meanwhile is kept out. Raises ControlError `control.in_use`, ClusterError, JournalError,
    TrustError.
    """
    why, page = "it says which servers are meant", "docs/how-to/move-the-journal.md"
    settings = await asyncio.to_thread(
        ClusterSettings.needed, workspace, decisions, why, page, limits
    )
    servers = await servers_of(settings, workspace, decisions, seal)
    owner = await asyncio.to_thread(decisions.identity, workspace)
    with claimed(workspace):
        if to is To.JETSTREAM:
            return await _to_jetstream(workspace, servers, owner, limits)
        return await _to_sqlite(workspace, servers, owner, limits)


async def _to_jetstream(
    workspace: Path,
    servers: NatsSettings,
    owner: str | None,
    limits: Limits,
) -> Copied:
    path = _file(workspace)
    if not path.exists():
        raise JournalError("journal.io", f"{path} is not there: no host has run here by itself")
    async with (
        _closing(await SqliteJournal.open(path, limits=limits, owner=owner)) as source,
        _closing(await JetStreamJournal.open_to_copy(servers, limits)) as target,
    ):
        # After the mark that keeps hosts out: one that took the lease before it is seen here.
        await _check_unused(servers, limits)
        made = await copy(source, target)
        await target.copied()
        return made


async def _to_sqlite(
    workspace: Path,
    servers: NatsSettings,
    owner: str | None,
    limits: Limits,
) -> Copied:
    path = _file(workspace)
    if path.exists():
        async with _closing(await SqliteJournal.open(path, limits=limits, owner=owner)) as there:
            if await there.logs():
                raise JournalError(
                    "journal.not_empty",
                    f"{path} holds records already",
                    hint=f"put it aside: mv {shell_word(path)} {shell_word(path)}.old",
                )
    beside = path.with_name("journal.copy.db")
    async with _closing(await JetStreamJournal.open(servers, limits)) as source:
        await _check_unused(servers, limits)
        # What an interrupted copy left is not gone on with: nothing knows what of it was stored.
        await asyncio.to_thread(_remove, beside)
        target: CopyTarget = await SqliteJournal.open(beside, Survives.POWER_LOSS, limits, owner)
        async with _closing(target):
            # Compared at its end: a host that took a lease meanwhile and wrote fails the copy.
            made = await copy(source, target)
        await _check_unused(servers, limits)
    await asyncio.to_thread(_put_in_place, beside, path)
    return made


async def _check_unused(servers: NatsSettings, limits: Limits) -> None:
    """Raise ClusterError `cluster.in_use` where a host holds a lease of the deployment."""
    client = await connected(servers, limits)
    try:
        holders = await lease_holders(client, servers.prefix, limits)
    finally:
        await client.close()
    if holders:
        raise ClusterError(
            "cluster.in_use",
            f"{', '.join(holders[:4])} runs on the logs of {servers.prefix}",
            hint="stop every host of the deployment first (systemctl stop yoi); the lease of one "
            "that was killed lapses by itself",
        )


def _file(workspace: Path) -> Path:
    return workspace / ".yoi" / "journal.db"


def _put_in_place(made: Path, path: Path) -> None:
    """Give `made` the name `path` in one step, so that no half copy ever has it."""
    with _told(path, "could not be put in place"):
        rename_file(made, path.name)


def _remove(made: Path) -> None:
    """Remove a copy and the logs of SQLite beside it."""
    with _told(made, "could not be removed"):
        for ending in ("", "-wal", "-shm", "-journal"):
            remove_file(made.with_name(made.name + ending))


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
        raise JournalError("journal.io", f"{path} {what}: {why}", hint=hint_of(exc)) from None


@asynccontextmanager
async def _closing(journal: J) -> AsyncIterator[J]:
    try:
        yield journal
    finally:
        await journal.close()
