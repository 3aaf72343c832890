"""examples/discord-gateway through the whole host, against a gateway with real sockets.

The gateway is held to Discord's behaviour by discord.py: tests/discord_gateway/test_gateway.py.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.canary import Canaries
from tests.discord_gateway.gateway import DiscordGateway, sent
from tests.examples.installed import Installed


class Bot(Installed[DiscordGateway]):
    """The example, its addresses set to the gateway's."""

    example, instance = "discord-gateway", "discord"

    def addresses(self) -> tuple[tuple[str, str], ...]:
        return (
            (
                'scheme = "wss", host = "*.discord.gg"',
                f'scheme = "ws", host = "127.0.0.1", port = {self.gateway.ws_port}',
            ),
            (
                'scheme = "https"\nhost = "discord.com"',
                f'scheme = "http"\nhost = "127.0.0.1"\nport = {self.gateway.http_port}',
            ),
        )


@pytest.fixture
async def discord() -> AsyncIterator[DiscordGateway]:
    async with DiscordGateway() as gateway:
        yield gateway


@pytest.fixture
def bot(prepared: Any, discord: DiscordGateway) -> Bot:
    made: Bot = prepared(Bot, discord)
    made.keep("discord-bot", discord.api.token)
    made.enable(made.install().granting({"bot": "discord-bot"}), prefix="> ")
    return made


async def test_it_signs_in_beats_and_answers_with_a_token_that_nothing_shows(bot, discord):
    """W9, W10: the token is in messages and requests; the plugin, logs and files have none."""
    canaries = Canaries()
    canaries.mark("bot", discord.api.token)
    discord.interval_ms = 1_000
    async with bot.runtime() as runtime:
        await discord.ready()
        discord.message("hi {{bot}} @everyone")
        await discord.until(lambda: discord.api.said)
        # The heartbeat has the last number that came; the first leaves within one interval.
        await discord.until(lambda: 2 in sent(discord.sockets, 1))
        before = len(sent(discord.sockets, 1))
        discord.socket.send(1)
        await discord.until(lambda: len(sent(discord.sockets, 1)) > before)
        discord.message("", guild_id="1", content="not for us")
        discord.message("count")
        await discord.answered(2)
        service = runtime.services["discord"]
        traces = canaries.grep_everything(
            status=msgspec.json.encode(service.status()),
            diagnostics=[msgspec.to_builtins(entry) for entry in bot.diagnostics],
            reprs=[repr(service), repr(service.spec)],
            files=bot.folder,
        )
    assert traces == []
    assert discord.api.said == [
        "> hi {{bot}} @everyone",
        "I have answered 2 messages since I started.",
    ]
    [identify] = sent(discord.sockets, 2)
    assert identify["token"] == discord.api.token
    [first, _] = discord.api.of("/messages")
    assert first.values["allowed_mentions"] == {"parse": []}
    assert {call.token for call in discord.api.calls} == {discord.api.token}


async def test_a_lost_socket_is_resumed_with_the_last_number_that_was_handled(bot, discord):
    """Opcode 7, opcode 9 that may be resumed, a close, a reset: nothing lost, nothing twice."""
    async with bot.runtime():
        await discord.ready()
        expected = []
        for number, how in enumerate(("reconnect", "invalid", "close", "kill"), 1):
            discord.message(f"before {how}")
            await discord.answered(2 * number - 1)
            socket = discord.socket
            match how:
                case "kill":
                    socket.kill()
                case "close":
                    await socket.close(4000, "bye")
                case _:
                    socket.send(7 if how == "reconnect" else 9, True)
            await discord.until(lambda socket=socket: discord.ended_by(socket))
            discord.message(f"during {how}")
            await discord.answered(2 * number)
            expected += [f"> before {how}", f"> during {how}"]
    assert discord.api.said == expected
    assert len(discord.identified) == 1
    # A plugin that is slow to say where may cost a dial; it is never a session.
    assert {socket.path for socket in discord.sockets[1:]} == {"/resume/"}
    # What was handled: READY and the message before; and each time what came since.
    assert discord.resumed[0] == 2
    assert discord.resumed == sorted(discord.resumed)


async def test_numbers_that_are_missing_are_fetched_by_resuming(bot, discord):
    async with bot.runtime() as runtime:
        await discord.ready()
        discord.message("one")
        await discord.until(lambda: discord.api.said)
        discord.message("two", lost=True)
        discord.message("three")
        await discord.answered(3)
        [link] = runtime.services["discord"].status().connections
        assert link.sequence_gaps == 1
    assert discord.api.said == ["> one", "> two", "> three"]
    assert discord.resumed == [2]
    assert bot.said("events are missing")


