"""Packages that run go on for a moment while the store has another one in their place.

`yoi plugin enable` puts a new version into the store, then enables it. A host that looks between
the two would stop the version that runs, and close its sessions, for what is whole a moment later.
What goes on is the package that was approved, as it was read.
"""

from collections.abc import Iterable, Mapping

from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits
from yoi.packages import EnabledEntry, Package, Resolution, ResolvedPlugin, resolve_package

_GONE = frozenset({"enablement.digest", "enablement.version", "enablement.missing"})


class PackagesInUse:
    """See the module docstring. `now` is monotonic seconds."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._span = limits.withdraw_ms / 1000
        self._used: dict[str, Package] = {}
        self._missing: dict[str, float] = {}

    @property
    def due(self) -> float | None:
        """Return when a package that is not in the store is to be given up; None: none is."""
        return min((since + self._span for since in self._missing.values()), default=None)

    def kept(self, found: Resolution, entries: Iterable[EnabledEntry], now: float) -> Resolution:
        """Return `found`, and what ran before and is missing in the store for a moment only."""
        enabled: dict[str, EnabledEntry] = {entry.name: entry for entry in entries}
        plugins, diagnostics = list(found.plugins), []
        missing: dict[str, float] = {}
        for one in found.diagnostics:
            entry, since = enabled.get(one.name), self._missing.get(one.name, now)
            kept = None
            if entry is not None and one.error.code in _GONE and now - since < self._span:
                kept = self._again(self._used, entry)
            if kept is None:
                diagnostics.append(one)
            else:
                missing[one.name] = since
                plugins.append(kept)
        self._missing = missing
        self._used = {plugin.name: plugin.package for plugin in plugins}
        return Resolution(tuple(plugins), tuple(diagnostics))

    @staticmethod
    def _again(used: Mapping[str, Package], entry: EnabledEntry) -> ResolvedPlugin | None:
        package = used.get(entry.name)
        if package is None or package.digest != entry.digest:
            return None
        try:
            return resolve_package(package, entry)
        except YoiError:
            return None
