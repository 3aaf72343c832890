"""Versions that ran before the ones that are enabled now, kept until those have handled something.

What was decided about one stands in the decisions, its package in the workspace, by its digest. A
host that starts runs it first and has the enabled one take its place as while a host runs: where
that does not start, or fails at its first event, the one before it goes on.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from yoi.decisions.entries import Content
from yoi.decisions.port import InForce, Undisturbed
from yoi.decisions.recording import plugin_entry
from yoi.errors import SecretError, TrustError, YoiError
from yoi.folders import make_folder, remove_file
from yoi.packages import Enablement, Package, ResolvedPlugin, read_package, resolve_package
from yoi.packages.writer import build_archive
from yoi.secrets.files import write_private


@dataclass(frozen=True, slots=True)
class _Running:
    """What this process was asked to run: what was decided about it, and its package."""

    content: Content
    package: Package


class EarlierVersions:
    """See the module docstring. Everything blocks, but not for long."""

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / ".yoi" / "earlier"
        self._running: dict[str, _Running] = {}

    def read(
        self, plugins: Iterable[ResolvedPlugin], found: InForce, decisions: Undisturbed
    ) -> dict[str, ResolvedPlugin]:
        """Keep what `plugins` replace; return what ran before those that are new to this process.

        Where it cannot be kept, it does not outlive the host.
        """
        if decisions.keep_earlier is None:
            return {}
        made: dict[str, ResolvedPlugin] = {}
        running: dict[str, _Running] = {}
        changes: dict[str, Content | None] = {}
        for plugin in plugins:
            entry, digest = plugin_entry(plugin.name), plugin.package.digest
            content = found.entries.get(entry)
            if content is None:
                continue
            running[plugin.name] = _Running(content, plugin.package)
            before, earlier = self._running.get(plugin.name), decisions.earlier.get(entry)
            if earlier is not None and earlier.get("digest") == digest:
                changes[entry] = None
            elif before is None and earlier is not None:
                resolved = self._resolved(plugin.name, earlier)
                if resolved is None:
                    changes[entry] = None
                else:
                    made[plugin.name] = resolved
            elif (
                before is not None
                and earlier is None
                and before.package.digest != digest
                and self._written(plugin.name, before.package)
            ):
                changes[entry] = before.content
        self._running = running
        self._keep(decisions, changes)
        return made

    def proven(self, name: str, digest: str, decisions: Undisturbed) -> None:
        """Forget what ran before the version `digest` of the service `name`: it has done well."""
        running = self._running.get(name)
        if running is not None and running.package.digest == digest:
            self._keep(decisions, {plugin_entry(name): None})

    def _keep(self, decisions: Undisturbed, changes: Mapping[str, Content | None]) -> None:
        changes = {
            entry: content
            for entry, content in changes.items()
            if content is not None or entry in decisions.earlier
        }
        if not changes or decisions.keep_earlier is None:
            return
        with contextlib.suppress(TrustError):
            decisions.keep_earlier(changes)
        for entry, content in changes.items():
            if content is None:
                with contextlib.suppress(OSError):
                    remove_file(self._path(entry.partition(":")[2]))

    def _resolved(self, name: str, content: Content) -> ResolvedPlugin | None:
        """Return what was decided about the version before; None where its package is not that."""
        path = self._path(name)
        document = {"plugins": {"enabled": [content]}}
        try:
            (entry,) = Enablement.of(document, path).entries
            return resolve_package(read_package(path), entry)
        except (YoiError, ValueError):
            return None

    def _written(self, name: str, package: Package) -> bool:
        try:
            make_folder(self._folder, 0o700)
            write_private(self._path(name), build_archive(package.files))
        except (SecretError, OSError, YoiError):
            return False
        return True

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.yoi-plugin"
