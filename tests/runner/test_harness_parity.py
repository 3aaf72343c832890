"""The PDK's test harness judges values as the host does; the PDK never imports Yoi."""

from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import ConfigError
from yoi.packages import validate_config
from yoi.packages.schema import value_problems
from yoi_pdk.manifest import ManifestRules, _faults


def _satisfiable(leaf):
    """A manifest with bounds the wrong way round is refused before there are values to judge."""
    return all(
        leaf.get(low, -3) <= leaf.get(high, 3)
        for low, high in (("minLength", "maxLength"), ("minimum", "maximum"))
    )


_LEAVES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"minLength": st.integers(0, 3), "maxLength": st.integers(0, 3)},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-2, 2), "maximum": st.integers(-2, 2)},
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["boolean", "null"])}),
    st.fixed_dictionaries({"type": st.just("string"), "enum": st.just(["a", "b"])}),
).filter(_satisfiable)
_NAMES = st.sampled_from(["a", "b", "c"])
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array")}, optional={"items": inner}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(_NAMES, inner)},
            optional={
                "additionalProperties": st.booleans(),
                "required": st.lists(_NAMES, unique=True),
            },
        ),
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3), st.sampled_from("abcd")
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(_SCHEMAS, _VALUES)
def test_a_value_is_refused_by_both_or_by_neither(schema, value):
    assert bool(_faults(schema, value, "$")) == bool(value_problems(schema, value))


@given(
    st.fixed_dictionaries(
        {"a": st.just({"type": "integer", "default": 3})}, optional={"b": _LEAVES}
    ),
    st.dictionaries(_NAMES, _VALUES, max_size=3),
)
def test_configuration_gets_the_same_defaults(properties, values):
    schema = {"type": "object", "properties": properties}
    rules = ManifestRules({"config_schema": schema})
    try:
        wanted = validate_config(schema, values)
    except ConfigError:
        wanted = None
    try:
        found = rules.config(values)
    except ValueError:
        found = None
    assert found == wanted
