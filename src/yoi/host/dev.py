"""`yoi plugin dev`: run a plugin straight from its folder and reload it when a file is saved.

The grant is for this session only. It is bound to the folder and to the hash of what the manifest
asks for: a save that changes the permissions stops the plugin until the person agrees again.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from yoi.errors import ManifestError, PackageError, UsageError, YoiError
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
from yoi.protocol.diagnostics import diagnostic, failure
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
        self._begun = False
        self._asking_next: str | None = None
        self._last: tuple[ResolvedPlugin, ...] = ()
        """What was good when it was read last: it goes on while a save is broken."""

    def read(self) -> Plan:
        """Return the plugin as it is on disk now, or why it may not run.

        Asks the person where the permissions are not the ones agreed to: the first time at once,
        later when the plugin has been stopped, so that nothing runs meanwhile. A refusal holds
        until they change again.
        """
        at = rfc3339(self._clock.wall())
        try:
            package = read_package(self._folder)
            if self._must_stop_first(package):
                self._last = ()
                words = f"{package.manifest.id} asks for other permissions; it is stopped"
                stopped = diagnostic(at, "notice.dev", "dev", words, severity="warning")
                return Plan((), (stopped,))
            self._last = (self._resolve(package),)
            return Plan(self._last, ())
        except (PackageError, ManifestError) as exc:
            return Plan(self._last, (failure(at, "dev", exc),))
        except YoiError as exc:
            self._last = ()
            return Plan((), (failure(at, "dev", exc),))
        finally:
            self._begun = True

    def due_in(self) -> float | None:
        """Return 0 while a question waits until the plugin has been stopped, else None."""
        return None if self._asking_next is None else 0.0

    def decided(self, names: Iterable[str]) -> None:
        """Do nothing: the grant is for the session, and no command writes it."""

    def proven(self, name: str, digest: str) -> None:
        """Do nothing: the session has no version from before."""

    def _must_stop_first(self, package: Package) -> bool:
        """Return whether what runs must go before the person is asked about `package`."""
        wanted = permission_hash(package.manifest.requested)
        agreed = None if self._agreed is None else permission_hash(self._agreed)
        asked = wanted not in (agreed, self._refused)
        stops = asked and self._begun and self._asking_next != wanted
        self._asking_next = wanted if stops else None
        return stops

    def _resolve(self, package: Package) -> ResolvedPlugin:
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


def developing(session: DevSession, folder: Path, secrets_of: Path | None = None) -> Parts:
    """Return the parts of a host that runs the plugin in `folder` and reloads it on save.

    Secrets are those of the workspace `secrets_of`, where one is given. It listens nowhere; its
    control socket is that of the folder as a workspace. Raises UsageError
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
        secrets_of=secrets_of,
    )


def belongs(folder: Path, path: Path) -> bool:
    """Return whether a change of `path` can change the package in `folder`."""
    parts = path.relative_to(folder).parts
    return not any(
        exclusion("/".join(parts[: count + 1]), is_folder=count + 1 < len(parts))
        for count in range(len(parts))
    )
