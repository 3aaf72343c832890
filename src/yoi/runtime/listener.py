"""The runtime's listener as a process runs it: `yoi runtime` enters it beside the runtime."""

import contextlib
from pathlib import Path
from typing import Self

from yoi.limits import LIMITS, Limits
from yoi.runtime.observation_app import ObservationRoutes
from yoi.runtime.observing import Observing
from yoi.serving.authenticator import Authenticator
from yoi.serving.health import Check, Readiness, health_routes
from yoi.serving.identity import AT_METRICS, AT_RUNTIME, Identities
from yoi.serving.listeners import RuntimeSettings
from yoi.serving.metrics import Families, Metrics
from yoi.serving.principals import Principal
from yoi.serving.review import begin_reviewing
from yoi.serving.server import ObservationServer, bind
from yoi.serving.tls import listening_tls
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.types import Clock, Secret


class RuntimeListener:
    """Serves the streams of `observing` to backends while entered. Raises ServingError.

    `check` says why the runtime is not ready, or None; `upstream` is what the backends of its
    deployment present.
    """

    def __init__(
        self,
        workspace: Path,
        observing: Observing,
        settings: RuntimeSettings,
        check: Check,
        clock: Clock,
        limits: Limits = LIMITS,
        owner: str | None = None,
        figures: Families | None = None,
        upstream: Secret | None = None,
    ) -> None:
        self._observing = observing
        self._figures = figures
        self._settings = settings
        self._readiness = Readiness()
        self._readiness.add("services", check)
        self._clock = clock
        self._limits = limits
        self._identities = Identities(
            TokenStore(tokens_file(workspace), clock=clock, limits=limits, owner=owner),
            clock,
            AT_RUNTIME,
            upstream=upstream,
        )
        self._readiness.add("tokens", self._identities.why_not_ready)
        self._running = contextlib.AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as starting:
            await self._start(starting)
            self._running = starting.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    async def _start(self, running: contextlib.AsyncExitStack) -> None:
        listener = self._settings.listener
        self._identities.refresh()
        tls = await listening_tls(listener.tls, self._limits, running)
        sock = bind(listener.listen.address, listener.listen.port, "runtime")
        running.callback(sock.close)
        host, port = sock.getsockname()[:2]
        names = listener.names_at(host, port)
        authenticator = Authenticator(names, self._identities.identify)
        figures = Authenticator(names, self._identities.letting_in(AT_METRICS).identify)
        routes = ObservationRoutes(self._observing, authenticator)
        app = routes.app()
        server = ObservationServer(
            app,
            routes.admit,
            self._observing.hub,
            clock=self._clock,
            tls=tls,
            limits=self._limits,
        )
        metrics = Metrics(self._observing.hub, server, runtime=self._figures)
        app.router.routes.extend(health_routes(self._readiness, metrics, figures.admit))
        await server.start(sock)
        running.push_async_callback(server.close)
        begin_reviewing(
            self._observing.hub, self._identities, Principal.observes, self._limits, running
        )
        self.url = listener.url_at(host, port)
