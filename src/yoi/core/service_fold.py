"""What a service is, as a pure fold of its log. docs/design/service-log.md has the rules.

    log ── fold ──▶ ServicePicture: events that wait, state, timers, commands without an end,
                    sessions that were open, dead letters, ids already seen

A checkpoint is only believed when its end is there: until then the records before it count.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from yoi.core.budget import wall_day
from yoi.errors import JournalError
from yoi.limits import LIMITS, Limits
from yoi.permissions import JsonPointer
from yoi.permissions.pointers import PointerFault
from yoi.protocol import service_log as log
from yoi.protocol.ingress import EventKind
from yoi.protocol.published import PublicationMark
from yoi.protocol.service_log import Accepted, Command, Dead, Declared, Entry, TimerAt


class Waiting(msgspec.Struct):
    """An accepted event that has no end yet."""

    entry: Accepted
    attempts: int = 0
    """How often it was handed over, as far as the log knows."""


@dataclass(slots=True)
class ServicePicture:
    """Everything that stands after a fold. `head` is the position of the last record."""

    service: str
    epoch: int = 0
    earlier_epoch: int = 0
    """The epoch of the owner before this one, where the log is open."""
    by: PublicationMark | None = None
    """The publication that its last owner goes by, or went by."""
    head: int = 0
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """By event id, in the order in which they were accepted."""
    state: dict[str, str] = field(default_factory=dict)
    timers: dict[tuple[str, str], int] = field(default_factory=dict)
    """When each is due, by ingress and name."""
    last: dict[str, str] = field(default_factory=dict)
    unsettled: dict[tuple[str, str], Command] = field(default_factory=dict)
    """Commands without an end, by event id and command id, in handled order."""
    sessions: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Sessions that were open: connection and since when, by session."""
    dead: dict[str, tuple[Dead, Accepted | None]] = field(default_factory=dict)
    """Dead letters with their events, oldest first."""
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    """When each of the gateway's ids last came, by ingress and id; the latest stands last."""
    declared: Declared = field(default_factory=Declared)
    """What the last owner's manifest said."""
    alive_ms: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    """Since when frames may be missing of connections that were down, by name."""
    dials: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The day (since 1970) and the dials of it of each connection; they only grow."""
    checkpoint: int = 0
    """The position of the last closed checkpoint's start; 0: there is none."""
    since_checkpoint: int = 0
    """Records since then."""
    fresh: bool = True
    """Whether owners have begun the log and none has written anything else."""


