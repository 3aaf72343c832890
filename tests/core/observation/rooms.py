"""A stream with one feed, as the tests of feeds and followers need it."""

import msgspec
from tests.core.observation.model import KEYS, SUBJECT, AllView, Said
from tests.core.observation.wires import read_frames

from yoi.core.observation import Feed, Framing, Stream
from yoi.limits import LIMITS, Limits
from yoi.protocol.cursors import CursorCodec, Position
from yoi.protocol.observation import Hop, Subject, SubjectKind


class Room:
    """A stream and one feed that counts what it projects."""

    def __init__(self, project=lambda event: event, limits: Limits = LIMITS, **names) -> None:
        subject = Subject(SubjectKind.WORKER, "w", "r") if not names else Subject(**names)
        self.stream = Stream(subject, AllView([]), b"epoch..1", limits)
        self.codec = CursorCodec(KEYS, Hop.BACKEND, SUBJECT, "all")
        self.projected: list[object] = []

        def counted(event):
            self.projected.append(event)
            return project(event)

        self.feed = Feed(
            self.stream,
            self.stream.subject,
            Hop.BACKEND,
            self.codec,
            Framing.WEBSOCKET,
            counted,
            msgspec.json.encode,
        )

    def publish(self, *words: str) -> None:
        for each in words:
            event = Said(self.stream.head + 1, each)
            self.stream.publish(event, msgspec.json.encode(event))

    def restart(self, epoch: bytes = b"epoch..2") -> None:
        self.stream.restart(AllView([]), epoch, "upstream_resync")

    def places(self, data: bytes) -> list[int]:
        """Return the sequences of the frames in `data`, which are all of this incarnation."""
        places = [self.codec.decode(cursor) for _, cursor in read_frames(Framing.WEBSOCKET, data)]
        assert all(isinstance(p, Position) and p.epoch == self.stream.epoch for p in places)
        return [place.seq for place in places]
