"""D1: what a gateway sends again is marked for the plugin, also after a crash of the host."""

import asyncio
from dataclasses import replace

import pytest
from tests.runtime.fakes import Bench, FakeInstance
from tests.runtime.test_durable import DyingJournal, World, accepted_frames, let_go  # noqa: F401

from yoi.errors import GuestTrapped
from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import Dedupe, OnFull
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS

RULE = Dedupe(JsonPointer.parse("/id"), 60_000, 100)


class Marks:
    """Remembers which messages came, with which attempt, and which of them were marked."""

    def __init__(self):
        self.heard = []

    def __call__(self, event):
        if isinstance(event, TextFrame):
            self.heard.append((event.text, event.attempt, event.duplicate))
        return NO_COMMANDS

    @property
    def marked(self):
        return [(text, duplicate) for text, _, duplicate in self.heard]


def message(name, more=""):
    return f'{{"id": "{name}"{more}}}'


async def begun(bench, session=0):
    await bench.service.start()
    bench.link._count = session
    bench.link.arrive()
    await bench.settle()


@pytest.mark.parametrize("durable", [False, True])
async def test_a_repeat_of_another_session_is_marked(durable):
    marks = Marks()
    bench = Bench([FakeInstance(marks)], dedupe=RULE, durable=durable)
    await begun(bench)
    bench.link.receive(message("a"))
    # In one turn of the loop: the first one's record is not committed yet.
    bench.link.receive(message("a", ', "again": 1'))
    await bench.settle()
    bench.link.end(1006)
    bench.link.arrive()
    for text in (message("a"), message("b"), "no id", "no id"):
        bench.link.receive(text)
    await bench.settle()
    assert [marked for _, marked in marks.marked] == [False, True, True, False, False, False]
    await bench.service.stop()


@pytest.mark.parametrize("durable", [False, True])
async def test_a_message_that_found_no_room_is_new_when_it_comes_again(durable):
    """Its loss is told in a gap; marked, it would be taken for handled."""
    marks = Marks()
    bench = Bench(
        [FakeInstance(marks)],
        dedupe=RULE,
        durable=durable,
        overflow=OnFull.DROP_NEWEST,
        max_events=2,
    )
    await begun(bench)
    names = [f"m{n}" for n in range(8)]
    for name in names:
        bench.link.receive(message(name))
    await bench.settle()
    came = [text for text, _ in marks.marked]
    lost = [name for name in names if message(name) not in came]
    assert lost
    for name in names:
        bench.link.receive(message(name))
        await bench.settle()
    assert marks.marked[len(came) :] == [(message(name), name not in lost) for name in names]
    await bench.service.stop()


async def test_what_was_queued_when_the_service_stopped_is_new_when_it_comes_again():
    marks = Marks()
    bench = Bench([FakeInstance(marks), FakeInstance(marks)], dedupe=RULE)
    await begun(bench)
    bench.link.receive(message("handled"))
    await bench.settle()
    bench.service.guest_lost(GuestTrapped("sandbox.trap", "gone"))
    bench.link.receive(message("queued"))
    await bench.settle()
    await bench.service.stop()
    await begun(bench, 10)
    for name in ("handled", "queued"):
        bench.link.receive(message(name))
    await bench.settle()
    assert marks.marked[1:] == [(message("handled"), True), (message("queued"), False)]
    await bench.service.stop()


async def crashed(world, journal, names, rule=RULE):
    """Live one host's life until its journal dies, or all is done."""
    bench = world.bench(journal, FakeInstance(Marks()), dedupe=rule)
    starting = asyncio.ensure_future(bench.service.start())
    await bench.settle()
    if bench.links:
        bench.link.arrive()
        for name in names:
            bench.link.receive(message(name))
            await bench.settle()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)


async def next_life(world, journal, names, rule=RULE):
    """Return what the plugin of the next host hears when the gateway sends `names` again."""
    marks = Marks()
    bench = world.bench(journal.survivor(), FakeInstance(marks), dedupe=rule)
    await begun(bench, 10)
    for name in names:
        bench.link.receive(message(name))
    await bench.settle()
    await bench.service.stop()
    return marks.heard


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("dies_at", [None, *range(1, 12)])
async def test_redelivery_by_gateways_is_marked_after_a_crash_at_every_commit(dies_at, stored):
    """Redelivery by gateways: a message is known exactly when it was accepted."""
    world, journal = World(), DyingJournal(dies_at, stored)
    await crashed(world, journal, "abc")
    accepted = accepted_frames(journal)
    assert dies_at or len(accepted) == 3
    heard = await next_life(world, journal, "abc")
    first = {text for text, attempt, _ in heard if attempt > 1}
    assert first <= set(accepted)
    again = [(text, duplicate) for text, attempt, duplicate in heard if attempt == 1]
    assert again == [(message(name), message(name) in accepted) for name in "abc"]


async def test_ids_are_bounded_after_a_crash_too():
    rule = replace(RULE, max=2)
    world, journal = World(), DyingJournal()
    await crashed(world, journal, "abc", rule)
    heard = await next_life(world, journal, "abc", rule)
    # `b` and `c` came last; `a` comes anew and so `b` is forgotten, and so on.
    assert [duplicate for _, _, duplicate in heard] == [False, False, False]
    heard = await next_life(world, journal, "cb", rule)
    assert [duplicate for _, _, duplicate in heard] == [True, True]


async def test_an_id_at_another_place_says_nothing():
    world, journal = World(), DyingJournal()
    await crashed(world, journal, "a")
    other = replace(RULE, at=JsonPointer.parse("/other"))
    heard = await next_life(world, journal, ["a", 'x", "other": "a'], other)
    assert [duplicate for _, _, duplicate in heard] == [False, False]
    assert [mark for *_, mark in await next_life(world, journal, "a")] == [True]


async def test_a_plugin_that_declares_it_no_more_hears_of_no_repeat():
    world, journal = World(), DyingJournal()
    await crashed(world, journal, "a")
    assert [mark for *_, mark in await next_life(world, journal, "a", None)] == [False]
