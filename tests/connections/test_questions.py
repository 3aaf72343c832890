"""Questions on real sessions of the driver: which socket a number belongs to, and what it costs."""

import json

import pytest
from tests.connections.world import World

from yoi.core.heartbeat import HeartbeatSpec
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS
from yoi.permissions import JsonPointer

ID = JsonPointer.parse("/id")


async def connected(world):
    world.host.start()
    return await world.open()


def ask(world, question, session=None):
    """Send a question as the executor does."""
    world.host.require_question(session, ID)
    number = world.host.values(session).next_count()
    world.host.send_text(session, json.dumps({"id": number}))
    world.host.asked(session, question, ID, number)
    return number


async def test_the_message_with_the_number_is_told_as_the_answer():
    world = World()
    socket = await connected(world)
    assert (ask(world, "q1"), ask(world, "q2")) == (1, 2)
    socket.peer_sends('{"type": "event"}')
    assert (await world.sink.next("text"))[2] == '{"type": "event"}'
    for number, question in ((2, "q2"), (1, "q1")):
        socket.peer_sends(json.dumps({"id": number, "in_reply_to": "forged"}))
        assert (await world.sink.next("answer"))[3] == question
    status = world.host.status()
    assert (status.answers, status.open_questions) == (2, 0)
    await world.shut()


async def test_what_answers_nothing_is_delivered_counted_and_told_once():
    """A second answer, one that comes late, ids that are text or were never used."""
    world = World()
    socket = await connected(world)
    ask(world, "q1")
    ask(world, "q2")
    socket.peer_sends('{"id": 1}')
    await world.sink.next("answer")
    odd = ['{"id": 1}', '{"id": "2"}', '{"id": 9007199254740993}', '{"id": 7}', '{"id": 1.5}']
    for text in odd:
        socket.peer_sends(text)
        assert (await world.sink.next("text"))[2] == text
    world.host.give_up("q2")
    socket.peer_sends('{"id": 2}')
    await world.sink.next("text")
    status = world.host.status()
    assert (status.answers, status.answers_repeated) == (1, 1)
    assert (status.answers_unknown, status.answers_late) == (4, 1)
    told = [one for one in world.sink.seen if one[0] == "notice" and one[1] == "notice.answer"]
    assert len(told) == 2
    await world.shut()


async def test_a_new_session_knows_nothing_of_the_old_ones_questions():
    world = World()
    socket = await connected(world)
    ask(world, "q1")
    socket.peer_closes(1001)
    await world.sink.next("closed")
    world.timers.advance(1)
    socket = await world.open()
    socket.peer_sends('{"id": 1}')
    await world.sink.next("text")
    assert world.host.open_questions == ()
    assert ask(world, "q3") == 1
    socket.peer_sends('{"id": 1}')
    assert (await world.sink.next("answer"))[3] == "q3"
    await world.shut()


async def test_heartbeats_share_the_numbers_and_their_answers_are_ordinary():
    world = World()
    socket = await connected(world)
    world.host.heartbeat(
        HeartbeatSpec(every_ms=1000, render=lambda values: json.dumps({"id": values.next_count()}))
    )
    world.timers.advance(1)
    assert ask(world, "q1") == 2
    socket.peer_sends('{"id": 1, "type": "pong"}')
    await world.sink.next("text")
    assert world.host.status().answers_unknown == 0
    await world.shut()


async def test_frames_are_read_only_while_something_was_asked():
    """A plugin that asks nothing, or no longer waits, pays nothing for this."""
    world = World()
    socket = await connected(world)
    session = world.host._sessions.current
    assert not session._watching
    ask(world, "q1")
    assert session._watching
    socket.peer_sends('{"id": 1}')
    await world.sink.next("answer")
    world.clock.advance(LIMITS.question_memory_ms / 1000)
    socket.peer_sends('{"id": 1}')
    await world.sink.next("text")
    assert not session._watching
    await world.shut()


async def test_open_questions_are_bounded():
    world = World()
    await connected(world)
    for number in range(LIMITS.questions_per_session):
        ask(world, f"q{number}")
    with pytest.raises(ConnectionFailure) as refused:
        ask(world, "one more")
    assert refused.value.code == "connection.questions"
    world.host.give_up(None)
    ask(world, "one more")
    await world.shut()
