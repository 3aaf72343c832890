"""Grants that a person gave with an approval: which later calls they cover, and how long."""

from typing import Any

import msgspec

from yoi.core.frame_search import PointerReader
from yoi.permissions.match_table import MATCH
from yoi.toml import Bad, Faults
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
    matches: list[dict[str, Any]] = []
    """What the arguments must hold, each a `Match` as a table."""
    until_ms: int | None = None
    run: int | None = None
    after_outside: bool = False
    """Whether the person was told that text from outside had come before the call."""

    def covers(self, call: it.Call, spec: ToolSpec, now_ms: int, *, outside: bool) -> bool:
        """Return whether `call` of the tool `spec` may run at `now_ms` without asking a person.

        Once text from outside was read (`outside`), a grant for more than one exact call that was
        given before does not cover what would be asked about for that reason.
        """
        return (
            self.tool == call.name
            and self.origin == spec.origin
            and (self.until_ms is None or now_ms < self.until_ms)
            and (self.arguments is None or self.arguments == canonical(call.arguments))
            and (
                not outside
                or self.after_outside
                or spec.after_outside == "allow"
                or self.arguments is not None
            )
            and (not self.matches or _fit(self.matches, canonical(call.arguments)))
        )


def _fit(tables: list[dict[str, Any]], arguments: str) -> bool:
    """Return whether `arguments` hold what each of `tables` says."""
    read = [MATCH.read(table, "", Faults()) for table in tables]
    matches = [one for one in read if not isinstance(one, Bad)]
    if len(matches) < len(read):
        return False
    found = PointerReader([one.at for one in matches if one.at is not None]).read(arguments)
    return found is not None and all(one.fits(arguments, found) for one in matches)


def canonical(arguments: str) -> str:
    """Return `arguments` so that equal JSON is equal text; what is no JSON stays as it is."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments), order="deterministic").decode()
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return arguments
