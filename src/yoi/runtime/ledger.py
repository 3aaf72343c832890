"""What a person can see of one service: counters and diagnostics."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from yoi.core.redaction import NOTHING, Masker
from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits
from yoi.protocol.diagnostics import Diagnostic, Severity, diagnostic
from yoi.protocol.status import Counters
from yoi.runtime.advice import told
from yoi.types import Clock, rfc3339

_WINDOW_SECONDS = 1.0


@dataclass(slots=True)
class _Quota:
    """How much was said of one code and scope in the running second, and how much was held back."""

    since: float
    said: int = 0
    held_back: int = 0


class Ledger:
    """Bounded records of one service. `listen` hears each diagnostic as it is made.

    A flood is cut: of one code and scope only so many are recorded per second. What was held back
    is counted and told with the next diagnostic, or when `diagnostics` is read. What `masker`
    hides is masked in each, wherever it comes from.
    """

    def __init__(
        self,
        service: str,
        clock: Clock,
        listen: Callable[[Diagnostic], None],
        limits: Limits = LIMITS,
        masker: Callable[[], Masker] = lambda: NOTHING,
    ) -> None:
        self.counters = Counters()
        self.told: dict[str, int] = {"info": 0, "warning": 0, "error": 0}
        """How many diagnostics there were by severity, those held back included."""
        self.out_of_memory = 0
        self._service = service
        self._clock = clock
        self._listen = listen
        self._limits = limits
        self._masker = masker
        self._diagnostics: deque[Diagnostic] = deque(maxlen=limits.diagnostics)
        self._quotas: dict[tuple[str, str], _Quota] = {}
        self._flooding: set[tuple[str, str]] = set()

    def note(
        self,
        code: str,
        message: str,
        *,
        severity: Severity = "info",
        scope: str | None = None,
        hint: str | None = None,
        **fields: Any,
    ) -> None:
        """Record a diagnostic; `scope` (`connection:NAME`) defaults to the service."""
        self.told[severity] += 1
        self.out_of_memory += code == "sandbox.memory"
        scope = f"service:{self._service}" if scope is None else self._qualified(scope)
        if self._flooding:
            self._tell_held_back()
        if self._admitted(code, scope):
            self._record(code, scope, message, severity, hint, **fields)

    def _qualified(self, scope: str) -> str:
        """Return `connection:SERVICE/NAME` for `connection:NAME`: names are unique in a service."""
        kind, _, name = scope.partition(":")
        return scope if kind == "service" else f"{kind}:{self._service}/{name}"

    def _admitted(self, code: str, scope: str) -> bool:
        key, now = (code, scope), self._clock.monotonic()
        quota = self._quotas.get(key)
        if quota is None or now - quota.since >= _WINDOW_SECONDS:
            self._quotas[key] = quota = _Quota(now)
        limits = self._limits
        most = (
            limits.log_lines_per_second if code == "notice.log" else limits.diagnostics_per_second
        )
        if quota.said < most:
            quota.said += 1
            return True
        quota.held_back += 1
        self._flooding.add(key)
        return False

    def _tell_held_back(self) -> None:
        """Say how many were held back in seconds that are over."""
        now = self._clock.monotonic()
        for key in tuple(self._flooding):
            quota = self._quotas[key]
            if now - quota.since >= _WINDOW_SECONDS:
                self._flooding.discard(key)
                del self._quotas[key]
                self._record(
                    *key,
                    f"{quota.held_back} more of these within a second",
                    "warning",
                    None,
                    held_back=quota.held_back,
                )

    def _record(
        self,
        code: str,
        scope: str,
        message: str,
        severity: Severity,
        hint: str | None,
        **fields: Any,
    ) -> None:
        masker = self._masker()
        if masker:
            # Before anything is cut: half of a value would not be found.
            message = masker.text(message)
            hint = None if hint is None else masker.text(hint)
            fields = masker.document(fields)
        entry = diagnostic(
            rfc3339(self._clock.wall()),
            code,
            scope,
            message,
            severity=severity,
            hint=hint,
            **fields,
        )
        self._diagnostics.append(entry)
        self._listen(entry)

    def error(
        self,
        error: YoiError,
        *,
        severity: Severity = "error",
        scope: str | None = None,
        **fields: Any,
    ) -> None:
        """Record `error` as a diagnostic."""
        words = told(error)
        self.note(
            error.code,
            words.message,
            severity=severity,
            scope=scope,
            hint=words.hint,
            **{**error.fields, **fields},
        )

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """Return the recent diagnostics, oldest first."""
        self._tell_held_back()
        return list(self._diagnostics)
