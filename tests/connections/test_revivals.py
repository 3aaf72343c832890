"""D5: each end of a connection for good, and each act that brings it back or does not.

How each end comes about: test_halts.py and core/test_halts.py. Here the machine is put there.
"""

import contextlib

import pytest
from tests.connections.world import World

from yoi.connections import DialTarget
from yoi.core.connection_state import ConnectionState
from yoi.core.halts import HOW, REVIVED_BY, WHY, Change, Halt
from yoi.errors import ConnectionFailure
from yoi.permissions import Url

ELSEWHERE = Url.parse("wss://gateway.example.com/elsewhere")


async def ended(halt):
    """Return a world whose connection has ended so."""
    world = World()
    world.host.start()
    await world.connector.dialled()
    world.host.stop()
    await world.settle()
    machine = world.host._machine
    assert machine.state is ConnectionState.STOPPED
    machine.halt = halt
    return world


def act(world, change):
    """Do what `change` says; what does not suit the end is refused or does nothing."""
    match change:
        case Change.OPEN:
            world.host.open()
        case Change.TARGET:
            world.host.open(DialTarget(ELSEWHERE))
        case _:
            world.host.revive(change)


@pytest.mark.parametrize("change", Change)
@pytest.mark.parametrize("halt", Halt)
async def test_each_act_after_each_end(halt, change):
    world = await ended(halt)
    if change in REVIVED_BY[halt]:
        act(world, change)
        await world.open()
        assert world.host.status().halt is None
    else:
        with contextlib.suppress(ConnectionFailure):  # what a plugin asks for is refused
            act(world, change)
        await world.settle()
        assert world.connector._dials.empty()
        assert world.host.status().halt == halt
    await world.shut()


@pytest.mark.parametrize("halt", Halt)
async def test_a_person_who_says_reconnect_has_it_dialled_whatever_ended_it(halt):
    world = await ended(halt)
    world.host.redial()
    await world.open()
    assert world.host.status().halt is None
    await world.shut()


@pytest.mark.parametrize("halt", Halt)
async def test_status_says_why_it_ended_and_what_would_revive_it(halt):
    world = await ended(halt)
    status = world.host.status()
    assert status.halt == halt
    assert status.revived_by == sorted(REVIVED_BY[halt])
    assert WHY[halt]
    assert all(HOW[Change(one)] for one in status.revived_by)
    await world.shut()
