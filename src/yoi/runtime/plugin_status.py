"""What a plugin says about itself, bounded so that it cannot break the screens that show it."""

from typing import Any

import msgspec

from yoi.limits import Limits
from yoi.protocol.depth import deeper_than
from yoi.runtime.ledger import Ledger
from yoi.types import Clock, rfc3339_ms


class PluginStatus:
    """See the module docstring. `value` is JSON data, None until the plugin has said something.

    `at` is when it said so, RFC 3339.
    """

    def __init__(self, service: str, ledger: Ledger, clock: Clock, limits: Limits) -> None:
        self.value: Any = None
        self.at: str | None = None
        self._clock = clock
        self._service = service
        self._ledger = ledger
        self._limits = limits

    def show(self, status: Any) -> None:
        """Show `status` from now on; one that is too deep or long is replaced by a word."""
        limits = self._limits
        self.at = rfc3339_ms(self._clock.wall_ms())
        if deeper_than(status, limits.status_depth):
            code, bound = "sandbox.answer_malformed", f"{limits.status_depth} levels deep"
        elif len(msgspec.json.encode(status)) > limits.status_bytes:
            code, bound = "sandbox.answer_too_large", f"{limits.status_bytes} bytes long"
        else:
            self.value = status
            return
        self.value = {"refused": code}
        self._ledger.note(
            code,
            f"the status of {self._service} is more than {bound} and is not shown",
            severity="warning",
            hint="return a small dict from status() and start()",
        )
