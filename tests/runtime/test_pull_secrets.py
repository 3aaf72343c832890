"""W7, W9: a socket that a plugin opens itself says in its handshake what a connection may."""

import json

from tests.canary import Canaries
from tests.runtime.test_handshake_secrets import gateway, install, keep, workspace

__all__ = ["workspace"]

MANIFEST = """
schema_version = 1
id = "echo"
name = "Echo"
version = "0.1.0"
permissions = [{{ kind = "host_api", api = "websocket" }}]

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Echo"

[[ingresses]]
name = "events"
deadline_ms = 10000

[[connections]]
name = "gateway"
ingress = "events"
url = "{url}"

[[connections]]
name = "quotes"
ingress = "events"
open = "command"
url = "{url}quotes"
headers = {{ User-Agent = "quotes/1" }}
subprotocols = ["quotes.v2"]

[[websocket]]
scheme = "ws"
host = "127.0.0.1"
port = {port}
path_prefixes = ["/elsewhere"]

[[secrets]]
name = "token"
connection = "quotes"
at = ["/headers/authorization", "/query/key"]
"""

PLUGIN = """
import json
from yoi_pdk import *

TOKEN = insert_secret("/headers/authorization", "token", prefix="Bearer ")
KEY = insert_secret("/query/key", "token")
OTHER = insert_secret("/headers/x-other", "token")

class Echo(Plugin):
    def on_text(self, event, ctx):
        how, base = json.loads(event.text)
        open = ctx.websocket.open
        try:
            socket = {
                "own": lambda: open(connection="quotes", insert=[TOKEN], headers={"X-Lang": "en"}),
                "query": lambda: open(connection="quotes", query={"v": "1"}, insert=[KEY]),
                "plain": lambda: open(base + "elsewhere", headers={"X-Lang": "de"}),
                "other target": lambda: open(
                    base + "elsewhere", connection="quotes", insert=[TOKEN]
                ),
                "no connection": lambda: open(base + "elsewhere", insert=[TOKEN]),
                "other place": lambda: open(connection="quotes", insert=[OTHER]),
                "credential": lambda: open(base + "elsewhere", headers={"Authorization": "x"}),
                "unknown": lambda: open(base, connection="nowhere"),
            }[how]()
        except HostError as exc:
            return event.reply(exc.code)
        with socket:
            return event.reply(f"{socket.url} {socket.protocol}")
"""


async def test_headers_and_secrets_of_a_socket_of_the_plugins_own(workspace):
    canaries = Canaries()
    token = "quotes-1a2b3c4d5e6f7a8b"
    canaries.mark("token", token)
    async with gateway(["quotes.v2"]) as (server, asked):
        keep(workspace, token)
        install(workspace, server.url, MANIFEST.replace("{port}", str(server.port)), PLUGIN)
        async with workspace.runtime():
            await server.until(lambda: server.clients)
            first = server.clients[0]
            answers = {}
            for how in (
                "own", "query", "plain", "other target", "no connection", "other place",
                "credential", "unknown",
            ):  # fmt: skip
                before = len(server.received)
                await first.send(json.dumps([how, server.url]))
                await server.until(lambda before=before: len(server.received) > before)
                answers[how] = server.received[-1]
        traces = canaries.grep_everything(answers=answers, diagnostics=workspace.diagnostics)
    assert answers == {
        "own": f"{server.url}quotes quotes.v2",
        "query": f"{server.url}quotes quotes.v2",
        "plain": f"{server.url}elsewhere None",
        "other target": "denied.not_requested",
        "no connection": "insert.place",
        "other place": "denied.secret_place",
        "credential": "insert.place",
        "unknown": "denied.not_requested",
    }
    _, own, query, plain = asked
    assert own.headers["Authorization"] == f"Bearer {token}"
    assert (own.headers["User-Agent"], own.headers["X-Lang"]) == ("quotes/1", "en")
    assert query.path == f"/quotes?v=1&key={token}"
    assert plain.headers["X-Lang"] == "de"
    assert "Authorization" not in plain.headers
    assert traces == []
