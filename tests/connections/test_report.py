"""What a status says of a connection is so now: since when it is down, and why."""

import asyncio

from tests.connections.conftest import ALLOWED
from tests.connections.world import World

from yoi.errors import ConnectionFailure
from yoi.permissions import Decision

DENIED = Decision(allowed=False, code="denied.not_granted", message="not granted", hint="grant it")


async def _closed(world):
    closing = asyncio.ensure_future(world.host.close())
    await world.settle()
    world.timers.advance(60)
    await closing


async def test_a_connection_that_is_lost_is_down_until_the_next_opens():
    world = World()
    world.host.start()
    assert world.host.status().down_since is None  # not reached yet is not lost
    socket = await world.open()
    assert world.host.status().down_since is None
    socket.peer_vanishes()
    await world.sink.next("failed")
    lost = world.host.status()
    assert lost.down_since is not None
    assert lost.last_error_at is not None
    world.timers.advance(1)
    (await world.connector.dialled()).refuse(ConnectionFailure("connection.refused", "no"))
    await world.settle()
    refused = world.host.status()
    assert (refused.down_since, refused.last_error) == (lost.down_since, "no")
    world.timers.advance(60)
    await world.open()
    again = world.host.status()
    assert (again.down_since, again.last_error) == (None, "no")
    await _closed(world)


async def test_after_a_revoked_grant_the_reason_is_the_grant_and_after_a_new_one_there_is_none():
    answers = {"now": ALLOWED}
    world = World(authorise=lambda _: answers["now"])
    world.host.start()
    (await world.connector.dialled()).refuse(ConnectionFailure("connection.refused", "no"))
    await world.settle()
    answers["now"] = DENIED
    assert not world.host.reauthorise()
    status = world.host.status()
    assert (status.last_error_code, status.last_error) == ("denied.not_granted", "not granted")
    assert status.down_since is not None
    answers["now"] = ALLOWED
    assert world.host.reauthorise()
    assert world.host.status().last_error is None
    await world.open()
    assert world.host.status().down_since is None
    await _closed(world)


async def test_a_connection_that_was_stopped_on_purpose_is_not_down():
    world = World()
    world.host.start()
    await world.open()
    world.host.stop()
    await world.settle()
    world.timers.advance(60)
    await world.settle()
    assert world.host.status().down_since is None
    await _closed(world)
