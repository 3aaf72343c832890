"""How others watch a host's runtime: through a backend here, through backends elsewhere, or not."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.backend.local_source import LocalSource
from yoi.backend.server import Backend, remote_sources
from yoi.host.backend_methods import Methods, backend_methods
from yoi.host.commands import LocalCommands
from yoi.host.runtime_parts import RuntimeParts
from yoi.limits import Limits
from yoi.runtime.listener import RuntimeListener
from yoi.serving.identity import upstream_token
from yoi.serving.settings import ServingSettings
from yoi.types import Clock

if TYPE_CHECKING:
    from yoi.backend.upstreams import AnySource


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a host can be watched, and what its control socket answers because of that."""

    url: str | None = None
    backend: Backend | None = None
    methods: Methods = field(default_factory=dict)


Showing = Callable[
    [Path, RuntimeParts, ServingSettings, Limits, Clock],
    contextlib.AbstractAsyncContextManager[Shown],
]
"""Lets others watch a runtime while entered."""


@contextlib.asynccontextmanager
async def through_backend(
    workspace: Path,
    runtime: RuntimeParts,
    settings: ServingSettings,
    limits: Limits,
    clock: Clock,
    *,
    port: int | None = None,
) -> AsyncIterator[Shown]:
    """Run a backend in this process, which shows this runtime and those in the settings.

    It listens at `port` whatever the settings say, where one is given.
    """
    settings.check_local()
    shown = settings.backend if port is None else settings.backend.at_port(port)
    observing = runtime.observing
    local = LocalSource(
        settings.runtime.id,
        observing.hub,
        observing.inventory,
        observing.refresh,
        runtime.settled,
    )
    sources: list[AnySource] = [
        local,
        *await remote_sources(settings.runtimes, runtime.secrets, clock, limits),
    ]
    backend = Backend(
        workspace,
        shown,
        sources,
        clock,
        limits,
        commands=LocalCommands(settings.runtime.id, runtime.workers),
        figures=runtime.figures,
        owner=runtime.owner,
    )
    async with backend:
        yield Shown(backend.url, backend, backend_methods(backend, settings.runtime.id))


@contextlib.asynccontextmanager
async def to_backends(
    workspace: Path,
    runtime: RuntimeParts,
    settings: ServingSettings,
    limits: Limits,
    clock: Clock,
) -> AsyncIterator[Shown]:
    """Let backends elsewhere watch this runtime, each with a token."""
    key = settings.deployment_key
    listener = RuntimeListener(
        workspace,
        runtime.observing,
        settings.runtime,
        runtime.why_not_ready,
        clock,
        limits,
        runtime.owner,
        runtime.figures,
        None if key is None else upstream_token(key),
    )
    async with listener:
        yield Shown(listener.url)


@contextlib.asynccontextmanager
async def to_nobody(
    workspace: Path,
    runtime: RuntimeParts,
    settings: ServingSettings,
    limits: Limits,
    clock: Clock,
) -> AsyncIterator[Shown]:
    """Listen nowhere: only the control socket and this process see the runtime."""
    yield Shown()
