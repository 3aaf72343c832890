"""Tables described once: every fault of a document is told with its path, and nothing is raised."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.errors import YoiError
from yoi.limits import LIMITS
from yoi.packages.manifest import MANIFEST
from yoi.serving.settings import BACKEND, OBSERVATION, RUNTIME
from yoi.toml import (
    BAD,
    Choice,
    Faults,
    Flag,
    Key,
    ListOf,
    Nested,
    Parsed,
    Rows,
    SafeId,
    TableSpec,
    Text,
    Whole,
    joined,
)
from yoi.workers.profile import WORKER

INNER = TableSpec(
    (Key("name", SafeId(), "d", required=True), Key("size", Whole(1, 9), "d", default=3)),
    lambda row: (row["name"], row["size"]),
)
OUTER = TableSpec(
    (
        Key("title", Text(5), "d", required=True),
        Key("mode", Choice(("fast", "slow")), "d", default="slow"),
        Key("on", Flag(), "d", default=False),
        Key("tags", ListOf(Text(3), 2), "d", default=()),
        Key("inner", Nested(INNER), "d"),
        Key("rows", Rows(INNER, 3, unique="name"), "d", default=()),
        Key("moment", Parsed(Text(20), datetime.date.fromisoformat), "d"),
    ),
    dict,
)


def read(value):
    faults = Faults()
    OUTER_ROWS = TableSpec(OUTER.keys.values(), lambda row: {key: row[key] for key in OUTER.keys})
    return OUTER_ROWS.read(value, "", faults), {fault.at: fault for fault in faults}


def test_defaults_and_values():
    made, faults = read({"title": "a", "rows": [{"name": "x"}, {"name": "y", "size": 1}]})
    assert not faults
    assert made["mode"] == "slow"
    assert made["rows"] == (("x", 3), ("y", 1))
    assert made["inner"] is None


def test_everything_that_is_wrong_is_told():
    made, faults = read(
        {
            "titel": "a",
            "mode": "quick",
            "on": 1,
            "tags": ["a", 2, "long"],
            "inner": {"size": True},
            "rows": [{"name": "x"}, {"name": "x"}, 7],
            "moment": "yesterday",
        }
    )
    assert made is BAD
    assert list(faults) == [
        "titel",
        "mode",
        "on",
        "tags",
        "inner.name",
        "inner.size",
        "rows[2]",
        "rows[1].name",
        "moment",
    ]
    assert 'did you mean "title"?' in faults["titel"].message
    assert faults["mode"].message == 'must be one of "fast", "slow", not "quick"'
    assert faults["inner.size"].message == "must be a whole number, not true or false"
    assert faults["rows[1].name"].kind == "duplicate"


def test_a_key_that_was_misspelled_is_not_also_called_missing():
    _, faults = read({"titel": "a"})
    assert list(faults) == ["titel"]
    _, faults = read({"zzz": "a"})
    assert list(faults) == ["zzz", "title"]


def test_an_array_of_tables_written_as_a_table_says_how():
    _, faults = read({"title": "a", "rows": {"name": "x"}})
    assert faults["rows"].message == "must be a list, not a table; write [[rows]]"


def test_faults_are_bounded_and_all_of_them_are_counted():
    many = {f"k{number}": 1 for number in range(LIMITS.toml_faults + 10)}
    faults = Faults()
    OUTER.read({"title": "a", **many}, "", faults)
    assert len(list(faults)) == LIMITS.toml_faults
    error = joined([YoiError("usage.arguments", fault.at) for fault in faults], faults.count)
    assert f"(and {LIMITS.toml_faults + 9} more faults)" in error.message
    assert len(error.fields["faults"]) == LIMITS.toml_faults


SPECS = {
    "manifest": MANIFEST,
    "observation": OBSERVATION,
    "runtime": RUNTIME,
    "backend": BACKEND,
    "worker": WORKER,
}
VALUES = st.recursive(
    st.one_of(
        st.text(max_size=8),
        st.integers(-(2**70), 2**70),
        st.booleans(),
        st.floats(),
        st.datetimes(),
        st.dates(),
        st.times(),
        st.sampled_from(["wss://a.example/x", "127.0.0.1:0", "python", "https", "*.a.example"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=60)
@given(data=st.data())
def test_any_table_gives_a_value_or_faults_with_paths(name, data):
    spec = SPECS[name]

    def tables(keys):
        inner = {}
        for key, one in keys.items():
            choices = [VALUES]
            if isinstance(one.kind, Nested):
                choices.append(st.deferred(lambda one=one: tables(one.kind.spec.keys)))
            if isinstance(one.kind, Rows):
                choices.append(st.lists(tables(one.kind.spec.keys), max_size=2))
            inner[key] = st.one_of(choices)
        return st.fixed_dictionaries({}, optional=inner)

    document = data.draw(tables(spec.keys) | VALUES)
    faults = Faults()
    made = spec.read(document, "at", faults)
    assert (made is BAD) is bool(faults)
    for fault in faults:
        assert fault.at.startswith("at")
        assert fault.message
