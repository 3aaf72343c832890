"""One stream as one kind of observer gets it: projected, enveloped and encoded, each event once.

All followers of a feed share its bytes. A frame is made when a follower first needs it and kept
while its event is in the ring.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from yoi.core.observation.framing import sse_frame, websocket_frame
from yoi.core.observation.stream import Stream
from yoi.protocol.cursors import CursorCodec, CursorFault, Position
from yoi.protocol.observation import (
    BookmarkFrame,
    DiagnosticFrame,
    Hop,
    ObservationDiagnostic,
    ResumedFrame,
    Subject,
    encode_frame,
    observation_diagnostic,
)

E = TypeVar("E")
_HIDDEN = b""
_SPANS = 4
"""Positions from which joined frames are kept: most followers are at one of a few."""
_EVENT = b'{"kind":"event","envelope":{"cursor":"%b","event_id":"%b-%d%b",%b,"payload":%b}}'
"""An EventFrame, written out: the payload is JSON already and is not read again."""


class Framing(StrEnum):
    """How frames are carried."""

    WEBSOCKET = "websocket"
    SSE = "sse"


class Feed(Generic[E]):
    """Encodes the events of `stream`, as the stream of `subject`, in the form that `framing` says.

    `project` returns the event itself, a placeholder, or None where it is hidden. `resynced` is
    called with the observation code of each fresh snapshot in band.
    """

    def __init__(
        self,
        stream: Stream[E],
        subject: Subject,
        hop: Hop,
        codec: CursorCodec,
        framing: Framing,
        project: Callable[[E], E | None],
        encode: Callable[[E], bytes],
        resynced: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.stream = stream
        self._resynced = resynced
        self.hop = hop
        self._codec = codec
        self._framing = framing
        self._project = project
        self._encode = encode
        self._frames: dict[int, bytes] = {}
        self._snapshot: tuple[tuple[int, int], bytes] | None = None
        self._past: tuple[tuple[int, int], bytes] | None = None
        self._bookmark: tuple[tuple[int, int, bool], bytes] | None = None
        self._spans: dict[int, tuple[bytes, int]] = {}
        self._spans_of = stream.version
        ids = {"runtime_id": subject.runtime_id} if subject.runtime_id else {}
        ids[subject.kind.field] = subject.name
        self._names = msgspec.json.encode(ids)[1:-1]
        stream.on_evicted(self._forget)

    def close(self) -> None:
        """Let go of the stream, once no follower is left."""
        self.stream.off_evicted(self._forget)

    def frame(self, seq: int) -> bytes:
        """Return the frame of event `seq`, empty where it is hidden; IndexError if not held."""
        made = self._frames.get(seq)
        if made is None:
            held = self.stream.held(seq)
            shown = self._project(held.event)
            if shown is None:
                made = _HIDDEN
            else:
                raw = held.raw if shown is held.event else self._encode(shown)
                made = self._event(seq, "", raw)
            self._frames[seq] = made
        return made

    def span(self, first: int, most_bytes: int) -> tuple[bytes, int]:
        """Return the frames from `first` on, joined, and the last sequence among them.

        At least one frame where there is one, then as many as fit `most_bytes`; nothing means that
        all up to the head is hidden. Followers at the same position share the bytes.
        """
        if self._spans_of != self.stream.version:
            self._spans_of = self.stream.version
            self._spans = {}
        made = self._spans.get(first)
        if made is None or (len(made[0]) > most_bytes and made[1] != first):
            made = self._joined(first, most_bytes)
            if len(self._spans) == _SPANS:
                self._spans = {}
            self._spans[first] = made
        return made

    def snapshot(self) -> bytes:
        """Return the snapshot as of the stream's head; made once per position."""
        key = (self.stream.generation, self.stream.head)
        if self._snapshot is None or self._snapshot[0] != key:
            self._snapshot = (key, self._shown(self.stream.head, self.stream.snapshot()))
        return self._snapshot[1]

    def snapshot_at(self, seq: int) -> bytes:
        """Return the snapshot as of `seq`, which must be replayable; the last one is kept."""
        if seq == self.stream.head:
            return self.snapshot()
        key = (self.stream.generation, seq)
        if self._past is None or self._past[0] != key:
            self._past = (key, self._shown(seq, self.stream.snapshot_at(seq)))
        return self._past[1]

    def bookmark(self, seq: int, *, up_to_date: bool) -> bytes:
        """Return the frame that says that all up to `seq` was sent."""
        key = (self.stream.generation, seq, up_to_date)
        if self._bookmark is None or self._bookmark[0] != key:
            cursor = self.cursor(seq)
            frame = encode_frame(BookmarkFrame(cursor, up_to_date))
            self._bookmark = (key, self._wrap(frame, "bookmark", cursor))
        return self._bookmark[1]

    def resumed(self, seq: int) -> bytes:
        """Return the frame that says that exactly what follows `seq` comes next."""
        cursor = self.cursor(seq)
        return self._wrap(encode_frame(ResumedFrame(cursor)), "resumed", cursor)

    def diagnostic(self, name: str, message: str | None = None, **fields: int) -> bytes:
        """Return the diagnostic `name` as this hop says it."""
        return self.told(observation_diagnostic(self.hop, name, message, **fields))

    def resync(self, name: str, **fields: int) -> bytes:
        """Return the diagnostic that says why a snapshot follows, and count it."""
        self._resynced(name)
        return self.diagnostic(name, None, **fields)

    def told(self, entry: ObservationDiagnostic) -> bytes:
        """Return `entry` as a frame."""
        return self._wrap(encode_frame(DiagnosticFrame(entry)), "diagnostic", "")

    def cursor(self, seq: int) -> str:
        """Return the cursor of the position after event `seq`."""
        return self._codec.encode(self.stream.epoch, seq)

    def locate(self, text: str) -> int | CursorFault:
        """Return the sequence after which a client with cursor `text` resumes, or why not."""
        found = self._codec.decode(text)
        if not isinstance(found, Position):
            return found
        return self.stream.judge(found) or found.seq

    def _joined(self, first: int, most_bytes: int) -> tuple[bytes, int]:
        head = self.stream.head
        if first == head:
            return self.frame(first), first
        pieces: list[bytes] = []
        room, seq = most_bytes, first - 1
        while seq < head:
            frame = self.frame(seq + 1)
            if frame:
                if pieces and len(frame) > room:
                    break
                pieces.append(frame)
                room -= len(frame)
            seq += 1
        return b"".join(pieces), seq

    def _shown(self, seq: int, snapshot: E) -> bytes:
        shown = self._project(snapshot)
        if shown is None:
            raise LookupError("a policy may empty a snapshot, but not hide it")
        return self._event(seq, ".s", self._encode(shown))

    def _event(self, seq: int, suffix: str, raw: bytes) -> bytes:
        cursor = self.cursor(seq)
        frame = _EVENT % (
            cursor.encode(),
            self.stream.epoch.hex().encode(),
            seq,
            suffix.encode(),
            self._names,
            raw,
        )
        return self._wrap(frame, "event", cursor)

    def _wrap(self, frame: bytes, kind: str, cursor: str) -> bytes:
        if self._framing is Framing.WEBSOCKET:
            return websocket_frame(frame)
        return sse_frame(frame, kind, cursor)

    def _forget(self, seq: int) -> None:
        self._frames.pop(seq, None)
