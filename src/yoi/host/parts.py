"""What a `Host` is put together from."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from yoi.decisions.port import Decisions
from yoi.host.operator_files import watch_operator_files
from yoi.host.showing import Showing, through_backend, to_backends
from yoi.runtime.workspace import Plan, WorkspacePlans
from yoi.serving.watching import Watch
from yoi.types import Clock

Preparing = Callable[[], contextlib.AbstractContextManager[None]]
"""Entered while the Python runner is prepared, which takes seconds on a machine's first run."""


class Plans(Protocol):
    """Says what to run (`yoi.runtime.workspace.WorkspacePlans`). May be used from any thread."""

    def read(self) -> Plan:
        """Return the plan as it is now. Blocking. Raises YoiError where there is none."""
        ...

    def due_in(self) -> float | None:
        """Return after how many seconds to read again though no file changes, or None."""
        ...

    def decided(self, names: Iterable[str]) -> None:
        """Take the entries `names` at once at the next `read`: a command of Yoi wrote them."""
        ...

    def proven(self, name: str, digest: str) -> None:
        """Forget what ran before the version `digest` of the service `name`. Blocking."""
        ...


class Placing(Protocol):
    """Says what of a plan runs on this machine (`yoi.host.clustered`)."""

    def kept(self, plan: Plan) -> Plan:
        """Return `plan` with the plugins and workers that this machine owns, and no others."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the plan comes from, which changed files ask for another look, and who may watch."""

    plans: Plans
    watch: Callable[[asyncio.Event], Watch]
    """Makes the watch of the files; it ends when the event is set."""
    showing: Showing
    secrets_of: Path | None = None
    """The workspace whose secret store is used, where that is another one."""

    @classmethod
    def serving(
        cls, workspace: Path, clock: Clock, decisions: Decisions, port: int | None = None
    ) -> "Parts":
        """Return the parts of `yoi serve`: the workspace's plan, and a backend, at `port`."""
        return cls._of(workspace, clock, decisions, partial(through_backend, port=port))

    @classmethod
    def runtime(cls, workspace: Path, clock: Clock, decisions: Decisions) -> "Parts":
        """Return the parts of `yoi runtime`: the workspace's plan, watched from elsewhere."""
        return cls._of(workspace, clock, decisions, to_backends)

    @classmethod
    def _of(cls, workspace: Path, clock: Clock, decisions: Decisions, showing: Showing) -> "Parts":
        return cls(
            plans=WorkspacePlans(workspace, clock, decisions),
            watch=partial(watch_operator_files, workspace, decisions),
            showing=showing,
        )
