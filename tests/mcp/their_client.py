"""chuk-mcp's client as a process (tests/peers.py): COMMAND [ARGUMENT]... of the server.

`tools` lists tools, `call` calls one.
"""

import asyncio
import json
import sys
from typing import Any

from chuk_mcp import StdioServerParameters, stdio_client
from chuk_mcp.protocol.messages import send_initialize, send_tools_list
from chuk_mcp.protocol.messages.tools.send_messages import send_tools_call


async def main(command: str, *arguments: str) -> None:
    parameters = StdioServerParameters(command=command, args=list(arguments))
    async with stdio_client(parameters) as (read, write):
        begun = await send_initialize(read, write)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            answer: Any
            if asked["do"] == "server":
                answer = begun.serverInfo.name
            elif asked["do"] == "tools":
                answer = [one.name for one in (await send_tools_list(read, write)).tools]
            else:
                values = asked["values"]
                result = await send_tools_call(read, write, values["name"], values["arguments"])
                answer = [result.isError, result.content[0]["text"]]
            print(json.dumps({"ok": answer}), flush=True)


asyncio.run(main(*sys.argv[1:]))
