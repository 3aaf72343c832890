"""Slack's own client as a process (tests/peers.py): API_URL APP_TOKEN BOT_TOKEN [CA_FILE].

`connect` opens Socket Mode and acknowledges what comes; every other word is a method of their web
client.
"""

import asyncio
import json
import ssl
import sys
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

api_url, app_token, bot_token, *authority = sys.argv[1:]


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def acknowledge(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
    say(
        {
            "heard": {
                "type": request.type,
                "payload": request.payload,
                "retry_attempt": request.retry_attempt,
            }
        }
    )
    payload = {"text": "done"} if request.accepts_response_payload else None
    await client.send_socket_mode_response(SocketModeResponse(request.envelope_id, payload))


async def main() -> None:
    tls = ssl.create_default_context(cafile=authority[0]) if authority else None
    web = AsyncWebClient(bot_token, base_url=api_url, ssl=tls)
    client = SocketModeClient(app_token, web_client=web, ping_interval=0.2)
    client.socket_mode_request_listeners.append(acknowledge)  # type: ignore[arg-type]
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        if asked["do"] == "connect":
            await client.connect()
            say({"ok": True})
            continue
        try:
            answer = await getattr(web, asked["do"])(**asked["values"])
            say(answer.data)
        except SlackApiError as exc:
            headers = {name.lower(): value for name, value in exc.response.headers.items()}
            say(
                {
                    "error": exc.response["error"],
                    "status": exc.response.status_code,
                    "retry_after": headers.get("retry-after"),
                }
            )


asyncio.run(main())
