"""Real sockets: a runtime that is told what to say, a backend before it, and clients that record.

Every byte a client is sent is kept, so that a test can look for what must not be in it.
"""

import asyncio
import base64
import contextlib
import os
from pathlib import Path

import msgspec
from tests.backend.world import KEYS, empty, frames_of

from yoi.backend.local_source import LocalSource
from yoi.backend.remote_source import RemoteSource
from yoi.backend.server import Backend
from yoi.core.observation import Stream, WorkerView
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.protocol.observation import DiagnosticFrame, Hop, Subject, SubjectKind
from yoi.runtime.observation_app import ObservationRoutes
from yoi.serving.authenticator import Authenticator
from yoi.serving.hub import Hub
from yoi.serving.listeners import BackendSettings, Listen, ListenerSettings
from yoi.serving.names import ListenerNames
from yoi.serving.principals import EVERYTHING, Principal, PrincipalKind, SubjectPattern
from yoi.serving.server import ObservationServer, bind
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.types import Secret, SystemClock

UPSTREAM_TOKEN = "upstream-token-0123456789"
CLOCK = SystemClock()


class Runtime:
    """A runtime with workers `names`; `start` puts it on a socket, at the port of before."""

    def __init__(self, *names: str, token: str = UPSTREAM_TOKEN, limits=LIMITS) -> None:
        self.names = names
        self.token = token
        self.port = 0
        self.limits = limits
        self.server: ObservationServer | None = None
        self.begin()

    def begin(self) -> None:
        """Forget everything, as a new process does."""
        self.hub = Hub(Hop.RUNTIME, KEYS, CLOCK, self.limits)
        self.streams = {}
        for name in self.names:
            stream = Stream(
                Subject(SubjectKind.WORKER, name),
                WorkerView.of(empty()),
                os.urandom(8),
                self.limits,
            )
            self.hub.add(stream, ev.encode_event)
            self.streams[name] = stream

    def say(self, event, name: str | None = None) -> None:
        self.streams[name or self.names[0]].publish(event, ev.encode_event(event))

    # What ObservationRoutes wants of an Observing:

    def refresh(self, subject: Subject) -> None:
        pass

    def inventory(self):
        row = {"status": "idle", "engine": "scripted", "waiting": 0, "approvals": 0}
        return {
            "workers": [{"id": name, "last_error": "it broke", **row} for name in self.names],
            "services": [],
            "boards": [],
        }

    async def start(self) -> None:
        sock = bind("127.0.0.1", self.port)
        self.port = sock.getsockname()[1]
        upstream = Principal(name="b", kind=PrincipalKind.UPSTREAM, observe=(EVERYTHING,))
        authenticator = Authenticator(
            ListenerNames.of("127.0.0.1", self.port, secure=False), {self.token: upstream}.get
        )
        routes = ObservationRoutes(self, authenticator)
        self.server = ObservationServer(
            routes.app(), routes.admit, self.hub, clock=CLOCK, limits=self.limits
        )
        await self.server.start(sock)

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.close()
            self.server = None

    def remote(self, name: str = "r", token: str | None = None, limits=LIMITS) -> RemoteSource:
        secret = Secret("upstream", token or self.token)
        url = f"ws://127.0.0.1:{self.port}"
        return RemoteSource(name, url, lambda: secret, clock=CLOCK, limits=limits)

    def local(self, name: str = "local") -> LocalSource:
        return LocalSource(name, self.hub, self.inventory, self.refresh)


@contextlib.asynccontextmanager
async def started(*runtimes: Runtime):
    """Put runtimes on sockets."""
    async with contextlib.AsyncExitStack() as stack:
        for runtime in runtimes:
            await runtime.start()
            stack.push_async_callback(runtime.stop)
        yield


def backend(folder: Path, *sources, persist=False, port=0, limits=LIMITS, **rest) -> Backend:
    (folder / ".yoi").mkdir(exist_ok=True)
    listener = ListenerSettings(listen=Listen("127.0.0.1", port))
    settings = BackendSettings(listener=listener, persist=persist)
    return Backend(folder, settings, sources, CLOCK, limits, **rest)


