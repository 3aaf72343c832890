"""python-telegram-bot, unmodified, as a process (tests/peers.py): API_URL TOKEN.

`poll` begins their own polling and answers each message; other words are methods of their bot.
"""

import asyncio
import json
import sys
from typing import Any

from telegram.error import RetryAfter, TelegramError
from telegram.ext import Application, ContextTypes, MessageHandler, filters

from telegram import Bot, Update

url, token = sys.argv[1:]


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def heard(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    message = update.message
    say({"heard": {"update_id": update.update_id, "text": message.text, "chat": message.chat_id}})
    await message.reply_text(f"You said: {message.text}")


async def main() -> None:
    made = Application.builder().token(token).base_url(f"{url}/bot")
    application = made.build()
    application.add_handler(MessageHandler(filters.TEXT, heard))
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        try:
            if asked["do"] == "poll":
                await application.initialize()
                await application.start()
                await application.updater.start_polling(timeout=5)
                say({"ok": True})
            else:
                bot = Bot(asked["values"].pop("token", token), base_url=f"{url}/bot")
                made = await getattr(bot, asked["do"])(**asked["values"])
                say({"ok": True, "result": made.to_dict()})
        except RetryAfter as exc:
            after = exc.retry_after
            seconds = after if isinstance(after, int) else int(after.total_seconds())
            say({"error": type(exc).__name__, "retry_after": seconds})
        except TelegramError as exc:
            say({"error": type(exc).__name__, "words": exc.message})


asyncio.run(main())
