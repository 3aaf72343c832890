"""Grants that a person gave with an approval: which later calls they cover, and how long."""

import msgspec

from yoi.workers import items as it
from yoi.workers.items import Origin, ToolSpec


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One grant: calls of `tool` that need no question. `item` is where it was given."""

    item: int
    tool: str
    scope: it.Scope
    by: str
    origin: Origin
    """The code that the person saw; other code under the same name asks again."""
    arguments: str | None = None
    """The one text of arguments that it covers; None for any."""
    until_ms: int | None = None
    run: int | None = None

    def covers(self, call: it.Call, spec: ToolSpec, now_ms: int) -> bool:
        """Return whether `call` of the tool `spec` may run at `now_ms` without asking a person."""
        return (
            self.tool == call.name
            and self.origin == spec.origin
            and (self.until_ms is None or now_ms < self.until_ms)
            and (self.arguments is None or self.arguments == canonical(call.arguments))
        )


def canonical(arguments: str) -> str:
    """Return `arguments` so that equal JSON is equal text; what is no JSON stays as it is."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments), order="deterministic").decode()
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return arguments
