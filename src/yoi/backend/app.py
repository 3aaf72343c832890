"""The backend's HTTP routes; WebSockets go past this, to `ObservationAccess.admit`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from yoi.backend.access import ObservationAccess
from yoi.backend.commands import CommandPort
from yoi.backend.console_files import ConsoleFiles
from yoi.backend.listing import listing
from yoi.backend.refusals import malformed, not_found, upgrade_required
from yoi.backend.sse import EventStream
from yoi.core.observation import Framing
from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.admission import Refused
from yoi.serving.answers import answer, application, nothing_here, refusal
from yoi.serving.authenticator import asgi_headers
from yoi.serving.principals import Principal
from yoi.serving.sessions import Sessions
from yoi.types import Clock, rfc3339_ms

T = TypeVar("T")
_OPEN = frozenset({"/healthz", "/readyz"})
"""A supervisor of the process may not know the names by which clients reach it."""
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_DEFAULT_POLICY = "default-src 'none'; frame-ancestors 'none'"
_SUBJECT = "/api/runtimes/{runtime}/{kind}s/{name}"


class _Code(msgspec.Struct):
    code: str


class _Command(msgspec.Struct):
    command: str
    arguments: dict[str, Any] = {}


class BackendRoutes:
    """The routes of docs/design/observation.md."""

    def __init__(
        self,
        access: ObservationAccess,
        sessions: Sessions,
        clock: Clock,
        *,
        commands: CommandPort | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._clock = clock
        self._commands = commands
        self._limits = limits

    def app(self) -> Starlette:
        """Return the HTTP app; routes for health and metrics may be added to it."""
        return application(
            [
                *ConsoleFiles().routes(),
                Route("/api/session", self._begin, methods=["POST"]),
                Route("/api/session", self._who, methods=["GET"]),
                Route("/api/runtimes", self._runtimes, methods=["GET"]),
                Route(f"{_SUBJECT}/events/ws", self._no_socket, methods=["GET"]),
                Route(f"{_SUBJECT}/events/sse", _Asgi(self._events), methods=["GET"]),
                Route(f"{_SUBJECT}/affordances", self._affordances, methods=["GET"]),
                Route(f"{_SUBJECT}/commands", self._command, methods=["POST"]),
            ],
            [Middleware(_Outermost, access=self._access)],
        )

    async def _begin(self, request: Request) -> Response:
        asked = await self._read(request, _Code)
        made = self._sessions.exchange(asked.code, request.client.host if request.client else "")
        return answer(
            {
                "token": made.token.reveal(),
                "expires_at": rfc3339_ms(made.expires_at_ms),
                "principal": str(made.principal),
            }
        )

    async def _who(self, request: Request) -> Response:
        principal = self._principal(request)
        expires = principal.expires_at_ms
        return answer(
            {
                "principal": str(principal),
                "expires_at": None if expires is None else rfc3339_ms(expires),
                "redact": sorted(principal.redact),
            }
        )

    async def _runtimes(self, request: Request) -> Response:
        principal = self._principal(request)
        return answer(listing(self._access.sources.values(), self._access.policy, principal))

    async def _no_socket(self, request: Request) -> Response:
        self._principal(request)
        response = refusal(upgrade_required())
        response.headers["Upgrade"] = "websocket"
        return response

    async def _events(self, request: Request) -> ASGIApp:
        principal = self._principal(request)
        cursor = request.headers.get("last-event-id") or request.query_params.get("cursor")
        decided = await self._access.watch(
            principal,
            _subject(request),
            Framing.SSE,
            cursor,
            snapshot_always=request.query_params.get("snapshot") == "always",
        )
        return EventStream(decided, self._clock, self._limits)

    async def _affordances(self, request: Request) -> Response:
        principal, subject = self._principal(request), _subject(request)
        if not self._access.shows(principal, subject):
            raise not_found(subject)
        carried = self._commands is not None and self._commands.reaches(subject)
        offered = self._access.policy.affordances(principal, subject) if carried else ()
        return answer({"actions": list(offered)})

    async def _command(self, request: Request) -> Response:
        principal, subject = self._principal(request), _subject(request)
        if not self._access.shows(principal, subject):
            raise not_found(subject)
        asked = await self._read(request, _Command)
        if not self._access.policy.forward(asked.command, principal, subject):
            raise Refused(403, "forbidden", "this token may not send that command")
        port = self._commands
        if port is None or not port.reaches(subject):
            raise Refused(403, "forbidden", "this server passes no commands on to that")
        try:
            return answer(await port.send(subject, asked.command, asked.arguments, principal))
        except YoiError as exc:
            return answer({"code": exc.code, "message": exc.message}, 409)

    def _principal(self, request: Request) -> Principal:
        return self._access.principal(asgi_headers(request.scope["headers"]))

    async def _read(self, request: Request, kind: type[T]) -> T:
        """Return the request's JSON. A page of others cannot send this type without being asked."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "bad_request", "send application/json")
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.http_head_ms / 1000):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._limits.http_body_bytes:
                        raise Refused(413, "bad_request", "the request is over its bound")
        except TimeoutError:
            raise Refused(408, "bad_request", "the request did not come in time") from None
        except ClientDisconnect:
            raise malformed("the request was not finished") from None
        try:
            return msgspec.json.decode(bytes(body), type=kind)
        except (msgspec.DecodeError, RecursionError):
            raise malformed("the request's JSON cannot be read") from None


class _Asgi:
    """An endpoint that decides first and then answers by itself."""

    def __init__(self, decide: Callable[[Request], Awaitable[ASGIApp]]) -> None:
        self._decide = decide

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._decide(Request(scope, receive))
        await found(scope, receive, send)


class _Outermost:
    """Around everything: where a request came from, and headers that every answer has."""

    def __init__(self, app: ASGIApp, access: ObservationAccess) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _DEFAULT_POLICY)
            await send(message)

        if scope["path"] not in _OPEN:
            try:
                self._access.authenticator.check_source(asgi_headers(scope["headers"]))
            except Refused as exc:
                await refusal(exc)(scope, receive, guarded)
                return
        await self._app(scope, receive, guarded)


def _subject(request: Request) -> Subject:
    params = request.path_params
    try:
        kind = SubjectKind(params["kind"])
    except ValueError:
        raise nothing_here() from None
    return Subject(kind, params["name"], params["runtime"])