def token(folder: Path, name: str = "eve", observe: str = "*", **rest) -> str:
    (folder / ".yoi").mkdir(exist_ok=True)
    store = TokenStore(tokens_file(folder))
    store.reload()
    _, secret = store.create(name, observe=[SubjectPattern.parse(observe)], **rest)
    return secret.reveal()


class Caller:
    """A client of a backend. `seen` is every byte it was ever sent."""

    def __init__(self, backend: Backend, token: str | None) -> None:
        self.authority = backend.url.partition("//")[2]
        self.token = token
        self.seen = bytearray()

    def headers(self, more=()) -> dict[str, str]:
        made = {"Host": self.authority, **dict(more)}
        if self.token is not None:
            made.setdefault("Authorization", f"Bearer {self.token}")
        return made

    @contextlib.asynccontextmanager
    async def open(self, method: str, path: str, headers=(), body: bytes = b""):
        host, _, port = self.authority.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = [f"{method} {path} HTTP/1.1"]
        made = self.headers(headers)
        if body:
            made["Content-Length"] = str(len(body))
        head += [f"{name}: {value}" for name, value in made.items() if value is not None]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        try:
            yield Answering(reader, writer, self.seen)
        finally:
            writer.transport.abort()

    async def ask(self, method: str, path: str, headers=(), body: bytes = b""):
        """Return status, headers and body of one answer."""
        async with self.open(
            method, path, {"Connection": "close", **dict(headers)}, body
        ) as answering:
            return await answering.whole()

    async def get(self, path: str, **headers):
        """Return the JSON of one answer."""
        status, _, body = await self.ask("GET", path, headers)
        return status, msgspec.json.decode(body) if body else None

    def stream(self, path: str, **headers):
        """Open a WebSocket."""
        key = base64.b64encode(os.urandom(16)).decode()
        made = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Protocol": "yoi.observe.v1",
            **headers,
        }
        return self.open("GET", path, made)


class Answering:
    """One connection's answer, as it comes."""

    def __init__(self, reader, writer, seen: bytearray) -> None:
        self.writer = writer
        self._reader = reader
        self._seen = seen
        self._data = b""
        self._headed = False

    async def _more(self) -> bool:
        data = await self._reader.read(65536)
        self._seen += data
        self._data += data
        return bool(data)

    async def whole(self):
        """Return the answer after the server has ended it."""
        while await self._more():
            pass
        return parsed(self._data)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return status and headers."""
        while b"\r\n\r\n" not in self._data:
            assert await self._more(), self._data
        status, headers, self._data = parsed(self._data)
        self._headed = True
        return status, headers

    async def until(self, words: bytes) -> bytes:
        """Return what has come once it holds `words`."""
        while words not in self._data:
            assert await self._more(), self._data
        return self._data

    async def frames(self, count: int) -> list:
        """Return the first `count` frames of a WebSocket whose head was read."""
        while len(found := complete(self._data)) < count:
            assert await self._more(), self._data
        return found

    async def closed(self) -> tuple[list[str], int]:
        """Return the names of the diagnostics, and the close code, after the end."""
        if not self._headed:
            assert (await self.head())[0] == 101
        while not ends(self._data):
            assert await self._more(), self._data
        found = [each for each in complete(self._data) if isinstance(each, DiagnosticFrame)]
        return [each.diagnostic.name for each in found], ends(self._data)


def parsed(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    if headers.get("transfer-encoding") == "chunked":
        body = unchunked(body)
    return int(lines[0].split()[1]), headers, body


def unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        count = int(size, 16)
        body, data = body + rest[:count], rest[count + 2 :]
    return body


def pieces(data: bytes):
    """The WebSocket frames that are whole, as opcode and payload."""
    while len(data) >= 2:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + size:
            return
        yield data[0] & 15, data[: start + size], data[start : start + size]
        data = data[start + size :]


def complete(data: bytes) -> list:
    return [frames_of(whole)[0] for opcode, whole, _ in pieces(data) if opcode == 1]


def ends(data: bytes) -> int:
    """The code of the close frame, 0 without one."""
    for opcode, _, payload in pieces(data):
        if opcode == 8:
            return int.from_bytes(payload[:2], "big")
    return 0
