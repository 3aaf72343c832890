"""A worker that is configured and cannot run: listed with the reason and what mends it."""

from dataclasses import dataclass

import msgspec

from yoi.errors import WorkerError, YoiError
from yoi.types import Clock, rfc3339

_HISTORY = (
    "put a copy of the workspace's journal in its place (docs/how-to/operate.md); or give the "
    "worker another name in .yoi/yoi.toml: it begins with an empty history, after: yoi trust"
)


class WorkerFaultStatus(msgspec.Struct, kw_only=True):
    """Why a worker does not run, as a person or a script sees it."""

    code: str
    message: str
    key: str | None = None
    """The dotted path of the key in yoi.toml that is at fault."""
    line: int | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class FailedWorker:
    """See the module docstring. `name` is the worker's, or its table's place in yoi.toml."""

    name: str
    error: YoiError
    engine: str = ""
    line: int | None = None
    at: str | None = None
    """When it was found, RFC 3339."""

    @classmethod
    def now(cls, name: str, error: YoiError, engine: str, clock: Clock) -> "FailedWorker":
        """Return a worker that could not be started just now."""
        return cls(name, error, engine, at=rfc3339(clock.wall()))

    @property
    def hint(self) -> str:
        """Return what to do about it."""
        if self.line is not None:
            return f"mend line {self.line} of .yoi/yoi.toml, then: yoi trust"
        if self.error.hint is not None:
            return self.error.hint
        if self.error.family == "journal" or self.error.code == "worker.history_invalid":
            return _HISTORY
        return "mend its [[workers]] table in .yoi/yoi.toml, then: yoi trust"

    @property
    def fault(self) -> WorkerFaultStatus:
        """Return the reason as it is shown."""
        key = self.error.fields.get("at")
        return WorkerFaultStatus(
            code=self.error.code,
            message=self.error.message,
            key=key if isinstance(key, str) and key else None,
            line=self.line,
            hint=self.hint,
        )

    def refusal(self) -> WorkerError:
        """Return the error for a request to this worker."""
        return WorkerError(
            "worker.failed",
            f"worker {self.name} does not run: {self.error.message}",
            hint=self.hint,
        )
