"""Counts the requests of one service by target, and tells its operator whenever that changes.

Without it, only the plugin would know that its requests are refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from yoi.connections import HttpAnswer, HttpFailure
from yoi.errors import YoiError
from yoi.protocol.status import RequestStatus
from yoi.runtime.advice import advice
from yoi.runtime.ledger import Ledger

BY_URL = "(by URL)"
"""What requests that name no target of the manifest are counted under."""


@dataclass(frozen=True, slots=True)
class RequestsChanged:
    """A target began to fail, fails in another way, or answers again (`code` None)."""

    target: str
    code: str | None
    message: str
    hint: str | None
    failed: int


Listener = Callable[[RequestsChanged], None]


class RequestWatch:
    """See the module docstring. The targets are the manifest's, which bounds them."""

    def __init__(self) -> None:
        self.tell: Listener = _not_listened
        """Hears of each change; set by the service, before its plugin can ask for anything."""
        self._targets: dict[str, RequestStatus] = {}

    def heard(
        self,
        target: str,
        outcome: HttpAnswer | HttpFailure,
        uncaptured: YoiError | None = None,
    ) -> None:
        """Take note of how one request to `target` ended. A status of 400 or more is a failure.

        So is `uncaptured`: a value of the answer that was not found, or could not be stored.
        """
        name = target or BY_URL
        entry = self._targets.setdefault(name, RequestStatus(target=name))
        entry.requests += 1
        was = (entry.code, entry.message)
        entry.code = entry.message = hint = None
        if isinstance(outcome, HttpFailure):
            entry.code, entry.message = outcome.error.code, outcome.error.message
            hint = outcome.error.hint
        elif outcome.status >= 400:
            entry.code, entry.message = "request.status", f"the answer is {outcome.status}"
        elif uncaptured is not None:
            entry.code, entry.message = uncaptured.code, uncaptured.message
            hint = uncaptured.hint
        entry.failed += entry.code is not None
        # The words of a failure may name another port or time; those of a status are the status.
        same = entry.code == was[0] and (entry.code != "request.status" or entry.message == was[1])
        if not same:
            message = entry.message or "it answers again"
            self.tell(RequestsChanged(name, entry.code, message, hint, entry.failed))

    def statuses(self) -> list[RequestStatus]:
        """Return what a person sees of each target, by name."""
        return [self._targets[name] for name in sorted(self._targets)]


def report_to(ledger: Ledger) -> Listener:
    """Return what records each change in `ledger`."""

    def changed(change: RequestsChanged) -> None:
        ledger.note(
            change.code or "notice.request_recovered",
            f"requests to {change.target}: {change.message}",
            severity="info" if change.code is None else "warning",
            scope=f"request:{change.target}",
            hint=change.hint or advice(change.code or ""),
            failed=change.failed,
        )

    return changed


def _not_listened(change: RequestsChanged) -> None:
    """Do nothing: no service listens."""
