"""The backend beside others: in the process of `yoi serve`, and by itself as `yoi backend`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoi.backend.local_source import LocalSource
from yoi.backend.server import Backend, remote_sources
from yoi.backend.source import Source
from yoi.control.server import ControlServer
from yoi.control.wire import BACKEND
from yoi.decisions.port import Decisions
from yoi.errors import SecretError
from yoi.limits import LIMITS, Limits
from yoi.serving.host_settings import HostSettings
from yoi.serving.secrets import WorkspaceSecrets
from yoi.serving.settings import ServingSettings
from yoi.serving.watching import Watch
from yoi.types import Clock, SecretSource

if TYPE_CHECKING:
    from yoi.backend.upstreams import AnySource

Methods = Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]


def control_methods(backend: Backend, runtime_id: str) -> Methods:
    """Return what the control socket of a process with a backend answers, too.

    The socket admits only the account that runs the process, so its clients are the operator.
    """

    async def access(_: dict[str, Any]) -> Any:
        session = backend.new_session()
        return {
            "url": backend.url,
            "token": session.token.reveal(),
            "runtime_id": runtime_id,
            "expires_at_ms": session.expires_at_ms,
        }

    async def console(_: dict[str, Any]) -> Any:
        return {"url": backend.new_console_url()}

    return {"observation.access": access, "observation.console": console}


@contextlib.asynccontextmanager
async def serving(
    workspace: Path,
    settings: ServingSettings,
    local: LocalSource,
    secrets: SecretSource,
    clock: Clock,
    limits: Limits = LIMITS,
    decisions: Decisions | None = None,
) -> AsyncIterator[Backend]:
    """Run a backend beside the runtime that `local` reads, for as long as it is entered.

    `decisions` know the id that the workspace's files must carry; None accepts any.
    """
    settings.check_local()
    sources: list[AnySource] = [
        local,
        *await remote_sources(settings.runtimes, secrets, clock, limits),
    ]
    async with Backend(
        workspace,
        settings.backend,
        sources,
        clock,
        limits,
        owner=await owner_of(workspace, decisions),
    ) as backend:
        yield backend


async def run_backend(
    workspace: Path,
    stop: asyncio.Event,
    ready: Callable[[Backend, Sequence[Source]], None],
    clock: Clock,
    host: HostSettings,
    decisions: Decisions | None = None,
) -> None:
    """Run the backend of `workspace` until `stop` is set. Raises what its files and ports make."""
    limits = host.limits
    settings = host.over(
        await asyncio.to_thread(ServingSettings.load, workspace, limits, decisions)
    )
    secrets = WorkspaceSecrets(workspace, decisions)
    with contextlib.suppress(SecretError):
        # Without its tokens a runtime cannot be asked; the others can, and its state says so.
        await secrets.refresh()
    sources = await remote_sources(settings.runtimes, secrets, clock, limits)
    methods: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {}
    control = ControlServer(workspace, methods, limits, part=BACKEND)
    owner = await owner_of(workspace, decisions)
    await control.start()
    try:
        async with Backend(
            workspace, settings.backend, sources, clock, limits, owner=owner
        ) as backend:
            methods.update(control_methods(backend, sources[0].runtime_id if sources else ""))
            async with Watch(workspace / ".yoi", _is_store, stop) as changes:
                ready(backend, sources)
                while await changes.changed():
                    with contextlib.suppress(SecretError):
                        await secrets.refresh()
    finally:
        await control.close()


async def owner_of(workspace: Path, decisions: Decisions | None) -> str | None:
    """Return the id that the host's files in `workspace` carry; None where any is accepted."""
    return None if decisions is None else await asyncio.to_thread(decisions.identity, workspace)


def _is_store(path: Path) -> bool:
    return path.name == "secrets.enc"
