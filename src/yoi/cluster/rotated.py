"""`RotatedSecrets`: what servers' answers put in the place of published secrets, sealed, in a log.

A rotation is one record, committed before the answer that brought it is handed on. It counts as
long as what it replaced is what is published: a value that the operator publishes later wins.
"""

import msgspec

from yoi.errors import JournalError, SecretError
from yoi.journal.log import Append, Journal, LogBounds, LogStatus
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey

_LOG = "secrets"
_PURPOSE = "rotated secret"
_TRIES = 8
_KEEP = 64
"""From so many records on, each new one lets the oldest go; one that counts is written again."""


class _Rotation(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    over: str
    """The tag of the published value that it replaced, directly or by others."""
    value: str


class RotatedSecrets:
    """See the module docstring. Any machine may write; none overwrites another's unseen."""

    def __init__(self, journal: Journal, key: DeploymentKey, limits: Limits = LIMITS) -> None:
        self._journal, self._key = journal, key
        self._bounds = LogBounds(_KEEP + 4 * limits.secrets, 2 * limits.secret_store_bytes)
        self._folded: dict[str, _Rotation] = {}
        self._held: list[tuple[int, str]] = []
        """Position and name of each record, oldest first."""
        self._status = LogStatus(0, 0, 0)

    async def moved(self) -> bool:
        """Return whether the log has gone on since it was read last. Raises JournalError."""
        return (await self._journal.status(_LOG)).head != self._status.head

    async def current(self, published: dict[str, str]) -> dict[str, str]:
        """Return each published secret as it is now. Raises JournalError, SecretError."""
        await self._fold()
        return {name: self._value(name, value) for name, value in published.items()}

    async def replace(self, name: str, published: str, before: str, value: str) -> None:
        """Commit that `name`, published as `published` and now `before`, is `value` from now on.

        Raises SecretError `secret.conflict` where another rotation was first, and JournalError.
        """
        made = _Rotation(name, self._key.tag(published), value)
        for _ in range(_TRIES):
            if self._value(name, published) != before:
                raise SecretError(
                    "secret.conflict", f"the secret {name} was rotated by another machine meanwhile"
                )
            again, through = self._leaving(name)
            records = [*again, made]
            head = self._status.head
            sealed = [self._sealed(head + at, one) for at, one in enumerate(records, 1)]
            try:
                await self._journal.commit([Append(_LOG, head, sealed, self._bounds)])
            except JournalError as exc:
                if exc.code != "journal.conflict":
                    raise
                await self._fold()
                continue
            await self._journal.trim(_LOG, through)
            await self._fold()
            return
        raise SecretError("secret.busy", f"other machines write secrets; {name} was not kept")

    def _value(self, name: str, published: str) -> str:
        found = self._folded.get(name)
        if found is None or found.over != self._key.tag(published):
            return published
        return found.value

    def _leaving(self, name: str) -> tuple[list[_Rotation], int]:
        """Return what of the oldest is to be written again beside `name`, and what may be dropped.

        Dropped is everything up to the position that is returned.
        """
        if len(self._held) < _KEEP:
            return [], 0
        newest = {one: position for position, one in self._held}
        again: list[_Rotation] = []
        through = 0
        for position, one in self._held:
            if newest[one] == position and one != name:
                if again:
                    break
                again.append(self._folded[one])
            through = position
        return again, through

    async def _fold(self) -> None:
        status = await self._journal.status(_LOG)
        after = status.head - status.records
        folded: dict[str, _Rotation] = {}
        held = []
        while after < status.head:
            records = await self._journal.read(_LOG, after, _KEEP)
            if not records:
                break
            for record in records:
                data = self._key.open(_PURPOSE, str(record.seq), record.data)
                one = msgspec.json.decode(data, type=_Rotation)
                folded[one.name] = one
                held.append((record.seq, one.name))
                after = record.seq
        self._folded, self._held, self._status = folded, held, status

    def _sealed(self, position: int, one: _Rotation) -> bytes:
        return self._key.seal(_PURPOSE, str(position), msgspec.json.encode(one))
