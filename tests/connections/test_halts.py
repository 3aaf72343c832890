"""N3: refusals end a connection; a secret, a grant, another URL or a person revives it."""

import itertools

import pytest
from tests.connections.conftest import ALLOWED
from tests.connections.world import World

from yoi.connections import DialTarget
from yoi.core.halts import Change
from yoi.core.session_effects import End
from yoi.errors import ConnectionFailure, SecretError
from yoi.limits import LIMITS
from yoi.permissions import Decision, Url

DENIED = Decision(allowed=False, code="denied.not_granted", message="no", hint="grant it")
URL = Url.parse("wss://gateway.example.com/ws")


def answered(status, **fields):
    return ConnectionFailure("connection.handshake", f"answered {status}", status=status, **fields)


async def refused_for_good(world, status=401):
    world.host.start()
    for _ in range(LIMITS.unauthorised_dials):
        (await world.connector.dialled()).refuse(answered(status))
        last = await world.sink.next("failed")
        world.timers.advance(60)
    return last


async def test_401_ends_it_and_status_says_what_would_make_it_dial():
    world = World()
    _, error, retry = await refused_for_good(world)
    assert (error.code, retry) == ("connection.unauthorised", None)
    world.timers.advance(86_400)
    await world.settle()
    assert world.connector._dials.empty()
    status = world.host.status()
    assert (status.state, status.halt, status.last_error_status) == ("failed", "unauthorised", 401)
    assert status.revived_by == ["grant", "person", "secret", "target"]
    await world.shut()


@pytest.mark.parametrize("change", [Change.SECRET, Change.GRANT, Change.PERSON])
async def test_what_changed_makes_it_dial_and_a_few_more_refusals_end_it_again(change):
    world = World()
    await refused_for_good(world)
    assert world.host.revive(change)
    assert world.host.status().halt is None
    for _ in range(LIMITS.unauthorised_dials):
        (await world.connector.dialled()).refuse(answered(403))
        await world.sink.next("failed")
        world.timers.advance(60)
    assert world.host.status().halt == "unauthorised"
    await world.shut()


async def test_a_plugin_that_asks_for_the_same_again_is_told_and_nothing_is_dialled():
    world = World(None)
    ours = DialTarget(URL, inserted=(("x-token", "the-old-token"),))
    world.host.open(ours)
    await refused_for_good(world)
    with pytest.raises(ConnectionFailure) as refused:
        world.host.open(DialTarget(URL, inserted=(("x-token", "the-old-token"),)))
    assert refused.value.code == "connection.unauthorised"
    assert world.connector._dials.empty()
    world.host.open(DialTarget(URL, inserted=(("x-token", "the-new-token"),)))
    assert (await world.connector.dialled()).target.inserted == (("x-token", "the-new-token"),)
    await world.shut()


async def test_a_secret_is_filled_in_anew_for_each_dial():
    """A rotated secret is used by the next dial, though the plugin said nothing since."""
    values = itertools.count(1)

    def made():
        return DialTarget(URL, inserted=(("x-token", f"token-{next(values)}"),), again=made)

    world = World(None)
    world.host.start()
    world.host.open(made())
    seen = []
    for _ in range(3):
        dial = await world.connector.dialled()
        seen.append(dial.target.inserted[0][1])
        dial.refuse(answered(500))
        await world.sink.next("failed")
        world.timers.advance(60)
    assert seen == ["token-2", "token-3", "token-4"]
    await world.shut()


async def test_a_secret_that_is_gone_is_a_failed_dial():
    def again():
        raise SecretError("secret.missing", "there is no secret bot")

    world = World(None)
    world.host.start()
    world.host.open(DialTarget(URL, again=again))
    _, error, retry = await world.sink.next("failed")
    assert (error.code, retry is None) == ("secret.missing", False)
    assert world.connector._dials.empty()
    await world.shut()


