"""K3: a real host whose gateway, HTTP server and model give their secrets back in every way.

They stand nowhere: not in what the plugin saw (its status, log, tool, own sockets and
notifications), the host's output, any command's, a terminal that watches, the HTTP API's events
(SSE and WebSocket) and metrics, what the webhook is posted, or a file of the workspace: work items,
logs and histories.
"""

import base64
import contextlib
import html
import http.server
import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import quote, unquote

import pytest
from tests.canary import Canaries
from tests.cli.test_live import is_ready, running
from tests.workers.wire import call, chunk, text
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.client import connect
from websockets.sync.server import serve

from yoi.testing.trusting import trust_workspace

pytestmark = pytest.mark.slow

MANIFEST = """
schema_version = 1
id = "desk"
name = "Desk"
version = "0.1.0"
config_schema = {{ type = "object" }}
permissions = [{{ kind = "notify", name = "w" }}, {{ kind = "host_api", api = "websocket" }}]

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Desk"

[[services]]
name = "chat"

[[ingresses]]
name = "events"

[[connections]]
name = "gateway"
ingress = "events"
url = "ws://127.0.0.1:{gateway}/ws"
subprotocols = ["v1"]
deliver = ["text", "binary", "open", "close", "gap", "error"]
backoff = {{ first_ms = 100, max_ms = 100 }}

[[connections]]
name = "page"
ingress = "events"
open = "command"
target = {{ scheme = "ws", host = "127.0.0.1", port = {gateway}, path_prefixes = ["/page"] }}
deliver = ["open", "close", "error"]

[[request]]
name = "api"
scheme = "http"
host = "127.0.0.1"
port = {api}
methods = ["GET"]
path_prefixes = ["/api"]
captures = [{{ name = "url", at = "/socket" }}]

[[websocket]]
scheme = "ws"
host = "127.0.0.1"
port = {gateway}
path_prefixes = ["/pull"]

[[secrets]]
name = "bot"
connection = "gateway"
at = ["/token"]

[[secrets]]
name = "bot"
request = "api"
at = ["/headers/authorization"]

[[secrets]]
name = "in-path"
request = "api"
at = [{{ at = "/path/1", after = "bot" }}]

[[secrets]]
name = "seal"
request = "api"
at = ["/headers/x-sign"]

[secrets.sign]
algorithm = "hmac-sha256"
key = "utf8"
of = "request"
methods = ["GET"]
parts = [{{ timestamp = "ms" }}, {{ sent = "target" }}]

[[tools]]
name = "tell"
description = "Tell all that was seen"
input_schema = {{ type = "object" }}

[[tools]]
name = "pull"
description = "Open a socket and hear it to its end"
input_schema = {{ type = "object" }}
"""

PLUGIN = """
import json
from yoi_pdk import *

class Desk(Plugin):
    def start(self, ctx, config):
        self.seen = []
        self.raised = 0
        self.pull_url = config["pull"]

    def on_event(self, event, ctx):
        said = json.dumps([event.kind, event.payload], default=repr)
        self.seen.append(said)
        if isinstance(event, TextEvent) and event.text.startswith("split") and self.raised < 3:
            self.raised += 1
            raise ValueError(event.text)
        ctx.log(said[:1500])
        if isinstance(event, OpenEvent):
            put = [insert_secret("/headers/authorization", "bot")]
            paths = ["json", "text", "head", "bytes", "away", "reason", "socket"]
            return [
                Send(json={"token": None}, insert=[insert_secret("/token", "bot")]),
                *(Request("api", "GET", f"/api/{path}", insert=put, capture=["url"],
                          id=f"{path}.{event.id}") for path in paths),
                *(Request("api", "GET", f"/api/-/{path}", sign="seal", capture=["url"],
                          insert=[insert_secret("/path/1", "in-path", prefix="bot")],
                          id=f"{path}.{event.id}") for path in ("path", "gone", "sign")),
            ]
        if isinstance(event, ResponseEvent) and event.captured:
            return Open("page", handle=event.captured["url"])
        if isinstance(event, (ErrorEvent, CloseEvent)):
            return Notify("w", said)

    on_text = on_event

    def status(self):
        return {"count": len(self.seen), "last": self.seen[-12:]}

    @tool
    def pull(self, ctx) -> dict:
        "Open a socket and hear it to its end"
        heard = []
        try:
            socket = ctx.websocket.open(self.pull_url)
            while True:
                try:
                    heard.append(repr(socket.recv(10)))
                except HostError as exc:
                    heard.append(f"{exc.code} {exc}")
                    if exc.code != "connection.withheld":
                        raise
        except (SocketClosed, HostError) as exc:
            heard.append(f"{exc!r} {vars(exc)}")
        return {"heard": heard}

    @tool
    def tell(self, ctx) -> dict:
        "Tell all that was seen"
        return {"seen": self.seen}
"""