class ServiceFold:
    """Takes the records of one log, oldest first. `picture` is what they add up to.

    Raises JournalError (`journal.format`): a log of another service, an owner that is older than
    one before it, a checkpoint that does not hold what it says.
    """

    def __init__(self, service: str, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self.picture = ServicePicture(service)
        self._open: tuple[int, ServicePicture] | None = None
        """A checkpoint whose end has not come: its start, and what it holds so far."""

    def take(self, position: int, entry: Entry) -> None:
        """Take the record at `position`."""
        picture = self.picture
        _check_places(position, entry)
        if position <= picture.head:
            raise _broken(position, "the log's positions do not grow")
        if isinstance(entry, log.Checkpoint):
            # An earlier one that never ended is forgotten: its writer is gone.
            self._own(position, entry)
            self._open = (position, ServicePicture(picture.service, entry.epoch, by=picture.by))
        elif isinstance(entry, log.CheckpointEnd):
            self._close(position, entry)
        elif self._open is not None and isinstance(entry, log.Part):
            _add_part(self._open[1], entry)
        elif isinstance(entry, log.Part):
            raise _broken(position, "a part of a checkpoint that was never begun")
        else:
            if isinstance(entry, log.Begun):
                self._own(position, entry)
                # The owner that was writing a checkpoint is not this one.
                self._open = None
            apply(picture, entry)
            if self._open is not None:
                apply(self._open[1], entry)
            picture.since_checkpoint += 1
        self.picture.head = position

    def _own(self, position: int, entry: log.Begun | log.Checkpoint) -> None:
        if entry.service != self.picture.service:
            raise _broken(
                position, f"this is the log of {entry.service}, not of {self.picture.service}"
            )
        if entry.epoch < self.picture.epoch:
            raise _broken(
                position, f"an owner of epoch {entry.epoch} wrote after one of a later epoch"
            )
        self.picture.epoch, self.picture.by = entry.epoch, entry.by or self.picture.by

    def _close(self, position: int, entry: log.CheckpointEnd) -> None:
        if self._open is None:
            # Its start was trimmed, or its writer lost the log: what stands before it counts.
            return
        start, made = self._open
        if entry.start != start:
            raise _broken(position, f"a checkpoint from {entry.start} ends one from {start}")
        missing = [name for name, (_, event) in made.dead.items() if event is None]
        if missing or any(one.entry.event_id == "" for one in made.waiting.values()):
            raise _broken(position, "a checkpoint lacks the events it speaks of")
        made.checkpoint, made.since_checkpoint, made.fresh = start, 0, False
        self.picture, self._open = made, None


def apply(picture: ServicePicture, entry: Entry) -> None:
    """Change `picture` by one record that is no part of a checkpoint's frame."""
    if not isinstance(entry, log.Begun):
        picture.fresh = False
    match entry:
        case Accepted():
            _accept(picture, entry)
        case log.Handled():
            picture.waiting.pop(entry.event_id, None)
            for key, value in entry.state.items():
                if value is None:
                    picture.state.pop(key, None)
                else:
                    picture.state[key] = value
            for timer in entry.timers:
                _set_timer(picture, timer)
            if entry.dials:
                _spend(picture, entry.dials)
            for command in entry.commands:
                picture.unsettled[entry.event_id, command.id] = command
        case log.Effected():
            picture.unsettled.pop((entry.event_id, entry.command_id), None)
        case log.Done():
            for command_id in entry.commands:
                picture.unsettled.pop(command_id, None)
        case log.Tried():
            if entry.event_id in picture.waiting:
                one = picture.waiting[entry.event_id]
                one.attempts = max(one.attempts, entry.attempt)
        case log.Opened():
            picture.sessions[entry.session] = entry.connection, entry.at_ms
        case log.Closed():
            _end_session(picture, entry.session)
        case Dead():
            found = picture.waiting.pop(entry.event_id, None)
            if found is not None:
                picture.dead[entry.event_id] = entry, found.entry
        case log.Discarded():
            picture.dead.pop(entry.event_id, None)
        case log.Replayed():
            letter = picture.dead.pop(entry.event_id, None)
            if letter is not None and letter[1] is not None:
                picture.waiting[entry.event_id] = Waiting(letter[1])
        case Declared():
            _declare(picture, entry)
        case log.Alive():
            picture.alive_ms, picture.missing = entry.at_ms, dict(entry.missing)
        case _:
            pass


def _accept(picture: ServicePicture, entry: Accepted) -> None:
    name = entry.event_id
    if name in picture.dead:
        # A checkpoint wrote the letter first and its event afterwards.
        letter, event = picture.dead[name]
        if event is None:
            picture.dead[name] = letter, entry
        return
    if name in picture.waiting:
        # A checkpoint's copy, or one that tells more: what follows from it was done the first time.
        picture.waiting[name].entry = entry
        return
    picture.waiting[name] = Waiting(entry)
    told = entry.event
    if told is not None:
        if told.kind == EventKind.CLOSE:
            _end_session(picture, str(told.session))
        elif told.kind == EventKind.GAP:
            picture.missing.pop(str(told.connection), None)
    if entry.settles is not None:
        picture.unsettled.pop((entry.settles.event_id, entry.settles.command_id), None)
    if entry.fires is not None:
        picture.timers.pop((entry.ingress, entry.fires), None)
    if entry.seen is not None:
        key = entry.ingress, entry.seen
        picture.seen.pop(key, None)
        picture.seen[key] = entry.at_ms


def _end_session(picture: ServicePicture, session: str) -> None:
    """From its end on, or the last mark before it, frames are missing until a gap tells of it."""
    connection, since_ms = picture.sessions.pop(session, ("", 0))
    if connection:
        since_ms = max(since_ms, picture.alive_ms)
        picture.missing[connection] = min(since_ms, picture.missing.get(connection, since_ms))


def _declare(picture: ServicePicture, entry: Declared) -> None:
    """An id that stood at another place says nothing about those that come now."""
    before = picture.declared.dedupe
    for ingress, key in tuple(picture.seen):
        if entry.dedupe.get(ingress) != before.get(ingress):
            del picture.seen[ingress, key]
    picture.declared = entry


def _spend(picture: ServicePicture, dials: dict[str, tuple[int, int]]) -> None:
    """A count that is written late takes nothing back."""
    for name, spent in dials.items():
        picture.dials[name] = max(spent, picture.dials.get(name, spent))


def _set_timer(picture: ServicePicture, timer: TimerAt) -> None:
    if timer.due_ms:
        picture.timers[timer.ingress, timer.name] = timer.due_ms
    else:
        picture.timers.pop((timer.ingress, timer.name), None)


def _add_part(picture: ServicePicture, part: log.Part) -> None:
    picture.state.update(part.state)
    for timer in part.timers:
        _set_timer(picture, timer)
    picture.last.update(part.last)
    for event_id, command in part.unsettled:
        picture.unsettled[event_id, command.id] = command
    for connection, session, since_ms in part.sessions:
        picture.sessions[session] = connection, since_ms
    for ingress, name, at_ms in part.seen:
        picture.seen[ingress, name] = at_ms
    for event_id, attempts in part.attempts.items():
        picture.waiting[event_id] = Waiting(Accepted(ingress=""), attempts)
    for letter in part.dead:
        picture.dead[letter.event_id] = letter, None
    if part.declared is not None:
        picture.declared = part.declared
    picture.alive_ms = max(picture.alive_ms, part.alive_ms)
    picture.missing.update(part.missing)
    _spend(picture, part.dials)


def checkpoint(picture: ServicePicture, at_ms: int, limits: Limits = LIMITS) -> Iterator[Entry]:
    """Yield the records of a checkpoint of `picture`, all but its `checkpoint_end`.

    Old events follow the parts one by one, as `accepted` records: together they may be as large as
    the queue, and no record holds more than one event.
    """
    yield log.Checkpoint(picture.service, picture.epoch, at_ms, by=picture.by)
    most = limits.service_part_items
    yield log.Part(
        alive_ms=picture.alive_ms,
        missing=picture.missing,
        declared=picture.declared,
        # Those of earlier days bind nothing: a budget is of its day.
        dials={name: one for name, one in picture.dials.items() if one[0] >= wall_day(at_ms)},
    )
    for chunk in _chunks(picture.state.items(), limits.service_part_bytes):
        yield log.Part(state=dict(chunk))
    timers = [TimerAt(ingress, name, due) for (ingress, name), due in picture.timers.items()]
    for at in range(0, len(timers), most):
        yield log.Part(timers=tuple(timers[at : at + most]))
    for chunk in _chunks(picture.last.items(), limits.service_part_bytes):
        yield log.Part(last=dict(chunk))
    for (event_id, _), command in picture.unsettled.items():
        yield log.Part(unsettled=((event_id, command),))
    sessions = [(where, name, since) for name, (where, since) in picture.sessions.items()]
    for at in range(0, len(sessions), most):
        yield log.Part(sessions=tuple(sessions[at : at + most]))
    seen = [(ingress, name, when) for (ingress, name), when in picture.seen.items()]
    for at in range(0, len(seen), most):
        yield log.Part(seen=tuple(seen[at : at + most]))
    letters = [letter for letter, _ in picture.dead.values()]
    for at in range(0, len(letters), most):
        yield log.Part(dead=tuple(letters[at : at + most]))
    attempts = [(name, one.attempts) for name, one in picture.waiting.items()]
    for at in range(0, len(attempts), most):
        yield log.Part(attempts=dict(attempts[at : at + most]))
    for _, event in picture.dead.values():
        if event is not None:
            yield event
    for one in picture.waiting.values():
        yield one.entry


def forget_seen(picture: ServicePicture, ingress: str, *, before_ms: int, most: int) -> None:
    """Forget ids of `ingress` that came before `before_ms`, and beyond `most` the oldest."""
    mine = [key for key in picture.seen if key[0] == ingress]
    for key in mine:
        if picture.seen[key] < before_ms:
            del picture.seen[key]
    mine = [key for key in mine if key in picture.seen]
    for key in mine[: max(0, len(mine) - most)]:
        del picture.seen[key]


def _chunks(pairs: Iterable[tuple[str, str]], most: int) -> Iterator[list[tuple[str, str]]]:
    """Yield the pairs in groups of at most `most` bytes; one larger pair stands alone."""
    chunk: list[tuple[str, str]] = []
    size = 0
    for key, value in pairs:
        cost = len(key.encode()) + len(value.encode())
        if chunk and size + cost > most:
            yield chunk
            chunk, size = [], 0
        chunk.append((key, value))
        size += cost
    if chunk:
        yield chunk


def _check_places(position: int, entry: Entry) -> None:
    declared = entry.declared if isinstance(entry, log.Part) else entry
    if not isinstance(declared, Declared):
        return
    for place in (*declared.order.values(), *declared.dedupe.values()):
        try:
            JsonPointer.parse(place)
        except PointerFault as exc:
            raise _broken(position, f"a declared place {exc}") from None


def _broken(position: int, message: str) -> JournalError:
    return JournalError("journal.format", f"record {position} of a service's log: {message}")
