"""A small server of each protocol on the page: what it asks of a client, it insists on.

Each is a function of one socket; it returns when the client has done all that the page says, and
raises AssertionError where it has not.
"""

import asyncio
import json
from typing import Any

from websockets.asyncio.server import ServerConnection

TOKEN = "token-0123456789abcdef"
WAIT_SECONDS = 20


async def text(socket: ServerConnection) -> str:
    """Return the next message."""
    async with asyncio.timeout(WAIT_SECONDS):
        return str(await socket.recv())


async def document(socket: ServerConnection) -> Any:
    """Return the next message as JSON."""
    return json.loads(await text(socket))


async def say(socket: ServerConnection, value: Any) -> None:
    """Send a document."""
    await socket.send(json.dumps(value))


async def graphql(socket: ServerConnection) -> None:
    """graphql-transport-ws: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md."""
    assert socket.subprotocol == "graphql-transport-ws"
    init = await document(socket)
    assert init == {
        "type": "connection_init",
        "payload": {"authorization": f"Bearer {TOKEN}"},
    }
    await say(socket, {"type": "connection_ack"})
    subscribe = await document(socket)
    assert subscribe["type"] == "subscribe"
    await say(socket, {"type": "ping"})
    assert await document(socket) == {"type": "pong"}
    data = {"data": {"orderAdded": {"id": 7}}}
    await say(socket, {"id": subscribe["id"], "type": "next", "payload": data})


async def jupyter(socket: ServerConnection) -> None:
    """A kernel's channels in one socket; Python writes NaN into its JSON."""
    assert socket.request is not None
    assert socket.request.headers["Authorization"] == f"token {TOKEN}"
    request = await document(socket)
    assert request["channel"] == "shell"
    assert request["content"]["code"] == "mean([])"
    answer = {
        "channel": "iopub",
        "msg_type": "execute_result",
        "parent_header": request["header"],
        "content": {"data": {"value": float("nan")}},
    }
    await say(socket, answer)


async def devtools(socket: ServerConnection) -> None:
    """A browser's debugging socket: no Origin, ids that grow, events in between."""
    assert socket.request is not None
    assert socket.request.path == "/devtools/browser/3f1c"
    assert "Origin" not in socket.request.headers
    question = await document(socket)
    assert question == {"id": 1, "method": "Target.getTargets"}
    await say(socket, {"method": "Target.targetCreated", "params": {"id": 1}})
    await say(socket, {"id": 1, "result": {"targetInfos": [{}, {}]}})


async def socketio(socket: ServerConnection) -> None:
    """Engine.IO 4 and Socket.IO 5: a number, then a document."""
    opened = {"sid": "x", "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000}
    await socket.send("0" + json.dumps(opened))
    assert await text(socket) == f'40{{"token":"{TOKEN}"}}'
    await socket.send('40{"sid":"y"}')
    await socket.send("2")
    assert await text(socket) == "3"
    await socket.send('42["news","it rains"]')
    answer = await text(socket)
    assert answer[:2] == "42"
    assert json.loads(answer[2:]) == ["answer", "news: it rains"]


async def phoenix(socket: ServerConnection) -> None:
    """Phoenix channels, version 2: arrays; a join is answered before anything else comes."""
    join_ref, ref, topic, kind, payload = await document(socket)
    assert (topic, kind, payload) == ("room:lobby", "phx_join", {"token": TOKEN})
    reply = {"status": "ok", "response": {}}
    await say(socket, [join_ref, ref, topic, "phx_reply", reply])
    await say(socket, [join_ref, None, topic, "shout", {"body": "hi"}])
    _, next_ref, topic, kind, payload = await document(socket)
    assert (topic, kind, payload) == ("room:lobby", "shout", {"body": "hi!"})
    assert next_ref > ref, "references grow"


async def irc(socket: ServerConnection) -> None:
    """Lines, several in a message; a wrong password is told in words and closed with 1000."""
    password, nick = await text(socket), await text(socket)
    assert nick == "NICK yoi"
    if password != f"PASS oauth:{TOKEN}":
        await socket.send(":tmi NOTICE * :Login authentication failed\r\n")
        await socket.close(1000)
        return
    await socket.send(":tmi 001 yoi :Welcome\r\n:tmi 372 yoi :hi\r\n")
    assert await text(socket) == "JOIN #room"
    await socket.send("PING :tmi.example\r\n")
    assert await text(socket) == "PONG :tmi.example"
    await socket.send(":ann PRIVMSG #room :hello\r\n:bob PRIVMSG #room :bye\r\n")
    assert await text(socket) == "PRIVMSG #room :you said hello"
    assert await text(socket) == "PRIVMSG #room :you said bye"


async def exchange(socket: ServerConnection) -> None:
    """Updates with numbers; the first session loses some, and the client begins anew."""
    subscribe = await document(socket)
    assert subscribe["method"] == "SUBSCRIBE"
    await say(socket, {"result": None, "id": subscribe["id"]})
    for first, last in ((1, 3), (4, 4), (4, 4), (7, 9)):
        await say(socket, {"e": "depthUpdate", "s": "BTCUSDT", "U": first, "u": last})
    async with asyncio.timeout(WAIT_SECONDS):
        await socket.wait_closed()
    assert socket.close_code == 4000
