"""examples/telegram-bot through the whole host, against a bot API with real sockets.

The API is held to Telegram's behaviour by a client made by others: tests/telegram/test_gateway.py.
"""

import signal
from typing import Any

import msgspec
import pytest
from tests.canary import Canaries
from tests.examples.installed import EXAMPLES, Installed
from tests.telegram.gateway import TelegramGateway

from yoi.packages import read_package
from yoi.permissions import review

OTHER = "110201543:BBHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
SECRETS = {"bot": "telegram-bot"}


class Bot(Installed[TelegramGateway]):
    """The example, its address set to the gateway's."""

    example, instance = "telegram-bot", "telegram"

    def addresses(self) -> tuple[tuple[str, str], ...]:
        return (
            (
                'scheme = "https"\nhost = "api.telegram.org"',
                f'scheme = "http"\nhost = "127.0.0.1"\nport = {self.gateway.port}',
            ),
        )


@pytest.fixture
async def telegram():
    async with TelegramGateway() as gateway:
        yield gateway


@pytest.fixture
def bot(prepared: Any, telegram: TelegramGateway) -> Bot:
    made: Bot = prepared(Bot, telegram)
    made.keep("telegram-bot", telegram.token)
    made.enable(made.install().granting(SECRETS))
    return made


async def test_from_nothing_to_an_answer_over_limits_restarts_and_a_revoked_token(bot, telegram):
    """N11, W9: what is said meanwhile is answered once; nothing shows the token."""
    canaries = Canaries()
    canaries.mark("bot", telegram.token)
    canaries.mark("other", OTHER)
    telegram.says("before")
    async with bot.runtime():
        await telegram.until(lambda: telegram.sent())
        telegram.fail_next("sendMessage", 429, retry_after=1)
        telegram.says("limited")
        await telegram.until(lambda: len(telegram.sent()) == 2)
    telegram.says("while it was down")
    async with bot.runtime() as runtime:
        await telegram.until(lambda: len(telegram.sent()) == 3)
        telegram.token = OTHER  # @BotFather: /revoke
        telegram.says("with another token")
        await bot.diagnostics.until(lambda: bot.said("yoi secret set telegram-bot"))
        assert telegram.strangers
        bot.keep("telegram-bot", OTHER)
        await runtime.reload()
        service = runtime.services["telegram"]
        traces = canaries.grep_everything(
            status=msgspec.json.encode(service.status()),
            diagnostics=[msgspec.to_builtins(entry) for entry in bot.diagnostics],
            reprs=[repr(service), repr(service.spec)],
            files=bot.folder,
        )
    async with bot.runtime():
        await telegram.until(lambda: len(telegram.sent()) == 4)
    texts = ["before", "limited", "while it was down", "with another token"]
    assert telegram.sent() == [f"You said: {text}" for text in texts]
    assert traces == []


async def test_kill_9_loses_no_message_and_answers_none_twice(bot, telegram):
    """What a crash left open is not sent again: it is counted, and a person is told."""
    host = await bot.serve()
    try:
        telegram.says("one")
        # The question after the one that brought it: its answer is written, sent or about to be.
        await telegram.until(lambda: any(telegram.offsets))
    finally:
        host.send_signal(signal.SIGKILL)
        await host.wait()
    telegram.says("two")
    async with bot.runtime() as runtime:
        await telegram.until(lambda: "You said: two" in telegram.sent())
        status = runtime.services["telegram"].status().plugin_status
    answered = telegram.sent()
    assert len(set(answered)) == len(answered)
    assert "You said: one" in answered or status["data"]["unknown"] == 1


def test_the_review_says_where_the_token_goes():
    asked = read_package(EXAMPLES / Bot.example).manifest.requested
    shown = str(review(asked, asked.granting(SECRETS)))
    assert "/path/0" in shown
