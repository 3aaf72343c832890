"""The dead letters of a workspace whose host does not run: read from its log, and decided there.

What is decided stands in the log and is carried out by the next host that opens it. No host can
start meanwhile, and none may be running.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from yoi.cluster.settings import ClusterSettings
from yoi.control.server import claimed
from yoi.core.service_fold import ServicePicture
from yoi.decisions.port import Decisions
from yoi.errors import ClusterError, ServiceError
from yoi.journal.log import Append, Journal, LogBounds
from yoi.journal.sqlite import SqliteJournal, Survives
from yoi.limits import LIMITS, Limits
from yoi.protocol.service_log import Discarded, Replayed, encode, event_of
from yoi.runtime.dead_letters import DeadLetter
from yoi.runtime.service_log import folded


class StoppedLetters:
    """The dead letters of one service, as its log says."""

    def __init__(self, journal: Journal, picture: ServicePicture, limits: Limits) -> None:
        self._journal, self._picture, self._limits = journal, picture, limits

    @property
    def letters(self) -> list[DeadLetter]:
        """Return them, oldest first."""
        return [
            DeadLetter(event_of(entry, 1), dead.code, dead.message, dead.at_ms)
            for dead, entry in self._picture.dead.values()
            if entry is not None
        ]

    async def replay(self, event_ids: Sequence[str]) -> None:
        """Let the next host deliver these again; all of them or, where this raises, none.

        Raises ServiceError (`service.unknown`), JournalError.
        """
        await self._append(event_ids, [encode(Replayed(one)) for one in event_ids])

    async def discard(self, event_ids: Sequence[str]) -> None:
        """Throw these away. Raises as `replay`."""
        await self._append(event_ids, [encode(Discarded(one)) for one in event_ids])

    async def _append(self, event_ids: Sequence[str], records: list[bytes]) -> None:
        picture, limits = self._picture, self._limits
        for event_id in event_ids:
            if event_id not in picture.dead or event_ids.count(event_id) > 1:
                raise ServiceError(
                    "service.unknown",
                    f"there is no dead letter {event_id!r}",
                    hint=f"yoi service dead-letters {picture.service}",
                )
        bounds = LogBounds(records=limits.service_log_records, size_bytes=limits.service_log_bytes)
        name = f"service:{picture.service}"
        await self._journal.commit([Append(name, picture.head, records, bounds)])


@asynccontextmanager
async def stopped_letters(
    workspace: Path, service: str, decisions: Decisions, limits: Limits = LIMITS
) -> AsyncIterator[StoppedLetters]:
    """Yield the dead letters of `service`.

    Raises ServiceError `service.unknown` where it has no log, ClusterError `cluster.elsewhere`
    where the log is not of this machine, ControlError `control.in_use` where a host runs,
    JournalError, TrustError.
    """
    settings = await asyncio.to_thread(ClusterSettings.load, workspace, decisions, limits)
    if settings is not None:
        raise ClusterError(
            "cluster.elsewhere",
            f"the logs of {settings.name} are on the servers of [cluster]: a host must run",
            hint="yoi cluster status",
        )
    path = workspace / ".yoi" / "journal.db"
    with claimed(workspace):
        if not path.exists():
            raise _no_log(service)
        owner = await asyncio.to_thread(decisions.identity, workspace)
        journal = await SqliteJournal.open(path, Survives.POWER_LOSS, limits, owner)
        try:
            name = f"service:{service}"
            if name not in await journal.logs():
                raise _no_log(service)
            picture = await folded(journal, name, service, limits)
            yield StoppedLetters(journal, picture, limits)
        finally:
            await journal.close()


def _no_log(service: str) -> ServiceError:
    return ServiceError(
        "service.unknown",
        f"no host runs, and there is no log of {service}: it has none where no ingress of it says "
        'durability = "disk"',
        hint="start the host with: yoi serve",
    )
