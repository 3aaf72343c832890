"""`RequestClient`: one-shot HTTP for plugins, over the same sockets and checks as connections.

A request is authorised, its name is looked up once, every address is judged, and only those
addresses are connected. There is no pool, no cookie, nothing from the environment, and
no redirect that was not authorised like a request of its own.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

from yoi.connections import sockets
from yoi.connections.answer_pace import AnswerPace
from yoi.connections.answers import HttpAnswer, HttpFailure, read_body
from yoi.connections.background_work import BackgroundWork
from yoi.connections.exchange import Exchange, RawAnswer
from yoi.connections.pausing_reader import PausingReader
from yoi.connections.reach import Reach
from yoi.connections.redirects import REDIRECTS, next_request
from yoi.connections.request_headers import seen_by_the_guest
from yoi.connections.requests import PreparedRequest, Redirects
from yoi.connections.resolver import HostResolver, pin
from yoi.connections.sockets import default_tls
from yoi.connections.timeouts import timeout
from yoi.connections.ways import Ways
from yoi.core.routes import Route, Routes
from yoi.errors import ConnectionFailure, RequestFailure, YoiError
from yoi.limits import LIMITS, Limits
from yoi.permissions import Decision, Url
from yoi.types import Clock

_LOOKED_AT = 4
"""Shares that a request looks at to forget them: more than one, or their number could grow."""

Authorise = Callable[[str, Url], Decision]
"""Judges a method and a URL without query, for the named target of one request and no other."""

_AS_REQUEST = {
    "connection.authorities": "request.authorities",
    "connection.dns": "request.dns",
    "connection.refused": "request.refused",
    "connection.tls": "request.tls",
    "connection.proxy": "request.proxy",
    "connection.proxy_credentials": "request.proxy_credentials",
    "connection.proxy_lost": "request.proxy_lost",
    "connection.proxy_protocol": "request.proxy_protocol",
    "connection.proxy_refused": "request.proxy_refused",
    "connection.proxy_silent": "request.proxy_silent",
    "connection.timeout": "request.timeout",
}


class RequestClient:
    """See the module docstring. One for all plugins of a host; it belongs to the event loop.

    At most `requests_per_plugin` of one plugin and `requests` of all are under way; others wait,
    within their own time, `requests_waiting` of one plugin at most. The answers of one plugin are
    read at the pace of `AnswerPace`.
    """

    def __init__(
        self,
        resolver: HostResolver,
        clock: Clock,
        limits: Limits = LIMITS,
        tls: Callable[[], ssl.SSLContext] = default_tls,
        ways: Ways | None = None,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._limits = limits
        self._ways = ways or Ways(limits=limits, tls=tls)
        self._reach = Reach(limits, clock, self._ways.network)
        self._under_way = asyncio.Semaphore(limits.requests)
        self._shares: dict[str, _Share] = {}
        self._resting: dict[str, None] = {}
        """Plugins whose shares may be forgotten, the next to look at first."""
        self.background = BackgroundWork()
        """For what else is done with a large answer."""

    async def send(
        self, prepared: PreparedRequest, authorise: Authorise
    ) -> HttpAnswer | HttpFailure:
        """Return the answer to `prepared`, or why there is none, within `request_ms`.

        Never raises but when cancelled, and leaves no socket open. `authorise` is asked again for
        each redirect; it must answer for the target that `prepared` names and no other.
        """
        limits = self._limits
        share = self._share_of(prepared.plugin)
        if share.users >= limits.requests_per_plugin + limits.requests_waiting:
            return HttpFailure(
                error=RequestFailure(
                    "request.busy",
                    f"{limits.requests_waiting} requests of this plugin wait already",
                )
            )
        share.users += 1
        if prepared.user_agent != self._ways.network.user_agent:
            prepared = replace(prepared, user_agent=self._ways.network.user_agent)
        trip = _Trip(authorise, share.routes, share.pace)
        try:
            async with timeout(limits.request_ms, f"{prepared.target_url.display} did not answer"):
                self._check_allowed(prepared, trip)
                async with share.running, self._under_way:
                    return await self._follow(prepared, trip)
        except ConnectionFailure as exc:
            return trip.failed(
                RequestFailure(
                    _AS_REQUEST.get(exc.code, "request.lost"), exc.message, hint=exc.hint
                )
            )
        except YoiError as exc:
            return trip.failed(exc)
        finally:
            share.users -= 1
            self._resting[prepared.plugin] = None
            self._forget_rested()

    def _share_of(self, plugin: str) -> "_Share":
        share = self._shares.get(plugin)
        if share is None:
            share = self._shares[plugin] = _Share.of(self._limits)
        return share

    def _forget_rested(self) -> None:
        """Forget shares that bound nothing any more: a few are looked at for each request."""
        now = self._clock.monotonic()
        for plugin in list(islice(self._resting, _LOOKED_AT)):
            del self._resting[plugin]
            share = self._shares.get(plugin)
            if share is None or share.users:
                continue
            share.routes.expire(now)
            if share.routes or not share.pace.is_rested():
                self._resting[plugin] = None
            else:
                del self._shares[plugin]

    def _check_allowed(self, request: PreparedRequest, trip: "_Trip") -> Decision:
        """Return the decision for `request` as it is now; raises when it has to wait."""
        decision = trip.authorise(request.method, request.target_url).require()
        self._check_wait(request, trip)
        return decision

    def _check_wait(self, request: PreparedRequest, trip: "_Trip") -> None:
        wait = trip.routes.wait_ms(_route(request), self._clock.monotonic())
        if wait:
            raise RequestFailure(
                "request.rate_limited",
                f"{request.method} {request.target_url.display}: the server said to wait; "
                f"{wait} ms are left",
                retry_after_ms=wait,
            )

    async def _follow(self, request: PreparedRequest, trip: "_Trip") -> HttpAnswer:
        # Asked again: the grant or the route may have changed while this one waited.
        decision = self._check_allowed(request, trip)
        for _ in range(self._limits.request_redirects + 1):
            answer = await self._exchange(request, decision, trip)
            if answer.status not in REDIRECTS or request.redirects is Redirects.RETURN:
                return await self._answer(request, answer, trip)
            request = next_request(request, answer)
            decision = trip.authorise(request.method, request.target_url)
            if not decision.allowed:
                raise RequestFailure(
                    "request.redirect",
                    f"the redirect ({answer.status}) is not allowed: {decision.message}",
                    hint=decision.hint,
                    denied=decision.code,
                )
            self._check_wait(request, trip)
        raise RequestFailure(
            "request.redirect", f"more than {self._limits.request_redirects} redirects"
        )

    async def _exchange(
        self, request: PreparedRequest, decision: Decision, trip: "_Trip"
    ) -> RawAnswer:
        """Return the answer of one server; the socket is closed after it, whatever happens."""
        url, limits = request.url, self._limits
        await trip.pace.ready()
        trip.pace.came(limits.response_cost_bytes)
        addresses = await pin(url, decision, self._resolver.of(request.plugin), limits)

        async def open_on(
            sock: socket.socket, address: str
        ) -> tuple[PausingReader, asyncio.Transport]:
            transport, reader = await sockets.attach(
                PausingReader,
                sock,
                url,
                self._ways.contexts,
                limits,
                request.certificate,
            )
            return reader, transport

        reader, transport = await self._reach(
            url,
            addresses,
            open_on,
            attempt_ms=limits.connect_ms,
            what=f"{url.display} could not be connected",
            open_one=self._ways.open,
        )
        try:
            trip.may_have_arrived = True
            most = decision.max_message_bytes or limits.response_body_bytes
            exchange = Exchange(reader, transport, self.background, trip.pace, limits, most)
            return await exchange.run(request, url)
        finally:
            transport.abort()

    async def _answer(self, request: PreparedRequest, raw: RawAnswer, trip: "_Trip") -> HttpAnswer:
        wait = trip.routes.answered(
            _route(request),
            raw.status,
            raw.header("retry-after") or None,
            self._clock.monotonic(),
            self._clock.wall(),
        )
        coding = raw.header("content-encoding").strip().lower()
        encoded, media = coding not in ("", "identity"), raw.header("content-type")
        body, kind = await self.background.run(
            len(raw.body), lambda: read_body(raw.body, media, encoded)
        )
        return HttpAnswer(
            status=raw.status,
            headers=seen_by_the_guest(raw.headers, self._limits),
            body=body,
            body_kind=kind,
            size=len(raw.body),
            retry_after_ms=wait,
        )


@dataclass(slots=True)
class _Share:
    """One plugin's share."""

    running: asyncio.Semaphore
    routes: Routes
    pace: AnswerPace
    users: int = 0

    @classmethod
    def of(cls, limits: Limits) -> "_Share":
        return cls(
            asyncio.Semaphore(limits.requests_per_plugin),
            Routes(limits),
            AnswerPace(asyncio.get_running_loop().time, limits),
        )


@dataclass(slots=True)
class _Trip:
    """One request from the first hop to the last."""

    authorise: Authorise
    routes: Routes = field(repr=False)
    pace: AnswerPace = field(repr=False)
    may_have_arrived: bool = False

    def failed(self, error: YoiError) -> HttpFailure:
        return HttpFailure(
            error=error,
            may_have_arrived=self.may_have_arrived,
            retry_after_ms=error.fields.get("retry_after_ms"),
        )


def _route(request: PreparedRequest) -> Route:
    return Route(request.target, request.method, request.target_url.path)
