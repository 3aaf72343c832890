"""A console in front of real streams: the listener, the door, sessions, policy and hub are real.

What a backend would have from its runtimes is published by hand, and a restart is a new listener
with a new hub on the same port.
"""

import contextlib
import json
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from yoi.backend.policy import ConfiguredPolicy
from yoi.core.observation import ServiceView, Stream, Wire, WorkerView
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.protocol import service_events as se
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.observation import Hop, Subject, SubjectKind
from yoi.serving.admission import Admitted, Declined, Refused, UpgradeRequest
from yoi.serving.door import Door, asgi_headers
from yoi.serving.front import Front, bind
from yoi.serving.hub import Hub, Watching
from yoi.serving.identity import AT_BACKEND, Identities
from yoi.serving.keys import Key
from yoi.serving.names import ListenerNames
from yoi.serving.principals import Principal, operator
from yoi.serving.sessions import Sessions
from yoi.serving.tokens import TokenStore
from yoi.types import SystemClock

RUNTIME = "local"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8"}
TYPES |= {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


def worker(name: str) -> Subject:
    return Subject(SubjectKind.WORKER, name, RUNTIME)


def service(name: str) -> Subject:
    return Subject(SubjectKind.SERVICE, name, RUNTIME)


def greeting(name: str, **rest: Any) -> ev.Greeting:
    made: dict[str, Any] = {"provider": "offline", "model": "scripted", "tools": []}
    return ev.Greeting(worker_name=name, **{**made, **rest})


class Told:
    """One worker or service whose events are published by hand, as their JSON."""

    def __init__(self, subject: Subject, view: Any, epoch: bytes, limits: Limits) -> None:
        self.stream: Stream[Any] = Stream(subject, view, epoch, limits)
        self.is_worker = subject.kind is SubjectKind.WORKER
        self.encode: Any = ev.encode_event if self.is_worker else se.encode_service_event
        self._seq = 0

    def tell(self, event: str, data: Any = None) -> None:
        """Publish one payload."""
        payload = {"event": event} if data is None else {"event": event, "data": data}
        raw = json.dumps(payload).encode()
        made: Any = ev.decode_event(raw) if self.is_worker else se.decode_service_event(raw)
        self.stream.publish(made, self.encode(made))

    def place(self) -> dict[str, int]:
        """Return the next place in the history."""
        self._seq += 1
        return {"seq": self._seq, "at_ms": SystemClock().wall_ms()}

    def message(self, words: str) -> None:
        """Publish a person's message."""
        self.tell("user_message", {"segments": [{"kind": "text", "text": words}], **self.place()})


class ConsoleWorld:
    """See the module docstring. `expire` and `principal` say who the next session is."""

    def __init__(self, tokens: TokenStore, limits: Limits = LIMITS) -> None:
        self.clock = SystemClock()
        self.limits = limits
        self.told: dict[Subject, Told] = {}
        self.runtimes: list[dict[str, Any]] = [
            {"runtime_id": RUNTIME, "state": "available", "since": None}
        ]
        self.policy = ConfiguredPolicy()
        self.requests: list[str] = []
        self.front: Front | None = None
        self.port = 0
        self._cursor_keys = CursorKeys(b"key1", {b"key1": b"k" * 32})
        self.sessions = Sessions(Key.fresh(), self.clock, tokens, limits)
        self._identities = Identities(tokens, self.clock, AT_BACKEND, self.sessions)

    def worker(self, name: str, limits: Limits | None = None, **rest: Any) -> Told:
        """Return a new worker of that name."""
        limits = limits or self.limits
        return self._add(worker(name), WorkerView(greeting(name, **rest), limits), limits)

    def service(self, name: str, status: dict[str, Any]) -> Told:
        """Return a new service of that name."""
        return self._add(service(name), ServiceView(status, self.limits), self.limits)

    def _add(self, subject: Subject, view: Any, limits: Limits) -> Told:
        told = Told(subject, view, f"epoch{len(self.told):03}".encode(), limits)
        self.told[subject] = told
        if self.front is not None:
            self.hub.add(told.stream, told.encode)
        return told

    def link(self, principal: Principal | None = None, fragment: str = "") -> str:
        """Return an address with a fresh one-time code."""
        code = self.sessions.new_code(principal or operator()).reveal()
        return f"{self.origin}/#code={code}{fragment}"

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, at the port of before if there was one."""
        sock = bind("127.0.0.1", self.port)
        self.port = sock.getsockname()[1]
        self.hub = Hub(Hop.BACKEND, self._cursor_keys, self.clock, self.limits)
        for told in self.told.values():
            self.hub.add(told.stream, told.encode)
        names = ListenerNames.of("127.0.0.1", self.port, secure=False)
        self._door = Door(names, self._identities.identify)
        self.front = Front(self._app(), self._admit, self.hub, clock=self.clock, limits=self.limits)
        await self.front.start(sock)

    async def stop(self) -> None:
        """Stop as a process would that is told to."""
        if self.front is not None:
            await self.front.close()
            self.front = None
            for channel in self.hub:
                channel.stream.drop(channel)

    # -- what a backend does -------------------------------------------------------------------

    async def _admit(self, request: UpgradeRequest) -> Admitted | Declined:
        principal = self._door.admit(request.headers)
        parts = request.path.split("/")
        kind = SubjectKind(parts[4].removesuffix("s"))
        subject = Subject(kind, parts[5], parts[3])
        channel = self.hub.channel(subject)
        if channel is None or not self.policy.observe(principal, subject):
            return Declined(f"{kind}_not_found")
        feed = channel.feed(
            self.policy.projection(principal, subject),
            Wire.WEBSOCKET,
            lambda event: self.policy.project(event, principal),
        )
        watching = Watching(str(principal), principal.expires_at_ms, principal)
        return Admitted(
            channel=channel, feed=feed, watching=watching, cursor=request.query.get("cursor")
        )

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/assets/{name}", self._page),
                Route("/api/session", self._begin, methods=["POST"]),
                Route("/api/session", self._who),
                Route("/api/runtimes", self._runtimes),
                Route("/api/runtimes/{r}/{kind}/{name}/affordances", self._affordances),
            ]
        )

    async def _page(self, request: Request) -> Response:
        self.requests.append(request.url.path)
        name = request.path_params.get("name")
        folder = files("yoi.backend") / "console"
        path = folder / "index.html" if name is None else folder / "assets" / name
        if not path.is_file():
            return Response(status_code=404)
        headers = {
            "Content-Security-Policy": CSP.format(host=request.headers["host"]),
            "Content-Type": TYPES[path.name.rpartition(".")[2]],
            "X-Content-Type-Options": "nosniff",
        }
        return Response(path.read_bytes(), headers=headers)

    def _admitted(self, request: Request) -> Principal:
        return self._door.admit(asgi_headers(request.headers.raw))

    async def _begin(self, request: Request) -> Response:
        try:
            made = self.sessions.exchange((await request.json())["code"])
        except Refused as exc:
            return JSONResponse({"code": exc.code, "message": exc.message}, exc.status)
        return JSONResponse({"token": made.token.reveal(), "expires_at": made.expires_at_ms})

    async def _who(self, request: Request) -> Response:
        try:
            who = self._admitted(request)
        except Refused as exc:
            return JSONResponse({"code": exc.code, "message": exc.message}, exc.status)
        return JSONResponse(
            {
                "principal": str(who),
                "expires_at": who.expires_at_ms,
                "redact": sorted(who.redact),
            }
        )

    async def _affordances(self, request: Request) -> Response:
        who = self._admitted(request)
        kind = SubjectKind(request.path_params["kind"].removesuffix("s"))
        subject = Subject(kind, request.path_params["name"], request.path_params["r"])
        return JSONResponse({"actions": list(self.policy.affordances(who, subject))})

    async def _runtimes(self, request: Request) -> Response:
        try:
            self._admitted(request)
        except Refused as exc:
            return JSONResponse({"code": exc.code, "message": exc.message}, exc.status)
        listed = []
        for runtime in self.runtimes:
            mine = [t for s, t in self.told.items() if s.runtime_id == runtime["runtime_id"]]
            workers = [self._worker_row(told) for told in mine if told.is_worker]
            services = [self._service_row(told) for told in mine if not told.is_worker]
            listed.append({**runtime, "workers": workers, "services": services})
        return JSONResponse(listed)

    def _worker_row(self, told: Told) -> dict[str, Any]:
        data = told.stream.snapshot().data
        return {
            "id": told.stream.subject.name,
            "status": data.status,
            "engine": f"{data.greeting.provider}:{data.greeting.model}",
            "waiting": 0,
            "approvals": len(data.waiting),
            "last_error": None,
        }

    def _service_row(self, told: Told) -> dict[str, Any]:
        status = told.stream.snapshot().data.status
        links = status.get("connections", [])
        return {
            "id": told.stream.subject.name,
            "lifecycle": status.get("lifecycle", ""),
            "reference": status.get("reference", ""),
            "connections": len(links),
            "open": sum(link["state"] == "open" for link in links),
            "queue_depth": status.get("queue_depth", 0),
            "dead_letters": status.get("dead_letters", 0),
            "last_error": status.get("last_error"),
        }


@contextlib.asynccontextmanager
async def console_world(folder: Any, limits: Limits = LIMITS):
    """Yield a world that listens."""
    world = ConsoleWorld(TokenStore(folder / "tokens.toml"), limits)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
