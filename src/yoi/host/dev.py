"""`yoi plugin dev`: run a plugin straight from its folder and reload it when a file is saved.

The grant is for this session only. It is bound to the folder and to the hash of what the manifest
asks for: a save that changes the permissions stops the plugin until the person agrees again.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from yoi.errors import PackageError, UsageError, YoiError
from yoi.host.parts import Parts
from yoi.host.showing import to_nobody
from yoi.packages import (
    EnabledEntry,
    Package,
    ResolvedPlugin,
    exclusion,
    inspect,
    read_package,
    resolve_package,
)
from yoi.permissions import PermissionSet, permission_hash
from yoi.protocol.diagnostics import failure
from yoi.runtime.workspace import Plan
from yoi.serving.watching import Watch
from yoi.types import Clock, InstanceName, rfc3339

Ask = Callable[[Package, PermissionSet | None], bool]
"""Shows the review of a package (beside what was agreed to before) and returns the answer."""


class DevSession:
    """What the folder may do in this session. Reading it is blocking."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        secrets: Mapping[str, str],
        ask: Ask,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._config = config
        self._secrets = secrets
        self._ask = ask
        self._clock = clock
        self._agreed: PermissionSet | None = None
        self._refused: str | None = None

    def read(self) -> Plan:
        """Return the plugin as it is on disk now, or why it may not run.

        Asks the person where the permissions are not the ones agreed to. A refusal holds until they
        change again.
        """
        try:
            return Plan((self._resolve(),), ())
        except YoiError as exc:
            return Plan((), (failure(rfc3339(self._clock.wall()), "dev", exc),))

    def due_in(self) -> float | None:
        """Return None: only a save changes anything."""

    def decided(self, names: Iterable[str]) -> None:
        """Take note of nothing: the grant is for the session, and no command writes it."""

    def _resolve(self) -> ResolvedPlugin:
        package = read_package(self._folder)
        manifest = package.manifest
        requested = manifest.requested
        wanted = permission_hash(requested)
        if self._agreed is None or permission_hash(self._agreed) != wanted:
            if self._refused == wanted or not self._ask(package, self._agreed):
                self._refused = wanted
                raise UsageError(
                    "usage.aborted",
                    f"{manifest.id} asks for permissions that were not agreed to; it does not run",
                    hint="change plugin.toml, or start `yoi plugin dev` again",
                )
            self._agreed, self._refused = requested, None
        fault = next(iter(inspect(package, None).findings), None)
        if fault is not None:
            # Told once, instead of a plugin that is started again and again.
            raise PackageError(fault.code, fault.message, hint=fault.hint)
        return resolve_package(
            package,
            EnabledEntry(
                reference=package.reference,
                name=InstanceName(manifest.id),
                version=manifest.version,
                digest=package.digest,
                config=self._config,
                granted=requested.granting(self._secrets),
            ),
        )


def developing(session: DevSession, folder: Path) -> Parts:
    """Return the parts of a host that runs the plugin in `folder` and reloads it on save.

    It listens nowhere; its control socket is that of the folder as a workspace. Raises UsageError
    where the person says no, and what is wrong with the folder as it is now; later both are
    diagnostics and the session goes on. Blocking: it asks.
    """
    first = session.read()
    if not first.plugins:
        problem = first.diagnostics[0]
        raise UsageError(problem.code, problem.message, hint=problem.hint)
    return Parts(
        plans=session,
        watch=partial(Watch, folder, partial(belongs, folder)),
        showing=to_nobody,
    )


def belongs(folder: Path, path: Path) -> bool:
    """Return whether a change of `path` can change the package in `folder`."""
    parts = path.relative_to(folder).parts
    return not any(
        exclusion("/".join(parts[: count + 1]), is_folder=count + 1 < len(parts))
        for count in range(len(parts))
    )
