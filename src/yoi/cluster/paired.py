"""`SharedPairings`: the senders that were let in by a pairing code, the same on all machines.

They stand in a log of the shared journal, which is sealed with the deployment's key: each record
holds all of them, and the last one counts. Any machine may write; none overwrites another's unseen.
"""

import contextlib

import msgspec

from yoi.decisions.paired import PairedSender, with_one, without
from yoi.errors import JournalError, TrustError
from yoi.journal.log import Append, Journal, LogBounds
from yoi.limits import LIMITS, Limits

_LOG = "paired"
_TRIES = 8
_UNREAD = -1
_KEEP = 8
"""Records that may be there before the older ones are let go."""


class SharedPairings:
    """A `yoi.runtime.pairing.PairedStore` for a deployment that has a key."""

    def __init__(self, journal: Journal, limits: Limits = LIMITS) -> None:
        self._journal = journal
        self._limits = limits
        self._bounds = LogBounds(_KEEP, _KEEP * limits.paired_file_bytes)
        self._paired: tuple[PairedSender, ...] = ()
        self._head = _UNREAD

    def of_plugin(self, plugin: str) -> tuple[PairedSender, ...]:
        """Return the senders of `plugin` as of the last read or write, oldest first."""
        return tuple(one for one in self._paired if one.plugin == plugin)

    async def refresh(self) -> None:
        """Read them again where another machine has written. Raises as `reload`."""
        if self._head == _UNREAD or (await self._journal.status(_LOG)).head != self._head:
            await self.reload()

    async def reload(self) -> None:
        """Read them again; until that succeeds, there are none.

        Raises JournalError, and TrustError (`trust.damaged`).
        """
        try:
            self._paired, self._head = await self._read()
        except BaseException:
            # Who was forgotten meanwhile must not be heard.
            self._paired, self._head = (), _UNREAD
            raise

    async def _read(self) -> tuple[tuple[PairedSender, ...], int]:
        status = await self._journal.status(_LOG)
        if not status.records:
            return (), status.head
        [*_, last] = await self._journal.read(_LOG, status.head - 1, 1)
        try:
            found = msgspec.json.decode(last.data, type=list[PairedSender])
        except (msgspec.DecodeError, RecursionError):
            raise TrustError(
                "trust.damaged",
                "the log of paired senders is damaged: who was paired is not known",
                hint="yoi cluster doctor",
            ) from None
        return tuple(found), last.seq

    async def add(self, paired: PairedSender) -> None:
        """Keep `paired` for all machines.

        Raises WorkerError `worker.pairing` where it is one too many, and JournalError.
        """
        for _ in range(_TRIES):
            await self.reload()
            if await self._written(with_one(self._paired, paired, self._limits)):
                return
        raise _busy()

    async def remove(self, plugin: str, sender: str) -> list[PairedSender]:
        """Forget each `sender` of `plugin` that is written so, everywhere, and return them.

        Raises JournalError.
        """
        for _ in range(_TRIES):
            await self.reload()
            kept, found = without(self._paired, plugin, sender)
            if not found or await self._written(kept):
                return found
        raise _busy()

    async def _written(self, paired: list[PairedSender]) -> bool:
        """Commit `paired` in the place of what was read; False where another machine was first."""
        data = msgspec.json.encode(paired)
        try:
            await self._journal.commit([Append(_LOG, self._head, [data], self._bounds)])
        except JournalError as exc:
            if exc.code != "journal.conflict":
                raise
            return False
        self._paired, self._head = tuple(paired), self._head + 1
        with contextlib.suppress(JournalError):
            # It is written; what is left over goes with the next one.
            await self._journal.trim(_LOG, self._head - 1)
        return True


def _busy() -> JournalError:
    return JournalError("journal.conflict", "other machines pair senders; nothing was kept")
