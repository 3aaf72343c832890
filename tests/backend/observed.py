"""Strategies for every event there is, from the types themselves."""

import types
import typing
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from yoi.protocol import board_events as be
from yoi.protocol import events as ev
from yoi.protocol import service_events as sv
from yoi.protocol.diagnostics import Diagnostic, diagnostic
from yoi.protocol.status import ConnectionStatus, Counters, PullSocketStatus, ServiceStatus

TEXT = st.text(max_size=6)
IDS = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(0, 1000)


def of(kind: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if kind == ev.Count:
        return SMALL
    origin, args = get_origin(kind), get_args(kind)
    if kind is str:
        return IDS if name in ("id", "name") else TEXT
    if kind is int:
        return SMALL
    if kind is bool:
        return st.booleans() if name != "redacted" else st.just(False)
    if kind is type(None):
        return st.none()
    if kind is Any:
        return st.none() | TEXT | st.dictionaries(IDS, TEXT, max_size=2)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(of(each, name) for each in args))
    if origin is list:
        return ENTRIES if name == "entries" else st.lists(of(args[0], name), max_size=3)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        fields = {field: of(hints[field], field) for field in kind.__struct_fields__}
        return st.builds(kind, **fields)
    raise TypeError(kind)


UNKNOWN = st.builds(
    ev.UnknownEvent,
    TEXT.map(lambda name: f"later_{name}"),
    st.just(msgspec.Raw(b'{"text":"SECRET"}')),
)
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {"seq": st.integers(1, 1000), "at_ms": SMALL, "type": st.just("tool_result"), "id": IDS},
        optional={"summary": TEXT, "output": TEXT, "preview": TEXT, "is_error": st.booleans()},
    )
    | st.fixed_dictionaries(
        {
            "seq": st.integers(1, 1000),
            "type": st.just("assistant"),
            "parts": st.lists(
                st.fixed_dictionaries(
                    {"kind": st.sampled_from(["text", "thinking", "call", "odd"])},
                    optional={"text": TEXT, "arguments": TEXT, "id": IDS, "odd": TEXT},
                ),
                max_size=3,
            ),
        }
    )
    | st.fixed_dictionaries(
        {
            "seq": st.integers(1, 1000),
            "type": st.sampled_from(["later", "compaction"]),
            "text": TEXT,
        }
    ),
    max_size=3,
)
_EVENTS = get_args(ev.Event)
WORKER_EVENTS = st.one_of(*(of(kind) for kind in _EVENTS), UNKNOWN)
SNAPSHOTS = of(ev.Snapshot)

DIAGNOSTICS = st.builds(
    lambda code, message, extra: {
        **msgspec.to_builtins(
            diagnostic("2026-01-01T00:00:00Z", code, "connection:main", message, text=extra)
        ),
        "later": extra,
    },
    st.sampled_from(["notice.gap", "connection.lost", "notice.log"]),
    TEXT,
    TEXT,
)
STATUSES = st.builds(
    lambda status, later: {**msgspec.to_builtins(status), "later": later},
    st.builds(
        ServiceStatus,
        name=IDS,
        reference=IDS,
        version=TEXT,
        digest=TEXT,
        runtime=TEXT,
        lifecycle=TEXT,
        plugin_status=of(Any),
        last_error=st.none() | TEXT,
        counters=of(Counters),
        connections=st.lists(of(ConnectionStatus), max_size=2),
        pull_sockets=st.lists(of(PullSocketStatus), max_size=1),
    ),
    TEXT,
)
SERVICE_SNAPSHOTS = st.builds(
    lambda status, diagnostics, left_out: sv.ServiceSnapshot(
        sv.ServiceSnapshotData(status=status, diagnostics=diagnostics, left_out=left_out)
    ),
    STATUSES,
    st.lists(DIAGNOSTICS, max_size=3),
    SMALL,
)
SERVICE_EVENTS = (
    st.builds(lambda s: sv.ServiceStatusChanged(sv.ServiceStatusData(status=s)), STATUSES)
    | st.builds(sv.ServiceDiagnosed, DIAGNOSTICS)
    | st.just(sv.ServiceStopped())
    | SERVICE_SNAPSHOTS
    | UNKNOWN
)

BOARD_SNAPSHOTS = st.builds(
    lambda items, entries, left_out: be.BoardSnapshot(
        be.BoardSnapshotData(items=items, entries=entries, left_out=left_out)
    ),
    st.lists(of(be.BoardItem), max_size=3),
    st.lists(of(be.BoardEntry), max_size=3),
    SMALL,
)
BOARD_EVENTS = (
    st.one_of(*(of(kind) for kind in get_args(be.BoardEvent) if kind is not be.BoardSnapshot))
    | BOARD_SNAPSHOTS
    | UNKNOWN
)

__all__ = [
    "BOARD_EVENTS",
    "BOARD_SNAPSHOTS",
    "SERVICE_EVENTS",
    "SERVICE_SNAPSHOTS",
    "SNAPSHOTS",
    "WORKER_EVENTS",
    "Diagnostic",
    "of",
]
