"""The backend as a process runs it: alone (`yoi backend`), or beside its runtime (`yoi serve`)."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

import structlog

from yoi.backend.access import ObservationAccess
from yoi.backend.app import BackendRoutes
from yoi.backend.backlog import Backlog
from yoi.backend.commands import CommandPort
from yoi.backend.policy import ConfiguredPolicy, ObservationPolicy
from yoi.backend.remote_source import RemoteSource
from yoi.backend.source import Availability
from yoi.backend.upstream import UpstreamContext
from yoi.backend.upstreams import AnySource, Upstreams
from yoi.errors import EnablementError, JournalError, TrustError
from yoi.journal.sqlite import SqliteJournal
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import Hop
from yoi.serving.authenticator import Authenticator
from yoi.serving.health import Readiness, health_routes
from yoi.serving.hub import Hub
from yoi.serving.identity import AT_BACKEND, AT_METRICS, Identities
from yoi.serving.keys import KeyStore, ObservationKeys, keys_file
from yoi.serving.listeners import BackendSettings
from yoi.serving.metrics import Families, Metrics, RuntimeFigures, UpstreamFigures
from yoi.serving.principals import Principal, operator
from yoi.serving.review import begin_reviewing
from yoi.serving.server import ObservationServer, bind
from yoi.serving.sessions import Sessions, SessionToken
from yoi.serving.settings import RemoteRuntime
from yoi.serving.tls import client_context, listening_tls
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.types import Clock, SecretSource

BACKLOG_FILE = "observed.db"
_log = structlog.get_logger("yoi.backend")


class Backend:
    """Serves the streams of `sources` while entered. Raises ServingError, and what files raise.

    `owner` is the id that the workspace's files must carry; None accepts any.
    `policy` None means what the tokens say; `commands` None means that no command is passed on.
    `figures` are those of a runtime in the same process. `keys` None means those that the workspace
    keeps; backends with the same ones serve one client in turn.
    """

    def __init__(
        self,
        workspace: Path,
        settings: BackendSettings,
        sources: Sequence[AnySource],
        clock: Clock,
        limits: Limits = LIMITS,
        *,
        policy: ObservationPolicy | None = None,
        commands: CommandPort | None = None,
        figures: Families | None = None,
        owner: str | None = None,
        keys: ObservationKeys | None = None,
    ) -> None:
        self.url = ""
        """Where it can be reached, once entered."""
        self._workspace = workspace
        self._owner = owner
        self._keys = keys
        self._settings = settings
        self._sources = {source.runtime_id: source for source in sources}
        if len(self._sources) != len(sources):
            raise EnablementError("enablement.duplicate", "two runtimes have the same id", at="")
        self._clock = clock
        self._limits = limits
        self._policy = ConfiguredPolicy() if policy is None else policy
        self._commands = commands
        self._runtime_figures = figures
        self._sessions: Sessions | None = None
        self._upstreams: Upstreams | None = None
        self._running = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as starting:
            await self._start(starting)
            self._running = starting.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    def new_console_url(self, principal: Principal | None = None) -> str:
        """Return an address that lets its first visitor in, as the operator unless said otherwise.

        Only once entered. It is a secret for as long as it works.
        """
        assert self._sessions is not None
        code = self._sessions.new_code(operator() if principal is None else principal)
        return f"{self.url}/#code={code.reveal()}"

    def new_session(self, principal: Principal | None = None) -> SessionToken:
        """Return a session as the operator unless said otherwise. Only once entered."""
        assert self._sessions is not None
        return self._sessions.begin(operator() if principal is None else principal)

    async def _start(self, running: contextlib.AsyncExitStack) -> None:
        clock, limits, listener = self._clock, self._limits, self._settings.listener
        keys = self._keys
        if keys is None:
            keys = await asyncio.to_thread(
                KeyStore(keys_file(self._workspace), owner=self._owner).load_or_create
            )
        tokens = TokenStore(
            tokens_file(self._workspace), clock=clock, limits=limits, owner=self._owner
        )
        sessions = self._sessions = Sessions(keys.session, clock, tokens, limits)
        identities = Identities(tokens, clock, AT_BACKEND, sessions)
        identities.refresh()
        hub = Hub(Hop.BACKEND, keys.cursor_keys, clock, limits)
        backlog = await self._backlog(running)
        context = UpstreamContext(
            hub=hub,
            clock=clock,
            call_later=asyncio.get_running_loop().call_later,
            rng=random.random,
            limits=limits,
        )
        upstreams = self._upstreams = Upstreams(self._sources, context, backlog)
        tls = await listening_tls(listener.tls, limits, running)
        sock = bind(listener.listen.address, listener.listen.port)
        running.callback(sock.close)
        host, port = sock.getsockname()[:2]
        names = listener.names_at(host, port)
        authenticator = Authenticator(names, identities.identify)
        figures = Authenticator(names, identities.letting_in(AT_METRICS).identify)
        access = ObservationAccess(authenticator, self._policy, self._sources, upstreams, hub)
        routes = BackendRoutes(access, sessions, clock, commands=self._commands, limits=limits)
        app = routes.app()
        server = ObservationServer(app, access.admit, hub, clock=clock, tls=tls, limits=limits)
        readiness = Readiness()
        readiness.add("runtimes", self._why_not_ready)
        readiness.add("tokens", identities.why_not_ready)
        metrics = Metrics(hub, server, self._figures, self._runtime_figures)
        app.router.routes.extend(health_routes(readiness, metrics, figures.admit))
        for source in self._sources.values():
            await source.start()
            running.push_async_callback(source.close)
        running.callback(upstreams.close)
        await server.start(sock)
        running.push_async_callback(server.close)
        running.callback(upstreams.dismiss)
        running.callback(hub.close)  # first: a client that comes now is turned away at once
        begin_reviewing(hub, identities, self._policy.observe, limits, running)
        self.url = listener.url_at(host, port)

    async def _backlog(self, running: contextlib.AsyncExitStack) -> Backlog | None:
        if not self._settings.persist:
            return None
        try:
            journal = await SqliteJournal.open(
                self._workspace / ".yoi" / BACKLOG_FILE,
                limits=self._limits,
                owner=self._owner,
            )
        except (JournalError, TrustError) as exc:
            # It only keeps positions over a restart; clients that watch now need none of it.
            _log.error(
                "nothing is kept over a restart",
                file=BACKLOG_FILE,
                code=exc.code,
                reason=exc.message,
                hint=f"stop, move .yoi/{BACKLOG_FILE} away and start again",
            )
            return None
        running.push_async_callback(journal.close)
        backlog = Backlog(journal, self._limits)
        await backlog.start()
        running.push_async_callback(backlog.close)
        return backlog

    def _why_not_ready(self) -> str | None:
        states = {source.availability for source in self._sources.values()}
        return None if Availability.AVAILABLE in states else "no runtime answers"

    def _figures(self) -> UpstreamFigures:
        assert self._upstreams is not None
        return UpstreamFigures(
            states={state.value: count for state, count in self._upstreams.states().items()},
            events=asdict(self._upstreams.counters),
            runtimes={
                name: RuntimeFigures(
                    up=source.availability is Availability.AVAILABLE,
                    reconnects=self._upstreams.losses(name),
                )
                for name, source in self._sources.items()
            },
        )


async def remote_sources(
    runtimes: Sequence[RemoteRuntime],
    secret: SecretSource,
    clock: Clock,
    limits: Limits = LIMITS,
) -> list[RemoteSource]:
    """Return the sources of the runtimes in the settings. Raises ServingError (`serving.tls`).

    A token is looked up in `secret` at each dial, so a new one holds at once.
    """
    found = []
    for one in runtimes:
        tls = None
        if one.url.startswith("wss:"):
            tls = await asyncio.to_thread(client_context, one.ca)
        found.append(
            RemoteSource(
                one.id,
                one.url,
                lambda name=one.token: secret.secret(name),  # type: ignore[misc]
                tls=tls,
                clock=clock,
                limits=limits,
            )
        )
    return found