WORKER = """
[observation]
listen = "127.0.0.1:0"

[[workers]]
name = "w"
model = "scripted"
tools = [{ plugin = "desk", tool = "tell", approval = "auto" }]
notify = [{ plugin = "desk", start_run = true, per_minute = 50 }]
script = [{ when = "TELL", call = "tell" }, { say = "heard" }]

[[workers]]
name = "chat"
model = "openai-compatible:small"
base_url = "URL"
api_key = "model-key"
tickets = [{ create = "auto", comment = "auto" }]
"""


def forms(value):
    yield value
    yield json.dumps({"a": value, "b": json.dumps({"c": value})})
    yield json.dumps(json.dumps(json.dumps([value])))
    yield f"{quote(value)} {quote(value, safe='')} {quote(value, safe='').lower()}"
    yield html.escape(value)
    yield base64.b64encode(value.encode()).decode()
    yield base64.urlsafe_b64encode(b"u:" + value.encode()).decode().rstrip("=")
    yield base64.b64encode(b"ab" + value.encode()).decode()
    yield value.encode().hex() + " " + value.encode().hex().upper()


class Servers:
    """The gateway and the HTTP server: they know nothing but what the host sent them."""

    def __init__(self, page, seal):
        self.page = page
        self.seal = seal
        self.sessions = 0
        self.dialled_pages = 0
        self.asked = set()
        self.posted = []
        self.signed = []
        self.prompts = []
        self.token = None
        self.gateway = serve(
            self.talk,
            "127.0.0.1",
            0,
            process_request=self.upgrade,
            select_subprotocol=self.subprotocol,
        )
        self.port = self.gateway.socket.getsockname()[1]
        servers = self

        class Api(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                servers.answer(self)

            def do_POST(self):
                servers.post(self)

            def log_message(self, *_):
                pass

        self.api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)

    def __enter__(self):
        for server in (self.gateway, self.api):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.gateway.shutdown()
        self.api.shutdown()
        self.api.server_close()

    def upgrade(self, connection, request):
        if request.path.startswith("/page"):
            self.dialled_pages += 1
            echo = Headers({"x-echo": request.path, "connection": "close"})
            return Response(404, f"no {self.page}", echo, request.path.encode())
        if request.path.startswith("/pull"):
            return None
        self.sessions += 1
        if self.token is not None and self.sessions == 3:
            echo = Headers({"x-echo": self.token, "connection": "close"})
            return Response(401, f"bad {self.token}", echo, self.token.encode())
        return None

    def subprotocol(self, connection, offered):
        if not offered:
            return None
        # Not one that was offered: the host refuses it, and must not repeat it.
        return f"x.{quote(self.token, safe='')}" if self.token and self.sessions == 4 else "v1"

    def talk(self, session):
        with contextlib.suppress(ConnectionClosed):
            if session.request.path.startswith("/pull"):
                self.say(session, self.token)
                session.close(4000, self.token)
            else:
                self.echo(session, self.sessions)

    def echo(self, socket, number):
        self.token = token = json.loads(socket.recv())["token"]
        self.say(socket, token)
        time.sleep(0.5)  # the plugin asks the other server meanwhile
        socket.close(4000, token if number == 1 else quote(token, safe="")[:120])

    def say(self, socket, token):
        for said in forms(token):
            socket.send(said)
        socket.send(iter([f"split {token[:20]}", token[20:], " end"]))
        socket.send("x" * 200_000 + token)
        socket.send(b"\x10\x00" + token.encode())
        socket.send(b"whole")

    def post(self, asked):
        """Take an alert, or answer as a model that repeats its key."""
        body = json.loads(asked.rfile.read(int(asked.headers["content-length"])))
        if asked.path == "/hook":
            self.posted.append(body)
            asked.send_response(204)
            asked.end_headers()
            return
        key = asked.headers["authorization"].removeprefix("Bearer ")
        self.prompts.append(body)
        if len(self.prompts) == 1:
            said = json.dumps({"error": {"message": " ".join(forms(key)), "code": key}}).encode()
            asked.send_response(401, f"bad {key}")
            asked.send_header("x-echo", key)
            asked.send_header("retry-after", key)
            asked.send_header("content-type", "application/json")
            asked.send_header("content-length", str(len(said)))
            asked.end_headers()
            asked.wfile.write(said)
            return
        pieces = ["the key ", key[:9], key[9:30], key[30:], *(f" {form}" for form in forms(key))]
        if len(self.prompts) == 2:
            arguments = json.dumps({"title": f"a {key}", "text": " ".join(forms(key))})
            events = [
                *(chunk({"reasoning_content": piece}) for piece in pieces),
                *call(key, "ticket_create", arguments[:40], arguments[40:60], arguments[60:]),
            ]
        else:
            events = text(*pieces)
        asked.send_response(200)
        asked.send_header("x-request-id", key)
        asked.send_header("content-type", "text/event-stream")
        asked.end_headers()
        asked.wfile.write("".join(f"data: {event}\n\n" for event in events).encode())

    def answer(self, asked):
        given = asked.headers.get("authorization", "")
        what = asked.path.rpartition("/")[2]
        self.asked.add(what)
        status, words, headers, body = 200, None, {"content-type": "text/plain"}, b"ok"
        if what == "json":
            headers = {"content-type": "application/json"}
            status, body = 401, json.dumps({"you sent": list(forms(given)), given: 1}).encode()
        elif what == "text":
            body = "\n".join(forms(given)).encode()
        elif what == "head":
            headers |= {f"x-echo-{at}": text for at, text in enumerate(forms(given))}
        elif what == "path":
            token = unquote(asked.path).split("/")[2].removeprefix("bot")
            status, body = 404, "\n".join((asked.path, *forms(token))).encode()
        elif what == "gone":
            asked.connection.shutdown(socket.SHUT_RDWR)
            return
        elif what == "sign":
            # A server that knows the key, as those of an exchange do.
            status, body = 400, "\n".join(forms(self.seal)).encode()
            self.signed.append(asked.headers["x-sign"])
        elif what == "bytes":
            headers, body = {"content-type": "image/png"}, b"\x89\x00" + given.encode()
        elif what == "away":
            status, headers = 302, {"location": f"http://127.0.0.1:1/{quote(given, safe='')}"}
        elif what == "reason":
            status, words = 403, given
        elif what == "socket":
            url = f"ws://127.0.0.1:{self.port}/page/{self.page}"
            headers = {"content-type": "application/json"}
            body = json.dumps({"socket": url, "again": [url, self.page]}).encode()
        asked.send_response(status, words)
        for name, value in headers.items():
            asked.send_header(name, value)
        asked.send_header("content-length", str(len(body)))
        asked.end_headers()
        asked.wfile.write(body)


