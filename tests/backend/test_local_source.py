"""The runtime of this process: its stream is shared, not copied, and nothing of it is held here."""

from tests.backend.served import Runtime
from tests.backend.world import KEYS, Client, text, turn

from yoi.backend.lease import Lease
from yoi.backend.local_source import LocalSource, SharedStreams
from yoi.core.observation import WorkerView
from yoi.protocol import events as ev
from yoi.protocol.cursors import CursorCodec, Position
from yoi.protocol.observation import CloseCode, Hop, Subject, SubjectKind
from yoi.serving.admission import Declined
from yoi.serving.hub import Hub
from yoi.types import SystemClock

OWN = Subject(SubjectKind.WORKER, "w")
WORKER = Subject(SubjectKind.WORKER, "w", "r")


class Beside:
    """A runtime with one worker, and a backend's hub beside it."""

    def __init__(self) -> None:
        self.runtime = Runtime("w")
        self.hub = Hub(Hop.BACKEND, KEYS, SystemClock())
        self.shared = SharedStreams(self.hub)
        self.source = self.runtime.local("r")

    @property
    def stream(self):
        return self.runtime.streams["w"]

    def lease(self) -> Lease | Declined:
        return self.shared.lease(self.source, WORKER)

    def client(self, cursor=None) -> Client:
        return Client(self.lease()).open(cursor)


async def test_clients_are_handed_the_runtime_s_own_events_at_its_own_positions() -> None:
    beside = Beside()
    beside.runtime.say(text("a"))
    client = beside.client()
    assert client.lease.channel.stream is beside.stream
    beside.runtime.say(text("b"))
    await turn()
    epoch = beside.stream.epoch.hex()
    assert client.words == ["snapshot", "text_delta:b"]
    assert client.ids == [f"{epoch}-1.s", f"{epoch}-2"]
    assert client.frames[-1].envelope.runtime_id == "r"
    codec = CursorCodec(KEYS, Hop.BACKEND, WORKER, "full")
    assert codec.decode(client.cursor) == Position(beside.stream.epoch, 2)


async def test_what_was_missed_is_replayed_from_the_runtime_s_ring() -> None:
    beside = Beside()
    client = beside.client()
    client.leave()
    assert len(beside.shared) == 0
    assert beside.hub.channel(WORKER) is None
    assert beside.stream.listeners == 1  # the runtime's own channel
    beside.runtime.say(text("a"))
    again = beside.client(client.cursor)
    assert again.words == ["resumed", "text_delta:a", "bookmark"]


async def test_a_stream_that_begins_anew_says_so_at_once() -> None:
    beside = Beside()
    client = beside.client()
    greeting = ev.Greeting(worker_name="w", provider="p", model="m", tools=[])
    beside.stream.restart(WorkerView(greeting), b"epoch--2", "upstream_resync")
    beside.runtime.say(text("c"))
    await turn()
    assert client.words[:3] == ["snapshot", "!upstream_resync", "snapshot"]
    assert client.ids[1] == b"epoch--2".hex() + "-1.s"


async def test_an_end_is_told_and_a_later_worker_of_that_name_is_another_stream() -> None:
    beside = Beside()
    client = beside.client()
    beside.runtime.say(text("a"))
    beside.runtime.hub.remove(OWN)
    await turn()
    assert client.words == ["snapshot", "text_delta:a", "!stream_closed"]
    assert client.code is CloseCode.STREAM_CLOSED
    assert beside.lease() == Declined("worker_not_found")
    beside.runtime.begin()
    beside.source = beside.runtime.local("r")
    later = beside.client()
    assert later.lease.channel is not client.lease.channel
    assert later.words == ["snapshot"]
    client.leave()
    beside.runtime.say(text("z"))
    await turn()
    assert later.words == ["snapshot", "text_delta:z"]
    later.leave()
    assert list(beside.hub) == []


async def test_who_takes_nothing_when_a_stream_ends_is_cut_off_all_the_same() -> None:
    beside = Beside()
    client = beside.client()
    client.watcher.pause(-1000.0)
    beside.runtime.hub.remove(OWN)
    beside.runtime.begin()
    beside.source = beside.runtime.local("r")
    later = beside.client()
    assert beside.hub.stalled == 1
    beside.hub.tick()
    assert client.code is CloseCode.SLOW_CONSUMER
    assert beside.hub.watched == 1
    later.leave()


async def test_paths_of_this_machine_are_shown_to_nobody() -> None:
    beside = Beside()
    snapshot = beside.stream.snapshot()
    snapshot.data.greeting.cwd = "/home/operator/secret-project"
    client = beside.client()
    beside.runtime.say(snapshot)
    await turn()
    late = beside.client()
    assert client.words == ["snapshot", "snapshot"]
    assert b"secret-project" not in client.data + late.data
    assert beside.stream.snapshot().data.greeting.cwd == "/home/operator/secret-project"


async def test_what_is_missing_may_yet_come_while_a_runtime_starts() -> None:
    runtime = Runtime()
    settled = False
    source = LocalSource("r", runtime.hub, runtime.inventory, settled=lambda: settled)
    assert source.stream(WORKER).name == "runtime_unavailable"
    settled = True
    assert source.stream(WORKER) == Declined("worker_not_found")
    service = Subject(SubjectKind.SERVICE, "s", "r")
    assert source.stream(service) == Declined("service_not_found")


async def test_the_stream_is_brought_up_to_date_before_it_is_shared() -> None:
    runtime, refreshed = Runtime("w"), []
    source = LocalSource("r", runtime.hub, runtime.inventory, refreshed.append)
    assert source.stream(WORKER) is runtime.streams["w"]
    assert refreshed == [OWN]


async def test_the_inventory_is_what_the_runtime_has_now() -> None:
    runtime = Runtime("w", "x")
    assert [row.id for row in runtime.local().inventory.workers] == ["w", "x"]
