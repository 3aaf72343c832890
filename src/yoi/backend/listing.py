"""What a principal is told that there is: runtimes and their subjects (`GET /api/runtimes`)."""

from collections.abc import Iterable
from typing import Any

import msgspec

from yoi.backend.policy import ObservationPolicy
from yoi.backend.source import BoardSummary, Inventory, Source, Summary
from yoi.permissions import is_safe_id
from yoi.protocol import events as ev
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.principals import ANY, Principal
from yoi.types import rfc3339_ms

Row = dict[str, Any]
_OF_SEVERAL = ("machine", "moves", "moved")
"""Fields that only a deployment of several machines has."""


def listing(
    sources: Iterable[Source], policy: ObservationPolicy, principal: Principal
) -> list[Row]:
    """Return what `principal` may observe, by runtime.

    A runtime of which nothing can be seen is listed only for who may see all of it.
    """
    shown = []
    for source in sources:
        found = source.inventory
        rows = {f"{kind}s": _rows(source, kind, found, policy, principal) for kind in SubjectKind}
        if any(rows.values()) or _sees_all(source.runtime_id, principal):
            shown.append(
                {
                    "runtime_id": source.runtime_id,
                    "state": str(source.availability),
                    "since": rfc3339_ms(source.since_ms),
                    **rows,
                }
            )
    return shown


def _rows(
    source: Source,
    kind: SubjectKind,
    found: Inventory,
    policy: ObservationPolicy,
    principal: Principal,
) -> list[Row]:
    return [
        _row(one, policy, principal)
        for one in found.of(kind)
        if is_safe_id(one.id)
        and policy.observe(principal, Subject(kind, one.id, source.runtime_id))
    ]


def _row(one: Summary, policy: ObservationPolicy, who: Principal) -> Row:
    row: Row = msgspec.to_builtins(one)
    for key in _OF_SEVERAL:
        if not row.get(key):
            row.pop(key, None)
    if not isinstance(one, BoardSummary) and one.last_error is not None:
        # The last error is an error event: it is hidden here where that event is hidden.
        event = ev.Error(ev.ErrorData(code="internal", message=one.last_error))
        shown = policy.project(event, who)
        row["last_error"] = shown.data.message if isinstance(shown, ev.Error) else ""
    return row


def _sees_all(runtime_id: str, principal: Principal) -> bool:
    return any(one.name == ANY and one.runtime_id in (ANY, runtime_id) for one in principal.observe)
