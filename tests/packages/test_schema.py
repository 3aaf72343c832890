"""P1: config schemas are a bounded subset, and the operator's values are checked against them."""

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.errors import ConfigError
from yoi.limits import LIMITS
from yoi.packages import schema_problems, validate_config

SCHEMA = {
    "type": "object",
    "required": ["channel"],
    "additionalProperties": False,
    "properties": {
        "channel": {"type": "string", "minLength": 1, "maxLength": 8},
        "loud": {"type": "boolean", "default": False},
        "rate": {"type": "number", "minimum": 0.5, "maximum": 10},
        "tries": {"type": "integer", "minimum": 1, "default": 3},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "limits": {
            "type": "object",
            "default": {},
            "properties": {"burst": {"type": "integer", "default": 5}},
        },
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


def holding(child):
    return {"type": "object", "properties": {"a": child}}


def fault(values, schema=SCHEMA):
    with pytest.raises(ConfigError) as caught:
        validate_config(schema, values)
    return caught.value


def test_defaults_are_filled_in_at_every_level_and_the_input_is_left_alone():
    values = {"channel": "x"}
    assert validate_config(SCHEMA, values) == {
        "channel": "x",
        "loud": False,
        "tries": 3,
        "limits": {"burst": 5},
    }
    assert values == {"channel": "x"}


@pytest.mark.parametrize(
    ("values", "at"),
    [
        ({}, "config.channel"),
        ({"channel": ""}, "config.channel"),
        ({"channel": "x" * 9}, "config.channel"),
        ({"channel": 1}, "config.channel"),
        ({"channel": "x", "chanel": "y"}, "config.chanel"),
        ({"channel": "x", "loud": 1}, "config.loud"),
        ({"channel": "x", "rate": 0.4}, "config.rate"),
        ({"channel": "x", "rate": True}, "config.rate"),
        ({"channel": "x", "rate": float("nan")}, "config.rate"),
        ({"channel": "x", "tries": 1.0}, "config.tries"),
        ({"channel": "x", "mode": "c"}, "config.mode"),
        ({"channel": "x", "tags": ["a", 2]}, "config.tags[1]"),
        ({"channel": "x", "limits": {"burst": "x"}}, "config.limits.burst"),
        ({"channel": "x", "extra": {"a": "b"}}, "config.extra.a"),
        ({"channel": "x", "tries": 2**64}, "config.tries"),
        ({"channel": tomlkit.parse("a = 2024-01-01")["a"]}, "config.channel"),
    ],
)
def test_values_that_do_not_fit_have_a_place(values, at):
    error = fault(values)
    assert error.code == "config.value"
    assert error.fields["at"] == at
    assert at in error.message


def test_without_a_schema_any_json_object_passes_within_the_bound():
    assert validate_config(None, {"a": [1, {"b": None}]}) == {"a": [1, {"b": None}]}
    assert fault({"a": "x" * LIMITS.config_bytes}, None).fields["at"] == "config"
    deep = {}
    for _ in range(LIMITS.schema_depth + 1):
        deep = {"a": deep}
    assert "nested" in fault(deep, None).message


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "object"),
        ({}, "needs a type"),
        ({"type": "string"}, "root"),
        ({"type": ["object"]}, "needs a type"),
        ({"type": "object", "$ref": "#"}, "not supported"),
        (holding({"type": "string", "pattern": "(a+)+"}), "pattern"),
        ({"type": "object", "properties": {"a": {"type": "string", "minimum": 1}}}, "apply"),
        ({"type": "object", "properties": {"a": 1}}, "$.properties.a"),
        ({"type": "object", "properties": []}, "properties"),
        ({"type": "object", "required": ["a", "a"]}, "twice"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "not a property"),
        ({"type": "object", "required": [[1]], "default": {}}, "strings"),
        ({"type": "object", "additionalProperties": {"type": "x"}}, "additionalProperties"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": 1}}}, "items"),
        ({"type": "object", "properties": {"a": {"type": "string", "enum": []}}}, "enum"),
        ({"type": "object", "properties": {"a": {"type": "integer", "enum": [1, 1]}}}, "twice"),
        (holding({"type": "string", "minLength": 2, "maxLength": 1}), "over"),
        ({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}, "default"),
        ({"type": "object", "title": 1}, "title"),
    ],
)  # fmt: skip
def test_schemas_outside_the_subset(schema, words):
    problems = schema_problems(schema)
    assert any(words in f"{one.at} {one.message}" for one in problems)
    if isinstance(schema, dict):
        assert fault({}, schema).code == "config.schema"


def test_depth_is_bounded():
    schema = {"type": "object"}
    for _ in range(LIMITS.schema_depth + 2):
        schema = {"type": "object", "properties": {"a": schema}}
    assert "nested deeper" in schema_problems(schema)[0].message


def test_true_is_not_one():
    schema = {"type": "object", "properties": {"a": {"type": "boolean", "enum": [True]}}}
    assert validate_config(schema, {"a": True}) == {"a": True}
    schema["properties"]["a"] = {"type": "integer", "enum": [1]}
    assert fault({"a": True}, schema).fields["at"] == "config.a"
    schema["properties"]["a"] = {"type": "array", "enum": [[1]]}
    assert fault({"a": [True]}, schema).fields["at"] == "config.a"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "properties", "required", "items", "enum", "default", "minimum", "maximum",
             "additionalProperties", "minLength", "maxLength", "title", "a"]
        ),
        inner | st.sampled_from(["object", "array", "string", "integer", "number"]),
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=300)
@given(JSON, st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_any_schema_and_any_values_end_in_values_or_a_config_error(schema, values):
    if not isinstance(schema, dict):
        assert schema_problems(schema)
        return
    try:
        result = validate_config(schema, values)
    except ConfigError:
        return
    assert schema_problems(schema) == []
    assert validate_config(schema, result) == result
