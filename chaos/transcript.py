"""What a client wrote down, one JSON array a line, and how it is read again.

    ["open", CURSOR or null, SNAPSHOT_ALWAYS]   a watch, or a connection, begins
    ["frame", TEXT]                             a frame as it came from the socket
    ["value", NAME, {...}]                      a value of the client library
    ["over", WHY]                               the client was told that nothing will follow

A line is written before the next frame is looked at, so what is in here is all that the client has
ever been given; a client that was killed goes on from here.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

Json = dict[str, Any]
StepKind = Literal["open", "snapshot", "event", "resync", "said", "over"]
REPEATED = "client.duplicates"
"""The code of a library's value for events that came again, and that it dropped."""
_EVENT_ID = re.compile(r"([0-9a-f]+)-(\d+)(\.s)?")


class Place(NamedTuple):
    """An incarnation of a stream, and a number in it."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a client, whichever kind of client it is.

    `code` is a resync's or a diagnostic's, or why it is over. `again` is set where a connection
    presents a cursor and asks for the state as of it.
    """

    kind: StepKind
    place: Place | None = None
    payload: Json = field(default_factory=dict)
    cursor: str | None = None
    code: str = ""
    again: bool = False


class Transcript:
    """Appends to the file at `path`; what a kill has left of a last line is dropped first."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        kept = path.read_bytes()
        if kept and not kept.endswith(b"\n"):
            os.truncate(path, kept.rfind(b"\n") + 1)

    def write(self, *line: Any) -> None:
        """Append one line."""
        os.write(self._fd, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def steps(path: Path) -> Iterator[Step]:
    """Return what is written in `path`, in order."""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield from _read(msgspec.json.decode(line))


class Saved(NamedTuple):
    """Where a client that was killed goes on."""

    cursor: str | None = None
    place: Place | None = None


def saved(path: Path) -> Saved:
    """Return the newest cursor and place in a transcript."""
    cursor, place = Saved()
    for step in steps(path) if path.exists() else ():
        if step.kind != "open":
            cursor, place = step.cursor or cursor, step.place or place
    return Saved(cursor, place)


def read_frame(text: str | bytes) -> Iterator[Step]:
    """Return the steps in one frame of a server."""
    frame = msgspec.json.decode(text)
    match frame.get("kind"):
        case "event":
            envelope = frame["envelope"]
            yield _event(envelope["event_id"], envelope["cursor"], envelope["payload"])
        case "diagnostic":
            told = frame["diagnostic"]
            kind: StepKind = "resync" if told["action"] == "resync" else "said"
            yield Step(kind, code=told["code"])
        case "resumed" | "bookmark":
            yield Step("said", cursor=frame["cursor"], code=frame["kind"])


def _read(line: list[Any]) -> Iterator[Step]:
    match line:
        case ["open", cursor, again]:
            yield Step("open", cursor=cursor, again=again)
        case ["frame", text]:
            yield from read_frame(text)
        case ["value", "Snapshot" | "Event", told]:
            yield _event(told["id"], told["cursor"], told["payload"])
        case ["value", "Resync", told]:
            yield Step("resync", code=told["code"])
        case ["value", name, told]:
            yield Step("said", cursor=told.get("cursor"), code=told.get("code", name))
        case ["over", why]:
            yield Step("over", code=why)
        case _:
            raise ValueError(f"not a transcript's line: {line!r:.80}")


def _event(event_id: str, cursor: str, payload: Json) -> Step:
    found = _EVENT_ID.fullmatch(event_id)
    if found is None:
        raise ValueError(f"not an event id: {event_id!r:.80}")
    place = Place(found[1], int(found[2]))
    return Step("snapshot" if found[3] else "event", place, payload, cursor)