async def test_stop_is_the_plugins_and_no_secret_or_grant_undoes_it():
    world = World()
    world.host.start()
    await world.connector.dialled()
    world.host.stop()
    assert not world.host.revive(Change.SECRET)
    assert world.host.reauthorise()
    assert world.host.status().halt == "stopped"
    assert world.host.revive(Change.PERSON)
    await world.open()
    await world.shut()


async def test_a_secret_that_the_server_refused_in_its_own_words_is_waited_for():
    """A server that says no in a message, and closes with 1000: only the plugin can know."""
    world = World()
    world.host.start()
    socket = await world.open()
    world.host.refused("invalid access token")
    socket.peer_closes(1000)
    await world.sink.next("closed")
    world.timers.advance(86_400)
    await world.settle()
    assert world.connector._dials.empty()
    status = world.host.status()
    assert (status.state, status.halt) == ("stopped", "refused")
    assert status.last_error_code == "connection.unauthorised"
    assert status.last_error == "the server refused the secret: invalid access token"
    assert status.down_since is not None
    assert world.host.revive(Change.SECRET)
    await world.open()
    assert world.host.status().down_since is None
    await world.shut()


async def test_a_grant_that_returns_dials_what_it_had_ended():
    answers = [ALLOWED]
    world = World(authorise=lambda url: answers[-1])
    world.host.start()
    socket = await world.open()
    answers.append(DENIED)
    assert not world.host.reauthorise()
    socket.peer_closes(1012)
    await world.sink.next("closed")
    assert world.host.status().halt == "denied"
    answers.append(ALLOWED)
    assert world.host.reauthorise()
    await world.open()
    await world.shut()


@pytest.mark.parametrize("status", [404, 410])
async def test_another_url_after_a_404_is_dialled_at_once(status):
    world = World(None)
    world.host.start()
    for n in range(4):  # failures that have made the pauses long
        world.host.open(DialTarget(URL))
        (await world.connector.dialled()).refuse(answered(500 if n < 3 else status))
        await world.sink.next("failed")
        if n < 3:
            world.timers.advance(60)
    world.host.open(DialTarget(Url.parse("wss://gateway.example.com/other")))
    dial = await world.connector.dialled()
    assert dial.target.url.path == "/other"
    # Once in a row: URLs that all lead nowhere are no way around the pauses.
    dial.refuse(answered(status))
    await world.sink.next("failed")
    world.host.open(DialTarget(Url.parse("wss://gateway.example.com/third")))
    await world.settle()
    assert world.connector._dials.empty()
    await world.shut()


async def test_a_person_has_it_dialled_whatever_it_does():
    world = World()
    world.host.start()
    socket = await world.open()
    world.host.redial()
    socket.peer_closes()
    await world.sink.next("closed")
    world.timers.advance(0)
    dial = await world.connector.dialled()
    dial.refuse(answered(503, retry_after_ms=3_600_000))
    await world.sink.next("failed")
    world.host.redial()
    (await world.connector.dialled()).accept()
    await world.sink.next("opened")
    await world.shut()
    with pytest.raises(ConnectionFailure):
        world.host.redial()


async def test_messages_over_the_grant_wait_for_a_grant_and_never_loop():
    world = World()
    world.host.start()
    too_big = ConnectionFailure("connection.too_big", "9 bytes", hint="max_message_bytes = 9")
    for _ in range(LIMITS.oversized_sessions):
        socket = await world.open()
        socket._arrive(End(1009, "", False, too_big))
        _, error, retry = await world.sink.next("failed")
        world.timers.advance(60)
    assert (error.code, error.hint, retry) == ("connection.oversized", too_big.hint, None)
    world.timers.advance(86_400)
    await world.settle()
    assert world.connector._dials.empty()
    status = world.host.status()
    assert (status.halt, status.revived_by) == ("oversized", ["grant", "person"])
    with pytest.raises(ConnectionFailure) as refused:
        world.host.open(DialTarget(URL))
    assert refused.value.code == "connection.oversized"
    assert world.host.revive(Change.GRANT)
    await world.open()
    await world.shut()
