"""D2: what becomes of an HTTP request when its host dies, or stops, before the answer is there."""

import asyncio

import pytest
from tests.runtime.fakes import FakeInstance
from tests.runtime.test_durable import DyingJournal, World, let_go  # noqa: F401
from tests.runtime.test_executor import ANSWER
from tests.runtime.test_service import command

from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.permissions import PermissionSet
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands
from yoi.protocol.service_log import Accepted, Effected, decode


def api(**more):
    target = {
        "name": "api",
        "scheme": "https",
        "host": "api.example",
        "methods": ["POST"],
        "path_prefixes": ["/"],
        **more,
    }
    return PermissionSet.parse([{"kind": "host_api", "api": "request"}], [], [target])


class Server:
    """Remembers what it was asked; answers when it is let."""

    def __init__(self):
        self.asked = []
        self.open = asyncio.Event()

    async def send(self, prepared, authorise):
        self.asked.append(prepared.command_id)
        await self.open.wait()
        return ANSWER


class Asking:
    """Asks once for each text; remembers the answers."""

    def __init__(self):
        self.answers = []

    def __call__(self, event):
        if isinstance(event, TextFrame):
            payload = {
                "target": "api",
                "method": "POST",
                "path": "/x",
                "json": {"text": event.text},
            }
            return Commands([command(event, "request", payload, f"{event.event_id}:0")])
        if event.kind == EventKind.RESPONSE:
            self.answers.append((event.payload["ok"], event.payload.get("error", {}).get("code")))
        return NO_COMMANDS


async def asked_once(world, journal, server, asked):
    """Bring a host to where its request waits for the answer; return its bench."""
    bench = world.bench(journal, FakeInstance(Asking()), asked=asked, send=server.send)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    bench.link.receive("go")
    await bench.settle()
    assert len(server.asked) == 1
    return bench


async def afterwards(world, journal, server, asked):
    """Return what the plugin of the next host hears."""
    asking = Asking()
    server.open.set()
    bench = world.bench(journal, FakeInstance(asking), asked=asked, send=server.send)
    await bench.service.start()
    await bench.settle()
    await bench.service.stop()
    return asking.answers


UNKNOWN = [(False, "service.effect_unknown")]


@pytest.mark.parametrize(
    ("before", "after", "repeated"),
    [
        (api(idempotent=True), api(idempotent=True), True),
        (api(), api(), False),
        # Repeated only where it was declared then and is now.
        (api(idempotent=True), api(), False),
        (api(), api(idempotent=True), False),
    ],
)
@pytest.mark.parametrize("stops", [False, True])
async def test_a_request_is_asked_again_only_where_that_is_harmless(before, after, repeated, stops):
    """Effects: with its idempotency key, after a crash as after a stop."""
    world, journal, server = World(), DyingJournal(), Server()
    bench = await asked_once(world, journal, server, before)
    if stops:
        await bench.service.stop()
    else:
        journal.dead.set()
    heard = await afterwards(world, journal.survivor(), server, after)
    assert heard == ([(True, None)] if repeated else UNKNOWN)
    assert server.asked == [server.asked[0]] * (2 if repeated else 1)


async def test_an_answer_settles_its_request_in_the_record_that_accepts_it():
    """Answers and timers: whatever is stored, the plugin hears it, or that it is unknown."""
    world, journal, server = World(), DyingJournal(), Server()
    bench = await asked_once(world, journal, server, api())
    server.open.set()
    await bench.settle()
    records = [decode(data, 1) for data in journal._logs["service:echo"].records]
    (answer,) = [one for one in records if isinstance(one, Accepted) and one.settles]
    assert answer.settles.command_id == server.asked[0]
    ends = [one for one in records if isinstance(one, Effected)]
    assert all(records.index(end) > records.index(answer) for end in ends)
    journal.dead.set()
    # What a host finds that stored nothing after the answer.
    held = MemoryJournal()
    cut = next(at for at, one in enumerate(records) if one is answer) + 1
    data = journal._logs["service:echo"].records[:cut]
    await held.commit([Append("service:echo", 0, data, LogBounds(1000, 1 << 20))])
    assert await afterwards(world, held, server, api()) == [(True, None)]
    assert len(server.asked) == 1
