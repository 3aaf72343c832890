"""`BackendHost`: a backend by itself, for runtimes elsewhere."""

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.backend.server import Backend, remote_sources
from yoi.control.server import ControlServer, Method, claimed
from yoi.control.wire import BACKEND
from yoi.decisions.port import AccountDecisions, Decisions
from yoi.errors import SecretError
from yoi.host.backend_methods import backend_methods
from yoi.host.nats_client import needing_nats
from yoi.host.opened import EnteredOnce, Opened, following, holding
from yoi.host.operator_files import watch_secrets
from yoi.serving.host_settings import HostSettings
from yoi.serving.keys import ObservationKeys
from yoi.serving.secrets import WorkspaceSecrets
from yoi.serving.settings import ServingSettings
from yoi.serving.watching import Watch
from yoi.types import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yoi.backend.source import Source
    from yoi.backend.upstreams import AnySource


class BackendHost(EnteredOnce):
    """Runs what `yoi backend` runs while entered: a backend that shows runtimes elsewhere.

    Which runtimes, and where it listens, stand in the workspace's yoi.toml. Entering raises
    YoiError, as `Host` does; leaving closes all that was opened, last first.
    """

    def __init__(
        self,
        workspace: str | Path,
        *,
        decisions: Decisions | None = None,
        machine: HostSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.workspace = Path(workspace).resolve()
        self.sources: Sequence[Source] = ()
        """The runtimes that are shown, once entered."""
        self._clock = SystemClock() if clock is None else clock
        self._decisions = AccountDecisions() if decisions is None else decisions
        self._machine = machine
        self._backend: Backend | None = None

    @property
    def url(self) -> str | None:
        """Return where it can be watched, once entered."""
        return None if self._backend is None else self._backend.url

    def new_console_url(self) -> str | None:
        """Return an address that lets its first visitor in, once entered. It is a secret."""
        return None if self._backend is None else self._backend.new_console_url()

    async def _open(self, opened: Opened) -> None:
        workspace, clock, decisions = self.workspace, self._clock, self._decisions
        machine = self._machine
        if machine is None:
            machine = await asyncio.to_thread(HostSettings.load)
        limits = machine.limits
        settings = machine.over(
            await asyncio.to_thread(ServingSettings.load, workspace, limits, decisions)
        )
        await opened.enter("the workspace", holding(claimed(workspace, BACKEND)))
        owner = await asyncio.to_thread(decisions.identity, workspace)
        secrets = WorkspaceSecrets(workspace, decisions)
        with contextlib.suppress(SecretError):
            # Without its tokens a runtime cannot be asked; the others can, and its state says so.
            await secrets.refresh()
        sources: list[AnySource] = [
            *await remote_sources(settings.runtimes, secrets, clock, limits)
        ]
        keys, commands = None, None
        answered: dict[str, Method] = {}
        if settings.clustered and settings.deployment_key is not None:
            with needing_nats():
                from yoi.host.cluster_backend import (
                    ClusterCommands,
                    cluster_source,
                    methods_of_cluster,
                )
            key = settings.deployment_key
            keys = ObservationKeys.of_deployment(key)
            source, forwarding = await cluster_source(
                opened, workspace, decisions, machine, key, clock, limits
            )
            sources.append(source)
            commands = ClusterCommands(source.runtime_id, forwarding)
            answered = methods_of_cluster(forwarding, workspace)
        backend = await opened.enter(
            "the backend",
            Backend(
                workspace,
                settings.backend,
                sources,
                clock,
                limits,
                commands=commands,
                owner=owner,
                keys=keys,
            ),
        )
        first = sources[0].runtime_id if sources else ""
        methods = {**answered, **backend_methods(backend, first)}
        await opened.enter(
            "the control socket", ControlServer(workspace, methods, limits, part=BACKEND)
        )
        changes = await opened.enter("watched files", watch_secrets(workspace, asyncio.Event()))
        await opened.enter("following changes", following(partial(_follow, changes, secrets)))
        self.sources, self._backend = sources, backend


async def _follow(changes: Watch, secrets: WorkspaceSecrets) -> None:
    """Read the secrets again whenever they have changed."""
    while await changes.changed():
        with contextlib.suppress(SecretError):
            await secrets.refresh()
