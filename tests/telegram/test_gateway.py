"""The gateway is held to Telegram's behaviour by python-telegram-bot, in a process of its own."""

from pathlib import Path

from tests.peers import running
from tests.telegram.gateway import TelegramGateway

SCRIPT = Path(__file__).with_name("their_client.py")


async def test_their_client_polls_answers_and_understands_each_refusal() -> None:
    async with TelegramGateway() as telegram, running(SCRIPT, telegram.url, telegram.token) as them:
        assert (await them.ask("get_me"))["result"]["username"] == "yoi_bot"
        telegram.says("before")
        assert await them.ask("poll") == {"ok": True}
        await them.until(lambda heard: heard)
        telegram.says("after")
        await telegram.until(lambda: len(telegram.sent()) == 2)
        assert telegram.sent() == ["You said: before", "You said: after"]
        assert [one["update_id"] for one in them.heard] == [41, 42]
        for status, name in ((403, "Forbidden"), (400, "BadRequest"), (502, "NetworkError")):
            telegram.fail_next("sendMessage", status)
            assert (await them.ask("send_message", chat_id=7, text="x"))["error"] == name
        telegram.fail_next("sendMessage", 429, retry_after=3)
        limited = await them.ask("send_message", chat_id=7, text="x")
        assert limited == {"error": "RetryAfter", "retry_after": 3}
        refused = await them.ask("get_me", token="110201543:other")
        assert refused["error"] == "InvalidToken"
