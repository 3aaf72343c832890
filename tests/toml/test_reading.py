"""Tables described once: every fault of a document is told with its path, and nothing is raised."""

import datetime

import pytest

from yoi.errors import YoiError
from yoi.limits import LIMITS
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
    TomlFault,
    Whole,
    joined,
    parse_toml,
)

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


@pytest.mark.parametrize("written", ["nan", "-inf", "1e999", "{ a = [+nan] }"])
def test_a_number_that_is_none_is_refused(written):
    """JSON cannot say it: what was decided would never be what the file says."""
    with pytest.raises(TomlFault, match="is not a finite number"):
        parse_toml(f"a = {written}\n".encode())
    assert parse_toml(b"a = 1.5e300\n") == {"a": 1.5e300}


def test_a_byte_order_mark_is_named():
    """Nobody sees it: without its name the fault would be about a first line that is right."""
    with pytest.raises(TomlFault, match="line 1: begins with a byte order mark"):
        parse_toml(b"\xef\xbb\xbfa = 1\n")
