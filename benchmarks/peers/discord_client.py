"""discord.py sends a frame from on_message. discord_client.py asyncio|uvloop HTTP_PORT WS_PORT"""

import asyncio
import json
import sys

import discord
import uvloop
import yarl
from discord import gateway, http

loop, http_port, ws_port = sys.argv[1:]
http.Route.BASE = f"http://127.0.0.1:{http_port}/api/v10"
gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://127.0.0.1:{ws_port}/")
intents = discord.Intents.default()
intents.message_content = True
client = discord.Client(intents=intents)


@client.event
async def on_message(message) -> None:
    # The frame change_presence would send. Its limiter (110 in 60 s) is bypassed: it is not what
    # is measured here.
    activity = {"activities": [{"name": message.content, "type": 0}], "afk": False}
    frame = {"op": 3, "d": {**activity, "since": 0, "status": "online"}}
    await client.ws.socket.send_str(json.dumps(frame))


async def main() -> None:
    async with client:
        await client.start("a.b.c", reconnect=False)


{"asyncio": asyncio.run, "uvloop": uvloop.run}[loop](main())
