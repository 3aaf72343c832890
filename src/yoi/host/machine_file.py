"""`MachineFile`: host.toml of a running host. Its `[network]` is put in force as it changes."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from yoi.connections import MachineNetwork
from yoi.core.settings_file import Phase, SettingsFile
from yoi.defects import defect
from yoi.errors import EnablementError, YoiError
from yoi.protocol.diagnostics import Diagnostic, Severity, diagnostic, failure
from yoi.runtime.alerting import Alerting
from yoi.serving.host_settings import HostSettings, read_host_file
from yoi.types import Clock, rfc3339

_Stamp = tuple[int, ...]
"""Empty where the file is not there."""
_AT_THE_START = (
    "limits",
    "backend",
    "runtime",
    "webhook",
    "survives",
    "publisher",
    "machine",
    "key_file",
)
"""What is read once; all but the network."""


class MachineFile:
    """See the module docstring. Sessions that are open stay; the next dial goes by what is new.

    While the file cannot be used, the settings from before stay in force and `alerting` has an
    alert about it.
    """

    def __init__(
        self,
        machine: HostSettings,
        network: MachineNetwork,
        alerting: Alerting,
        listen: Callable[[Diagnostic], None],
        clock: Clock,
    ) -> None:
        assert machine.source is not None, "settings without a file are not followed"
        self._path = machine.source
        self._started = HostSettings.parse(machine.content or b"", self._path.parent)
        self._network, self._alerting = network, alerting
        self._listen, self._clock = listen, clock
        self._limits = machine.limits
        self._file = SettingsFile(machine.content, self._limits)
        self._judged: YoiError | None = None
        """Why the content that was looked at last cannot be used; None where it can."""
        self._stamp: _Stamp | None = None
        self._told: frozenset[str] = frozenset()

    async def follow(self) -> None:
        """Look at the file every `look_ms`, for ever."""
        while True:
            await asyncio.sleep(self._limits.look_ms / 1000)
            try:
                await self.look()
            except Exception as exc:
                self._tell(defect(exc, "looking at host.toml", str(exc)), "error")

    async def look(self) -> None:
        """Look once."""
        stamp = await asyncio.to_thread(_stamp, self._path)
        if stamp == self._stamp and self._file.quiet:
            return
        self._stamp = stamp
        try:
            content = await asyncio.to_thread(read_host_file, self._path, self._limits)
        except EnablementError as exc:
            self._stamp = None  # who may write it can change without its stamp
            self._alerting.machine_fault = exc
            return
        taken = self._file.look(content, self._clock.monotonic())
        if taken and content is not None:
            self._judged = self._take(content)
        if self._file.phase is Phase.SETTLED:
            self._alerting.machine_fault = self._judged
        elif self._file.phase is Phase.UNUSABLE:
            gone = "is not there any more" if content is None else "is empty"
            self._alerting.machine_fault = EnablementError(
                "enablement.malformed",
                f"{self._path} {gone}",
                hint="put it back; to go on without it, restart the host",
                at="",
            )

    def _take(self, content: bytes) -> YoiError | None:
        """Put in force what `content` says of the network; return why that is impossible."""
        try:
            made = HostSettings.parse(content, self._path.parent)
        except EnablementError as exc:
            self._tell(exc, "warning")
            return exc
        if made.ways_out != self._network.settings:
            self._network.settings = made.ways_out
            self._say("notice.network", "[network] of host.toml changed: later dials go by it")
        later = frozenset(
            name for name in _AT_THE_START if getattr(made, name) != getattr(self._started, name)
        )
        if later - self._told:
            self._say(
                "notice.next_start",
                "other tables than [network] changed in host.toml: they count from the next start",
                "warning",
            )
        self._told = later
        return None

    def _tell(self, error: YoiError, severity: Severity) -> None:
        self._listen(failure(rfc3339(self._clock.wall()), "host", error, severity))

    def _say(self, code: str, message: str, severity: Severity = "info") -> None:
        at = rfc3339(self._clock.wall())
        self._listen(diagnostic(at, code, "host", message, severity=severity))


def _stamp(path: Path) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
