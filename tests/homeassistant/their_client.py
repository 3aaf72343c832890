"""hass-client as a process (tests/peers.py): URL TOKEN.

`connect` signs in, `watch` subscribes to entities; every other word is a command of the hub's.
"""

import asyncio
import json
import sys
from typing import Any

from hass_client import HomeAssistantClient
from hass_client.exceptions import BaseHassClientError

url, token = sys.argv[1:]


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    client = HomeAssistantClient(url, token)
    listening: list[asyncio.Task[None]] = []

    async def carry_out(what: str, values: dict[str, Any]) -> Any:
        if what == "connect":
            await client.connect(ssl=None)
            listening.append(asyncio.create_task(client.start_listening()))
            return client.version
        if what == "watch":
            await client.subscribe_entities(lambda event: say({"heard": event}), values["entities"])
            return None
        if what == "call_service":
            return await client.call_service(**values)
        return await client.send_command(what, **values)

    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        try:
            say({"ok": await carry_out(asked["do"], asked["values"])})
        except BaseHassClientError as exc:
            say({"error": type(exc).__name__, "message": str(exc)})


asyncio.run(main())
