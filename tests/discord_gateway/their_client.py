"""discord.py as a process (tests/peers.py): HTTP_PORT WS_PORT TOKEN. It echoes direct messages."""

import asyncio
import json
import sys
from typing import Any

import discord
import yarl
from discord import gateway, http

http_port, ws_port, token = sys.argv[1:]
http.Route.BASE = f"http://127.0.0.1:{http_port}/api/v10"
gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://127.0.0.1:{ws_port}/")
client = discord.Client(intents=discord.Intents(messages=True))


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


@client.event
async def on_message(message: discord.Message) -> None:
    say({"heard": message.content})
    await message.channel.send(f"You said: {message.content}")


@client.event
async def on_ready() -> None:
    say({"heard": "READY"})


@client.event
async def on_resumed() -> None:
    say({"heard": "RESUMED"})


async def run() -> None:
    try:
        await client.start(token)
    except Exception as exc:
        say({"heard": type(exc).__name__})


async def main() -> None:
    task = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        assert json.loads(line)["do"] == "connect"
        task = asyncio.create_task(run())
        say({"ok": True})
    del task


asyncio.run(main())
