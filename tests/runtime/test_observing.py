"""What a runtime shows: streams of real workers and services continue their snapshots exactly."""

from tests.workers.worlds import World, answers, tool

from yoi.core.observation import ServiceView, Stream, WorkerView
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.observation import Subject, SubjectKind
from yoi.runtime.observing import Observing, ServiceTap
from yoi.testing import ManualClock
from yoi.workers.scripted import CallTool, Say, Think

KEYS = CursorKeys(b"key1", {b"key1": b"k" * 32})


class Heard:
    """Folds what a stream says, as an observer would."""

    def __init__(self, stream):
        self.view = WorkerView.of(stream.snapshot())
        self.restarts = []
        self.end = None
        self.stream = stream
        stream.listen(self)

    def published(self, seq, held):
        self.view.apply(held.event)

    def restarted(self, reason):
        self.restarts.append(reason)
        self.view = WorkerView.of(self.stream.snapshot())

    def ended(self, reason):
        self.end = reason


def observing(statuses=dict):
    return Observing(KEYS, statuses, ManualClock())


def stream_of(watched, name):
    return watched.hub.channel(Subject(SubjectKind.WORKER, name)).stream


async def test_a_stream_adds_up_to_what_the_worker_says_of_itself():
    script = answers(
        [Think("hm"), Say("let me see"), CallTool("echo", '{"text":"hi"}')], [Say("done")]
    )
    async with World(script, [tool()]) as world:
        watched = observing()
        watched.follow_workers([world.worker])
        heard = Heard(stream_of(watched, world.worker.name))
        await world.worker.send("go")
        await world.until(ev.RunEnd)
        await world.until_status("idle")
        assert heard.view.snapshot() == world.worker.snapshot()
        assert heard.stream.snapshot() == world.worker.snapshot()


async def test_a_worker_that_goes_ends_its_stream_and_one_that_comes_back_begins_anew():
    async with World(answers([Say("done")])) as world:
        watched = observing()
        watched.follow_workers([world.worker])
        heard = Heard(stream_of(watched, world.worker.name))
        watched.follow_workers([])
        assert heard.end == "stream_closed"
        watched.follow_workers([world.worker])
        assert stream_of(watched, world.worker.name) is not heard.stream


async def test_another_worker_of_the_same_name_restarts_the_stream():
    async with World(answers([Say("one")])) as first, World(answers([Say("two")])) as second:
        watched = observing()
        watched.follow_workers([first.worker])
        heard = Heard(stream_of(watched, first.worker.name))
        epoch = heard.stream.epoch
        watched.follow_workers([second.worker])
        assert heard.restarts == ["upstream_resync"]
        assert heard.stream.epoch != epoch
        await first.worker.send("go")
        await first.until(ev.RunEnd)
        assert heard.view.snapshot().data.entries == []
        await second.worker.send("go")
        await second.until(ev.RunEnd)
        assert heard.view.snapshot().data.entries[-1]["type"] == "run_end"


async def test_a_word_that_cannot_be_shown_leaves_no_gap_and_no_silence():
    """A listener that fails is dropped by its bus: the stream would stand still and look well."""
    async with World(answers([Say("one")], [Say("two")])) as world:
        watched = observing()
        watched.follow_workers([world.worker])
        heard = Heard(stream_of(watched, world.worker.name))
        world.worker.bus.publish(ev.TextDelta(ev.TextData(text="\ud800")))
        assert heard.restarts == ["upstream_resync"]
        await world.worker.send("go")
        await world.until(ev.RunEnd)
        await world.until_status("idle")
        assert heard.view.snapshot() == world.worker.snapshot()


async def test_while_a_worker_cannot_be_shown_the_next_event_tries_again():
    async with World(answers([Say("one")])) as world:
        watched = observing()
        watched.follow_workers([world.worker])
        heard = Heard(stream_of(watched, world.worker.name))
        whole = world.worker.snapshot

        def none():
            raise ProtocolMalformed("protocol.malformed", "beyond every bound")

        world.worker.snapshot = none
        bad = ev.Alert(ev.AlertData(level="error", source="x", message="\ud800", timestamp_ms=0))
        world.worker.bus.publish(bad)
        world.worker.bus.publish(ev.TextDelta(ev.TextData(text="lost")))
        assert heard.stream.head == 0
        world.worker.snapshot = whole
        world.worker.bus.publish(ev.TextDelta(ev.TextData(text="again")))
        assert heard.restarts == ["upstream_resync"]
        assert heard.view.snapshot() == world.worker.snapshot()


def test_a_status_that_cannot_be_shown_harms_no_service_and_no_other():
    stream = Stream(Subject(SubjectKind.SERVICE, "s"), ServiceView({}), b"epoch--1")
    tap = ServiceTap(stream, {}, LIMITS)
    deep = {"a": {}}
    inner = deep
    for _ in range(100):
        inner["a"] = inner = {}
    tap.status(deep)
    tap.status({"queue": "\ud800"})
    tap.status({"queue": "full"})
    assert stream.snapshot().data.status == {"queue": "full"}
    assert stream.head == 1