def until(true, what):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


class Screen:
    """A command at a terminal that goes on until it is interrupted."""

    def __init__(self, workspace, *arguments):
        self.shown = b""
        self._ours, theirs = pty.openpty()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "yoi.cli", *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=workspace,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        os.close(theirs)
        self._eyes = threading.Thread(target=self._read, daemon=True)
        self._eyes.start()

    def _read(self):
        with contextlib.suppress(OSError):  # Linux says EIO once the other side is closed
            while data := os.read(self._ours, 65536):
                self.shown += data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()

    def end(self):
        self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(30)
        finally:
            self._child.kill()
            self._child.wait()
            self._eyes.join(30)
            os.close(self._ours)


@pytest.mark.usefixtures("interrupts")
def test_what_servers_give_back_stands_nowhere(yoi, workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("YOI_HOST_CONFIG", str(tmp_path / "host.toml"))
    canaries = Canaries()
    key = canaries.secret("model", prefix="sk-", signs="-_")
    token = canaries.secret("bot", prefix="xoxb-", signs='/"+x')
    page = canaries.secret("page", prefix="THE-PATH-", signs="-x")
    in_path = canaries.secret("in-path", prefix="110201543:", signs="_-+é")
    seal = canaries.secret("seal", prefix="s", signs='/"+')
    source = workspace / "source"
    source.mkdir()
    (workspace / ".yoi").mkdir()
    seen = {}
    with Servers(page, seal) as servers:
        api = f"http://127.0.0.1:{servers.api.server_address[1]}"
        (workspace / ".yoi" / "yoi.toml").write_text(WORKER.replace("URL", f"{api}/v1"))
        (tmp_path / "host.toml").write_text(f'[alerts]\nwebhook = "{api}/hook"\n')
        (tmp_path / "host.toml").chmod(0o600)
        ports = {"gateway": servers.port, "api": servers.api.server_address[1]}
        (source / "plugin.toml").write_text(MANIFEST.format(**ports))
        (source / "plugin.py").write_text(PLUGIN)
        monkeypatch.setattr("sys.stdin", io.StringIO(token))
        assert yoi("secret", "set", "stored", "--stdin").status == 0
        monkeypatch.setattr("sys.stdin", io.StringIO(key))
        assert yoi("secret", "set", "model-key", "--stdin").status == 0
        for name, value in (("in-path", in_path), ("seal", seal)):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(value.encode())))
            assert yoi("secret", "set", name, "--stdin").status == 0
        given = ("--secret", "bot=stored", "--secret", "in-path=in-path", "--secret", "seal=seal")
        given += ("--config", f"pull=ws://127.0.0.1:{servers.port}/pull")
        enabled = yoi("plugin", "enable", "./source", "--grant-requested", "--yes", *given)
        assert enabled.status == 0, enabled.err
        trust_workspace(workspace)
        made = json.loads(yoi("token", "create", "me", "--observe", "*/*/*", "--json").out)
        lines = []

        def ready(value):
            lines.append(value)
            return is_ready(value)

        def anything(value):
            lines.append(value)
            return False

        with (
            running(workspace, "serve", "--port", "0", "--verbose") as (host, heard),
            contextlib.ExitStack() as watching,
        ):
            url = heard(ready)["url"]

            def listen():
                with contextlib.suppress(AssertionError, ValueError):
                    heard(anything)

            ears = threading.Thread(target=listen, daemon=True)
            ears.start()
            screens = {
                name: watching.enter_context(Screen(workspace, "watch", *words))
                for name, words in {"desk": ("service:desk",), "chat": ("chat",), "all": ()}.items()
            }
            until(lambda: servers.sessions >= 6, "the sessions")
            until(lambda: len(servers.asked) >= 10 and servers.dialled_pages, "the requests")
            until(lambda: "heard" in yoi("worker", "history", "w", "--json").out, "the worker")
            yoi("worker", "run", "w", "TELL")
            yoi("worker", "run", "chat", "say")
            yoi("worker", "run", "chat", "again")
            until(lambda: len(servers.prompts) == 3, "the model")
            until(lambda: servers.posted, "the alerts")
            until(lambda: b"the key" in screens["chat"].shown, "the watched answer")
            until(lambda: b"is open" in screens["desk"].shown, screens["desk"].shown)
            (item,) = json.loads(yoi("ticket", "list", "--json").out)["tickets"]
            for words in (
                ("service", "call", "desk", "pull", "{}"),
                ("ticket", "list"),
                ("ticket", "show", item["id"]),
                ("ticket", "doctor"),
                ("worker", "show", "chat"),
                ("worker", "history", "chat"),
                ("worker", "history", "chat", "--as-sent"),
                ("worker", "history", "w", "--as-sent"),
                ("logs", "desk"),
                ("service", "list"),
                ("service", "status", "desk"),
                ("service", "call", "desk", "tell", "{}"),
                ("worker", "list"),
                ("worker", "show", "w"),
                ("worker", "history", "w"),
                ("watch", "--count", "1"),
                ("doctor",),
            ):
                seen[" ".join(words)] = yoi(*words)
                seen[" ".join(words) + " --json"] = yoi(*words, "--json")

            def got(path, most=1 << 20):
                headers = {"authorization": f"Bearer {made['token']}"}
                asked = urllib.request.Request(url.rstrip("/") + path, headers=headers)
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    return answer.read1(most)

            listed = json.loads(got("/api/runtimes"))
            runtime = listed[0]["runtime_id"]
            seen["listed"] = listed
            for subject in ("services/desk", "workers/w"):
                sse = got(f"/api/runtimes/{runtime}/{subject}/events/sse")
                assert b"data:" in sse
                seen[f"sse {subject}"] = sse
                place = f"{url.rstrip('/')}/api/runtimes/{runtime}/{subject}/events/ws"
                with connect(
                    place.replace("http", "ws", 1),
                    additional_headers={"authorization": f"Bearer {made['token']}"},
                ) as stream:
                    seen[f"ws {subject}"] = stream.recv(timeout=30)
                assert "snapshot" in str(seen[f"ws {subject}"])
            seen["metrics"] = got("/metrics")
            seen["console"] = got("/")
            for name, screen in screens.items():
                screen.end()
                seen[f"screen {name}"] = screen.shown
            host.send_signal(signal.SIGTERM)
            ears.join(30)
            assert host.wait(30) == 0
    assert all(len(signature) == 64 for signature in servers.signed)
    assert servers.signed
    seen["log"] = lines
    seen["posted"] = servers.posted
    seen["prompts"] = servers.prompts
    files = [path for path in workspace.rglob("*") if path.is_file() and path.parent != source]
    assert len(files) > 3
    told = seen["service call desk tell {} --json"]
    assert "websocket_close" in told.out
    assert "[masked]" in told.out
    assert "withheld" in told.out
    assert "connection.handshake" in json.dumps(lines)
    pulled = seen["service call desk pull {} --json"].out
    assert "connection.withheld" in pulled
    assert "4000" in pulled
    assert "[masked]" in seen["worker history chat --as-sent --json"].out
    assert "[masked]" in seen[f"ticket show {item['id']}"].out
    assert b"[masked]" in seen["screen chat"]
    traces = canaries.grep_everything(files=files, seen=seen)
    assert traces == []
