"""A host as the tests of the runtime use it: real, listening nowhere, reloading when it is told."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from yoi.decisions.port import WholeWorkspace
from yoi.host import Host, Parts
from yoi.host.operator_files import watch_operator_files
from yoi.host.showing import to_nobody
from yoi.limits import LIMITS, Limits
from yoi.protocol.diagnostics import Diagnostic
from yoi.runtime.workspace import Plan, WorkspacePlans
from yoi.serving.host_settings import HostSettings
from yoi.serving.watching import Watch
from yoi.types import SystemClock


class FreshPlans:
    """The plan that a workspace says, all of it decided, at each reading."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Plan:
        return WorkspacePlans(self._folder, SystemClock(), WholeWorkspace()).read()

    def due_in(self) -> float | None:
        return None

    def decided(self, names: Iterable[str]) -> None:
        pass

    def proven(self, name: str, digest: str) -> None:
        pass


def quiet_host(folder: Path, heard: Callable[[Diagnostic], None], limits: Limits = LIMITS) -> Host:
    """Return a host of `folder` that hears of no saved file by itself."""
    return _host(folder, heard, limits, partial(Watch, folder, lambda _: False))


def watching_host(folder: Path, heard: Callable[[Diagnostic], None]) -> Host:
    """Return a host of `folder` that reloads when a file is saved."""
    return _host(folder, heard, LIMITS, partial(watch_operator_files, folder, WholeWorkspace()))


def _host(
    folder: Path,
    heard: Callable[[Diagnostic], None],
    limits: Limits,
    watch: Callable[[asyncio.Event], Watch],
) -> Host:
    parts = Parts(plans=FreshPlans(folder), watch=watch, showing=to_nobody)
    return Host(
        folder,
        decisions=WholeWorkspace(),
        machine=HostSettings(limits=limits),
        on_diagnostic=heard,
        parts=parts,
    )
