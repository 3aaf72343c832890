"""Slack's own libraries on Socket Mode. slack.py sdk|bolt asyncio|uvloop HTTP_PORT

sdk acknowledges each envelope; bolt sends a frame from its message handler.
"""

import asyncio
import json
import sys

import uvloop
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

library, loop, http_port = sys.argv[1:]


async def sdk(web: AsyncWebClient) -> None:
    client = SocketModeClient(app_token="xapp-1", web_client=web)

    async def on_request(client, request) -> None:
        answer = SocketModeResponse(envelope_id=request.envelope_id)
        await client.send_socket_mode_response(answer)

    client.socket_mode_request_listeners.append(on_request)
    await client.connect()
    await asyncio.sleep(3600)


async def bolt(web: AsyncWebClient) -> None:
    app = AsyncApp(client=web)
    handler = AsyncSocketModeHandler(app, app_token="xapp-1", web_client=web)

    @app.event("message")
    async def on_message(event) -> None:
        await handler.client.send_message(json.dumps({"reply": event["text"]}))

    await handler.start_async()


async def main() -> None:
    web = AsyncWebClient(token="xoxb-1", base_url=f"http://127.0.0.1:{http_port}/api/")
    await {"sdk": sdk, "bolt": bolt}[library](web)


{"asyncio": asyncio.run, "uvloop": uvloop.run}[loop](main())
