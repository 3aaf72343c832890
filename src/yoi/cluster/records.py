"""Who owns each service and worker of a deployment: one key each, in a bucket that never lapses."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import structs

from yoi.cluster.bucket import Bucket, Entry
from yoi.limits import LIMITS
from yoi.protocol.moves import Left, MoveReport
from yoi.types import rfc3339_ms

Name = Annotated[str, msgspec.Meta(max_length=LIMITS.name_bytes)]
Words = Annotated[str, msgspec.Meta(max_length=LIMITS.message_chars)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_000)]
"""A moment of the wall clock, up to the last one that can be shown."""


class Move(msgspec.Struct, frozen=True, array_like=True):
    """One change of the owner."""

    at_ms: Millis
    source: Name
    target: Name
    why: Name
    """A `Left`; empty where the machine before did not say."""

    def report(self) -> MoveReport:
        """Return it as it is shown."""
        return MoveReport(rfc3339_ms(self.at_ms), self.source, self.target, self.why)


_ON_THEIR_WAY = frozenset({Left.DRAINED, Left.MOVED})
"""Given back for another machine to take."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands at the key of one member (`service:NAME`, `worker:NAME`)."""

    session: Name = ""
    """Of the machine that owns it; empty where none does."""
    machine: Name = ""
    """The name of that machine, or of the one that had it last."""
    epoch: int = 0
    """Larger for each owner."""
    since_ms: Millis = 0
    moved_from: Name = ""
    """The other machine that had it before, where one had."""
    takeovers: int = 0
    """How often in a row it came from a machine that died, without anything being handled."""
    barred: Words = ""
    """Why no machine may take it before a person lets it; empty: it may be taken."""
    left: Name = ""
    """Why its last owner gave it back (`Left`)."""
    left_ms: Millis = 0
    """When it did."""
    moves: tuple[Move, ...] = ()
    """The last of its moves, newest last."""
    moved: int = 0
    """How often it has moved in all."""

    def taken_by(self, machine: str, at_ms: int, *, died: bool, most: int) -> "Record":
        """Return the record with its move to `machine`; at most so many moves are kept.

        The first machine that takes it moves nothing.
        """
        if not self.machine:
            return self
        why = Left.DIED if died else self.left
        moves = (*self.moves, Move(at_ms, self.machine, machine, why))[-most:]
        return structs.replace(self, moves=moves, moved=self.moved + 1)

    def given_back(self, why: str, at_ms: int) -> "Record":
        """Return the record without an owner."""
        return structs.replace(self, session="", left=why, left_ms=at_ms)

    def expected(self, now_ms: int, within_ms: int) -> bool:
        """Return whether a machine has it, or should within `within_ms` of its last owner's end.

        What is barred waits for a person; what is not decided any more is not expected.
        """
        on_its_way = self.left in _ON_THEIR_WAY and now_ms - self.left_ms < within_ms
        return bool(self.session or self.barred) or on_its_way


@dataclass(frozen=True, slots=True)
class Known:
    """A record with the revision of its key; 0 where there is no key."""

    revision: int
    record: Record


class Book:
    """The records as this machine knows them. Writes are compare-and-set on what it knows."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._seen = 0
        self.known: dict[str, Known] = {}

    @property
    def made(self) -> str:
        """Return when its bucket was made."""
        return self._bucket.made

    async def look(self) -> bool:
        """Read what has changed; False where the bucket is not the one that was opened.

        Raises UNSURE.
        """
        for one in await self._bucket.since(self._seen):
            self._take(one)
            self._seen = max(self._seen, one.revision)
        return await self._bucket.is_the_same()

    def of(self, member: str) -> Known:
        """Return what is known of `member`."""
        return self.known.get(member, _NOTHING)

    async def write(self, member: str, record: Record) -> Known:
        """Write the record in the place of the one that is known. Raises Taken and UNSURE."""
        data = msgspec.json.encode(record)
        revision = await self._bucket.put(_key(member), data, self.of(member).revision)
        self.known[member] = Known(revision, record)
        return self.known[member]

    async def again(self, member: str) -> Known:
        """Return what the leader of the servers knows of `member`. Raises UNSURE."""
        found = await self._bucket.last(_key(member))
        if found is not None:
            self._take(found)
        return self.of(member)

    def _take(self, entry: Entry) -> None:
        member = _member(entry.key)
        if entry.revision > self.of(member).revision:
            self.known[member] = Known(entry.revision, _read(entry.data))


_NOTHING = Known(0, Record())


def _read(data: bytes) -> Record:
    """Return the record in `data`, within bounds; one that cannot be read bars its unit only."""
    if not data:
        return Record()
    try:
        record = msgspec.json.decode(data, type=Record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Record(barred="what the servers hold of it cannot be read")
    return structs.replace(record, moves=record.moves[-LIMITS.cluster_moves :])


def _key(member: str) -> str:
    kind, _, name = member.partition(":")
    # A dot parts the tokens of a subject; `=` stands in no name.
    return f"{kind}.{name.replace('.', '=')}"


def _member(key: str) -> str:
    kind, _, name = key.partition(".")
    return f"{kind}:{name.replace('=', '.')}"
