"""D1, W6: a wall clock that jumps, with a durable service and over a restart of its host."""

from datetime import timedelta

import pytest
from tests.runtime.fakes import FakeInstance
from tests.runtime.test_durable import DyingJournal, World, command, frames_of, let_go  # noqa: F401

from yoi.permissions import JsonPointer
from yoi.permissions.connection_settings import Dedupe
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands
from yoi.testing import ManualClock

HOUR = 3600


class JumpingClock(ManualClock):
    """Its wall time may be set; what it measures with goes on."""

    def jump(self, seconds):
        self._start += timedelta(seconds=seconds)


class Hearing:
    """Sets a timer for the first text; remembers what came."""

    def __init__(self):
        self.texts, self.fired, self.gaps = [], 0, []

    def __call__(self, event):
        if event.kind == EventKind.TIMER:
            self.fired += 1
        elif event.kind == EventKind.GAP:
            self.gaps.append((event.payload["since_ms"], event.payload["until_ms"]))
        elif isinstance(event, TextFrame):
            self.texts.append((event.text, event.duplicate))
            if event.text == '{"id": 0}':
                set_it = {"name": "t", "after_ms": 600_000}
                return Commands([command(event, "timer_set", set_it)])
        return NO_COMMANDS


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 20 * 365 * 24 * HOUR, -20 * 365 * 24 * HOUR])
async def test_a_jump_changes_no_order_and_a_timer_by_no_more_than_itself(jump):
    world = World()
    world.clock = clock = JumpingClock()
    rule = Dedupe(JsonPointer.parse("/id"), 7 * 24 * HOUR * 1000, 100)
    journal, hearing = DyingJournal(), Hearing()
    bench = world.bench(journal, FakeInstance(hearing), dedupe=rule)
    await bench.service.start()
    bench.link.arrive()
    bench.link.complete_until_ms = clock.wall_ms
    for n in range(6):
        bench.link.receive(f'{{"id": {n}}}')
        if n in (1, 3):
            clock.jump(jump if n == 1 else -jump)
        if n % 2 or n == 0:
            await bench.settle()
    bench.service._durability._mark_alive()
    await bench.settle()
    assert [text for text, _ in hearing.texts] == [f'{{"id": {n}}}' for n in range(6)]
    assert not any(mark for _, mark in hearing.texts)
    journal.dead.set()
    # While the host is away the clock is set, and 5 of the 10 minutes pass.
    clock.jump(jump)
    clock.advance(300)
    after = Hearing()
    later = world.bench(journal.survivor(), FakeInstance(after), dedupe=rule)
    await later.service.start()
    later.link._count = 10
    later.link.arrive()
    later.link.receive('{"id": 6}')
    await later.settle()
    left = {
        name: due for (_, name), due in later.service._durability._writer.picture.timers.items()
    }
    if jump > 0:
        assert after.fired == 1
    else:
        assert after.fired == 0
        assert 0 <= (left["t"] - clock.wall_ms()) / 1000 - 300 <= abs(jump)
    ((since_ms, until_ms),) = after.gaps
    assert since_ms <= until_ms == clock.wall_ms()
    assert after.texts == [('{"id": 6}', False)]
    # Known ids stay known where the clock was set back, or by less than they are kept.
    later.link.receive('{"id": 5}')
    await later.settle()
    assert after.texts[1:] == [('{"id": 5}', jump <= HOUR)]
    await later.service.stop()
