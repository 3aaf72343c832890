"""The runtime of this process as a source: one step from snapshot to live, and nothing raised."""

from tests.backend.served import Runtime
from tests.backend.world import text, turn

from yoi.backend.source import LossKind, Position, Resume
from yoi.core.observation import WorkerView
from yoi.errors import ProtocolMalformed
from yoi.protocol import events as ev
from yoi.protocol.observation import Subject, SubjectKind

WORKER = Subject(SubjectKind.WORKER, "w", "r")


class Sink:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list = []
        self.raises: Exception | None = None

    def snapshot(self, at, cursor, event) -> None:
        self.heard.append(("snapshot", at.seq))

    def resumed(self) -> None:
        self.heard.append("resumed")

    def event(self, at, cursor, event, raw) -> None:
        if self.raises is not None:
            raise self.raises
        self.heard.append((event.data.text, at.seq))

    def caught_up(self) -> None:
        self.heard.append("caught up")

    def lost(self, loss) -> None:
        self.heard.append(loss.kind)


async def followed(resume=None):
    runtime, sink = Runtime("w"), Sink()
    runtime.say(text("a"))
    runtime.say(text("b"))
    link = runtime.local("r").open(WORKER, sink, resume and resume(runtime))
    assert sink.heard == []
    await turn()
    return runtime, sink, link


def at(seq: int):
    return lambda runtime: Resume(Position(runtime.streams["w"].epoch.hex(), seq), "")


async def test_a_snapshot_then_what_follows_until_closed() -> None:
    runtime, sink, link = await followed()
    runtime.say(text("c"))
    link.close()
    link.close()
    runtime.say(text("d"))
    assert sink.heard == [("snapshot", 2), ("c", 3)]
    assert runtime.streams["w"].listeners == 1


async def test_a_place_that_is_held_is_resumed_exactly() -> None:
    runtime, sink, _ = await followed(at(1))
    runtime.say(text("c"))
    assert sink.heard == ["resumed", ("b", 2), "caught up", ("c", 3)]


async def test_a_place_that_is_not_held_is_a_snapshot() -> None:
    for resume in (at(3), lambda _: Resume(Position("another", 1), "")):
        _, sink, _ = await followed(resume)
        assert sink.heard == [("snapshot", 2)]


async def test_a_stream_that_begins_anew_says_so_at_once() -> None:
    runtime, sink, _ = await followed()
    greeting = ev.Greeting(worker_name="w", provider="p", model="m", tools=[])
    runtime.streams["w"].restart(WorkerView(greeting), b"epoch--2", "upstream_resync")
    runtime.say(text("c"))
    assert sink.heard == [("snapshot", 2), ("snapshot", 0), ("c", 1)]


async def test_an_end_and_an_absence_are_told_apart() -> None:
    runtime, sink, _ = await followed()
    subject = Subject(SubjectKind.WORKER, "w")
    runtime.hub.remove(subject)
    assert sink.heard[-1] is LossKind.ENDED
    later = Sink()
    runtime.local("r").open(WORKER, later, None)
    await turn()
    assert later.heard == [LossKind.NOT_FOUND]


async def test_what_a_sink_makes_of_it_never_hurts_the_worker() -> None:
    for raises in (ProtocolMalformed("protocol.malformed", "no"), RuntimeError("a defect")):
        runtime, sink, _ = await followed()
        sink.raises = raises
        runtime.say(text("c"))
        runtime.say(text("d"))
        assert sink.heard == [("snapshot", 2), LossKind.MALFORMED]
        assert runtime.streams["w"].head == 4


async def test_a_link_that_is_given_up_before_it_began_hears_nothing() -> None:
    runtime, sink = Runtime("w"), Sink()
    runtime.local("r").open(WORKER, sink, None).close()
    await turn()
    assert sink.heard == []
    assert runtime.streams["w"].listeners == 1


async def test_the_inventory_is_what_the_runtime_has_now() -> None:
    runtime = Runtime("w", "x")
    assert [row.id for row in runtime.local().inventory.workers] == ["w", "x"]
