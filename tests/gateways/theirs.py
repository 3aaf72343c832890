"""Runs a bot of the page in the environment of the peers: LIBRARY FILE and where to connect."""

import asyncio
import sys
from pathlib import Path

library, file, *where = sys.argv[1:]
sys.stdout = sys.stderr  # what they print is no line of ours
code = compile(Path(file).read_text(), file, "exec")


def with_discord(http_port: str, ws_port: str, token: str) -> None:
    import discord
    import yarl
    from discord import gateway, http

    http.Route.BASE = f"http://127.0.0.1:{http_port}/api/v10"
    gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://127.0.0.1:{ws_port}/")
    assert discord.Client.run
    exec(code, {"__name__": "bot", "TOKEN": token})


def with_slack(api_url: str, bot_token: str, app_token: str) -> None:
    from slack_sdk.web import async_base_client

    theirs = async_base_client.AsyncBaseClient.__init__

    def elsewhere(self, *arguments, **options) -> None:
        theirs(self, *arguments, **{**options, "base_url": api_url})

    async_base_client.AsyncBaseClient.__init__ = elsewhere
    bot = {"__name__": "bot", "BOT_TOKEN": bot_token, "APP_TOKEN": app_token}
    exec(code, bot)
    asyncio.run(bot["main"]())


{"discord.py": with_discord, "slack_bolt": with_slack}[library](*where)
