"""Any event there can be, made from the types themselves: what the tests of this room share."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from yoi.protocol import events as ev
from yoi.protocol.service_events import ServiceEvent

IDS = st.sampled_from(["a", "b", "c", ""])
TEXT = st.one_of(st.text(max_size=6), st.sampled_from(['"', "\\", "\x01\n", "é☃😀", "x" * 40]))
COUNTS = st.one_of(st.integers(0, 9), st.sampled_from([1000, ev.MOST]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
ENTRIES = st.fixed_dictionaries(
    {"seq": st.integers(0, 30), "type": TEXT},
    optional={"text": TEXT, "parts": JSON, "at_ms": COUNTS},
)


def of_type(kind: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Return a strategy for every value of the annotation `kind`; `name` is the field's."""
    if kind is str:
        return IDS if name == "id" else TEXT
    if kind is bool:
        return st.booleans()
    if kind == ev.Count:
        return st.integers(0, 30) if name in ("seq", "left_out") else COUNTS
    if kind is Any:
        return JSON
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return of_type(args[0], name)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, types.UnionType):
        return st.one_of([of_type(one, name) for one in args])
    if kind is type(None):
        return st.none()
    if origin is list:
        free = name == "entries" and get_origin(args[0]) is dict
        inner = ENTRIES if free else of_type(args[0])
        return st.lists(inner, max_size=3)
    if origin is dict:
        return st.dictionaries(st.text(max_size=3), JSON, max_size=3)
    assert issubclass(kind, msgspec.Struct), kind
    return struct(kind)


def struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return a strategy for every value of a struct."""
    fields = {each.name: of_type(each.type, each.name) for each in msgspec.structs.fields(kind)}
    return st.builds(kind, **fields)


SPOKEN = (
    ev.TextDelta,
    ev.TextDone,
    ev.ThinkingStart,
    ev.ThinkingDelta,
    ev.ThinkingDone,
    ev.ToolCallStart,
    ev.ToolCallArgsDelta,
    ev.ToolCallDone,
)
EVENTS = st.one_of(
    st.one_of([struct(kind) for kind in SPOKEN]),
    st.one_of([struct(kind) for kind in get_args(ev.Event)]),
)
SERVICE_EVENTS = st.one_of([struct(kind) for kind in get_args(ServiceEvent)])
