"""Tools marked in the source, read from the syntax tree and written to plugin.toml (H3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.packages import read_package
from yoi.packages.manifest_edits import write_tools
from yoi.packages.schema import schema_problems
from yoi.packages.tool_source import form, merged, tool_differences, tools_of_source

MANIFEST = """# mine
schema_version = 1
id = "mine"
name = "mine"
version = "1"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:P"
"""
SOURCE = """
from typing import Literal, Optional
from yoi_pdk import Plugin, tool

class P(Plugin):
    @tool
    def search(self, text: str, most: int = 10, *, exact: bool = False) -> str:
        \"\"\"Search the
        notes.

        More words.\"\"\"

    @tool(name="set_light", external_write=True)
    async def light(self, ctx, room: Literal["hall", "kitchen"], level: float | None = None,
                    tags: "list[str]" = (), extra: dict[str, str] = {}):
        pass

    def not_a_tool(self, x): pass
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plugin.toml").write_text(MANIFEST)
    (tmp_path / "plugin.py").write_text(SOURCE)
    return tmp_path


def test_the_schema_comes_from_the_annotations(folder):
    found, problems = tools_of_source(read_package(folder))
    assert problems == []
    search, light = (one.declaration for one in found)
    assert (search.name, search.description) == ("search", "Search the notes.")
    assert search.input_schema == {
        "type": "object",
        "required": ["text"],
        "additionalProperties": False,
        "properties": {
            "text": {"type": "string"},
            "most": {"type": "integer", "default": 10},
            "exact": {"type": "boolean", "default": False},
        },
    }
    assert (light.name, light.external_write) == ("set_light", True)
    assert light.input_schema["properties"] == {
        "room": {"type": "string", "enum": ["hall", "kitchen"]},
        "level": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "extra": {"type": "object"},
    }
    for one in found:
        assert schema_problems(one.declaration.input_schema) == []


def test_check_says_what_differs_and_fix_writes_it(folder):
    messages = [one.message for one in tool_differences(read_package(folder))]
    assert [m.partition(": ")[2] for m in messages] == [
        "tool search is not declared in plugin.toml",
        "tool set_light is not declared in plugin.toml",
    ]
    found, _ = tools_of_source(read_package(folder))
    assert write_tools(folder, found) == ["search", "set_light"]
    text = (folder / "plugin.toml").read_text()
    assert text.startswith("# mine\n")
    assert text.count("\n\n[[tools]]\n") == 2, "each table is set apart"
    package = read_package(folder)
    assert tool_differences(package) == []
    assert [tool.name for tool in package.manifest.tools] == ["search", "set_light"]
    assert write_tools(folder, found) == []
    assert (folder / "plugin.toml").read_text() == text


def test_what_an_author_added_stays(folder):
    found, _ = tools_of_source(read_package(folder))
    write_tools(folder, found)
    path = folder / "plugin.toml"
    text = path.read_text().replace(
        '[tools.input_schema.properties.text]\ntype = "string"',
        '[tools.input_schema.properties.text]\ntype = "string"\nmaxLength = 80  # short',
    )
    path.write_text(text)
    assert tool_differences(read_package(folder)) == []
    source = SOURCE.replace("most: int = 10", "most: float = 10")
    (folder / "plugin.py").write_text(source)
    (one,) = tool_differences(read_package(folder))
    assert "input schema of tool search" in one.message
    found, _ = tools_of_source(read_package(folder))
    assert write_tools(folder, found) == ["search"]
    tool = read_package(folder).manifest.tools[0]
    assert tool.input_schema["properties"]["text"]["maxLength"] == 80
    assert tool.input_schema["properties"]["most"]["type"] == "number"


@pytest.mark.parametrize("annotation", ["ToolCall", "yoi_pdk.ToolCall", '"ToolCall"'])
def test_the_call_itself_is_no_part_of_the_input(folder, annotation):
    (folder / "plugin.py").write_text(
        "import yoi_pdk\nfrom yoi_pdk import ToolCall\nclass P(yoi_pdk.Plugin):\n"
        f"    @yoi_pdk.tool\n    def t(self, x: int, which: {annotation}): pass\n"
    )
    (tool,), problems = tools_of_source(read_package(folder))
    assert problems == []
    assert list(tool.declaration.input_schema["properties"]) == ["x"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("x", "x has no annotation"),
        ("x: object", "x: object has no schema"),
        ("x: int | str", "union"),
        ("x: int | None", "union"),
        ("*x: int", "name the parameters"),
        ("**x: int", "name the parameters"),
        ("x: Literal[1, 'a']", "no schema"),
        ("x: list[bytes]", "no schema"),
    ],
)
def test_a_parameter_without_a_schema_is_named(folder, parameters, words):
    (folder / "plugin.py").write_text(
        f"import yoi_pdk\nclass P(yoi_pdk.Plugin):\n"
        f"    @yoi_pdk.tool\n    def t(self, {parameters}): pass\n"
    )
    found, problems = tools_of_source(read_package(folder))
    assert found == []
    assert words in problems[0].message


_schemas = st.recursive(
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer"])}),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=3), inner)}
    ),
    max_leaves=5,
)


@given(_schemas, _schemas)
def test_merging_decides_the_form_and_keeps_the_rest(declared, wanted):
    made = merged({**declared, "description": "mine"}, wanted)
    assert form(made) == form(wanted)
    assert made["description"] == "mine"
