"""K2: how much of its answers a plugin may have read in a second; over real sockets."""

import dataclasses

from tests.connections.test_request_client import LIMITS, Server, ask, client, reply

from yoi.connections.answer_pace import AnswerPace
from yoi.limits import KIB, MIB, Limits

SLOW = dataclasses.replace(
    LIMITS,
    request_ms=400,
    response_bytes_per_second=16 * KIB,
    response_cost_bytes=1,
    response_burst_bytes=256 * KIB,
)
LARGE = reply(b"x" * (512 * KIB), headers=["Content-Type: text/plain"])


class Time:
    """Goes on while something sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


async def test_what_was_saved_is_read_at_once_and_the_rest_at_the_pace():
    time = Time()
    pace = AnswerPace(time, Limits(), time.sleep)
    for _ in range(16):
        await pace.ready()
        pace.came(64 * KIB)
    assert time.now == 0
    for _ in range(8 * 16):
        await pace.ready()
        pace.came(64 * KIB)
    assert 0.9 < time.now <= 1.0
    assert not pace.is_rested()
    await time.sleep(0.2)
    assert pace.is_rested()


async def test_one_plugin_does_not_wait_for_the_answers_of_another():
    async with Server(LARGE) as server:
        use = client(limits=SLOW)
        slowed = await ask(server, use=use, plugin="a")
        assert (slowed.ok, slowed.error.code) == (False, "request.timeout")
        async with Server(reply(b"small")) as other:
            assert (await ask(other, use=use, plugin="b")).body == "small"


async def test_answers_one_after_the_other_save_nothing_up():
    async with Server(reply(b"x" * (200 * KIB), headers=["Content-Type: text/plain"])) as server:
        use = client(limits=SLOW)
        answers = [await ask(server, use=use) for _ in range(2)]
        assert [answer.ok for answer in answers] == [True, False]
        assert answers[1].error.code == "request.timeout"


async def test_small_answers_one_after_the_other_are_slowed_too():
    limits = dataclasses.replace(SLOW, response_cost_bytes=128 * KIB)
    async with Server(reply(b"small")) as server:
        use = client(limits=limits)
        answers = [await ask(server, use=use) for _ in range(3)]
        assert [answer.ok for answer in answers] == [True, True, False]
        assert answers[2].error.code == "request.timeout"


async def test_a_plugin_at_rest_is_forgotten_and_one_that_was_read_much_is_not():
    fast = dataclasses.replace(LIMITS, response_bytes_per_second=MIB * 1024)
    for limits, kept in ((fast, False), (SLOW, True)):
        async with Server(LARGE) as server:
            use = client(limits=limits)
            await ask(server, use=use, plugin="large")
            server.answers = [reply(b"small")]
            for at in range(20):
                await ask(server, use=use, plugin=f"p{at}")
            assert ("large" in use._shares) == kept
            assert "p0" not in use._shares