async def test_a_channel_is_not_posted_to_faster_than_discord_says(bot, discord):
    """The bucket's headers hold the channel; what is refused (429) is posted later, in order."""
    discord.api.bucket, discord.api.bucket_seconds = 2, 0.5
    async with bot.runtime():
        await discord.ready()
        discord.api.limit_next(0.2)
        for number in range(5):
            discord.message(f"{number}")
        discord.message("elsewhere", channel="42")
        await discord.answered(6)
    in_order = [text for text in discord.api.said if text != "> elsewhere"]
    assert in_order == [f"> {number}" for number in range(5)]
    assert len(discord.api.of("/messages", 429)) == 1, "only the one that was scripted"


async def test_a_revoked_token_ends_it_and_a_new_one_begins_it_anew(bot, discord):
    discord.identify_seconds = 0.0
    async with bot.runtime():
        await discord.ready()
        discord.message("one")
        await discord.until(lambda: discord.api.said)
        discord.api.token = "MTAw.Yoi.bbbbbbbbbbbbbbbbbbbbbbbb"
        discord.socket.kill()
        await bot.diagnostics.until(lambda: bot.said("yoi secret set discord-bot"))
        await bot.diagnostics.until(lambda: "connection.fatal_close" in bot.diagnostics.codes)
        dials = len(discord.sockets)
        bot.keep("discord-bot", discord.api.token)
        await discord.ready(dials + 1)
        discord.message("two")
        await discord.answered(2)
    assert discord.api.said == ["> one", "> two"]
    assert len(discord.identified) == 2


async def test_a_restart_resumes_and_hears_what_was_said_meanwhile(bot, discord):
    async with bot.runtime():
        await discord.ready()
        discord.message("one")
        await discord.until(lambda: discord.api.said)
    await discord.until(lambda: discord.over)
    assert discord.over[0][1] == 4000, "1001 would have ended the session"
    discord.message("two")
    async with bot.runtime():
        await discord.ready(2)
        await discord.answered(2)
    assert discord.api.said == ["> one", "> two"]
    assert len(discord.identified) == 1


async def test_no_session_is_begun_when_none_is_left_today(bot, discord):
    discord.left = 0
    async with bot.runtime():
        await bot.diagnostics.until(lambda: bot.said("no IDENTIFY is left today"))
    assert discord.sockets == []


@pytest.mark.slow
async def test_whatever_happens_meanwhile_each_message_is_answered_once_and_in_order(bot, discord):
    """Kills of the host at random moments, lost sockets, holes, refused posts: one IDENTIFY."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance, clock = random.Random(seed), asyncio.get_running_loop().time
    texts: dict[str, list[str]] = {"41": [], "42": []}

    def say(**about: bool) -> None:
        channel = chance.choice(list(texts))
        texts[channel].append(f"{channel}.{len(texts[channel])}")
        discord.message(texts[channel][-1], channel=channel, **about)

    host = await bot.serve()
    try:
        await discord.ready()
        # A READY that is lost with its socket names a session that nobody can resume.
        say()
        await discord.answered(1)
        for _ in range(4):
            until = clock() + chance.uniform(0.5, 4.0)
            while clock() < until:
                say()
                happens = chance.choice(
                    [
                        discord.socket.kill,
                        lambda: discord.socket.send(7),
                        lambda: say(lost=True),
                        lambda: discord.api.fail_next(502),
                        lambda: discord.api.limit_next(0.3),
                        *[lambda: None] * 10,
                    ]
                )
                happens()
                await asyncio.sleep(chance.uniform(0.1, 0.5))
            host.send_signal(signal.SIGKILL)
            await host.wait()
            say()
            host = await bot.serve()
        await discord.answered(sum(map(len, texts.values())))
    finally:
        host.terminate()
        await host.wait()
    for channel, wanted in texts.items():
        made = [one["content"] for one in discord.api.messages if one["channel_id"] == channel]
        assert made == [f"> {text}" for text in wanted], seed
    assert len(discord.identified) == 1, seed


async def test_kill_9_loses_nothing_and_answers_nothing_twice(bot, discord):
    """`durability = "disk"`: the host is killed at work, twice."""
    rounds = 2

    texts = []
    for number in range(rounds):
        host = await bot.serve()
        try:
            await discord.ready(len(discord.sockets) + 1)
            for part in range(8):
                texts.append(f"{number}.{part}")
                discord.message(texts[-1])
            # At work: some are answered, some are on their way.
            await discord.answered(len(texts) - 5)
        finally:
            host.send_signal(signal.SIGKILL)
            await host.wait()
        texts.append(f"{number}.down")
        discord.message(texts[-1])
    host = await bot.serve()
    try:
        await discord.answered(len(texts))
        texts.append("last")
        discord.message("last")
        await discord.until(lambda: discord.api.said[-1:] == ["> last"])
    finally:
        host.terminate()
        await host.wait()
    assert discord.api.said == [f"> {text}" for text in texts]
    assert len(discord.identified) == 1
