"""Whatever a document says, each described table is read or refused with words for a person.

Every table of every file that Yoi reads is tried: yoi.toml, host.toml, plugin.toml, tokens.toml.
"""

import importlib
import pkgutil
import random
from datetime import UTC, date, datetime

import pytest

import yoi
from yoi.display import printable
from yoi.toml import (
    Bad,
    Choice,
    Faults,
    Flag,
    ListOf,
    Nested,
    Parsed,
    Rows,
    SafeId,
    TableSpec,
    Whole,
)
from yoi.toml import Text as TextKind

_WORDS = [
    "x", "a/b", "/a", "*", "*.example.com", "wss://example.com/", "https://example.com/x",
    "http://127.0.0.1:1/", "127.0.0.1:0", "plugin:Echo", "1.0.0", "~0", "/~2", "0" * 64,
    "sha256:" + 64 * "0", "GET", "yoi:plugin/instance@1.0.0", "python", "wasm-component", "1",
    "gateway", "events", "authorization", "/headers/authorization", "/query/key", "openai:m",
    "scripted:x", "e\u202e\u3164", "x" * 300, "\x00", "", "   ", "..", "../x", "~nobody-has-it/x",
    "project:x", "2026-01-01T00:00:00Z",
]  # fmt: skip
_HOSTILE = [
    True, 0, -1, 2**63, -(2**70), 1.5, float("nan"), float("inf"), "", [], {}, [[]], [{}],
    {"a": 1}, {"": 0}, {"\u202e": []}, date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC),
]  # fmt: skip


def _every_table():
    found = {}
    for module in pkgutil.walk_packages(yoi.__path__, "yoi."):
        name = module.name
        if name.partition(".")[2].split(".")[0] in ("__main__", "testing", "cli", "tui"):
            continue
        try:
            loaded = importlib.import_module(name)
        except ModuleNotFoundError:
            continue  # a client of an extra that is not installed
        for one, value in vars(loaded).items():
            if isinstance(value, TableSpec):
                found.setdefault(id(value), pytest.param(value, id=f"{name}.{one}"))
    return list(found.values())


def _value(kind, pick, depth):
    if pick.random() < 0.04:
        return pick.choice(_HOSTILE)
    if isinstance(kind, Choice):
        return pick.choice(kind.choices)
    if isinstance(kind, Flag):
        return pick.random() < 0.5
    if isinstance(kind, Whole):
        return pick.choice([kind.low, kind.high])
    if isinstance(kind, ListOf):
        return [_value(kind.item, pick, depth) for _ in range(pick.choice([0, 1, 2]))]
    if isinstance(kind, Parsed):
        return _value(kind._base, pick, depth)
    if isinstance(kind, Nested):
        return _table(kind.spec, pick, depth + 1)
    if isinstance(kind, Rows):
        return [_table(kind.spec, pick, depth + 1) for _ in range(pick.choice([0, 1, 2]))]
    return pick.choice(_WORDS if isinstance(kind, TextKind | SafeId) else _WORDS + _HOSTILE)


def _table(spec, pick, depth=0):
    often = pick.choice([0.1, 0.5, 0.9]) if depth < 4 else 0.1
    return {
        name: _value(key.kind, pick, depth)
        for name, key in spec.keys.items()
        if (key.required and pick.random() < 0.97) or pick.random() < often
    }


@pytest.mark.parametrize("spec", _every_table())
def test_whatever_a_table_holds_it_is_read_or_refused_in_words(spec):
    pick = random.Random(20260101)
    documents = [*_HOSTILE, *(_table(spec, pick) for _ in range(60))]
    for document in documents:
        faults = Faults()
        made = spec.read(document, "at", faults)
        assert isinstance(made, Bad) == bool(faults), document
        for fault in faults:
            assert fault.message == printable(fault.message, 4096)
            assert fault.at.startswith("at")
            assert fault.at == printable(fault.at, 4096)
