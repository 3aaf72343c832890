"""What people copy out of the how-to pages is well-formed and names things that exist."""

import ast
import inspect
import re
import textwrap
import tomllib
import typing
from pathlib import Path

import pytest

import yoi.client
import yoi.protocol.events
import yoi_pdk
import yoi_pdk.testing
from yoi_pdk import events, tools
from yoi_pdk.testing import PluginHarness

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs/how-to").glob("*.md")), ROOT / "docs/tutorial.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
CALLED = re.compile(r"^[A-Z]\w+$")
OF_THE_PAGE = {"Echo", "MCPServer", "Slack", "TOKEN"}


def blocks(language):
    return [
        pytest.param(found.group(2), id=f"{page.stem}-{number}")
        for page in PAGES
        for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")))
        if found.group(1) == language
    ]


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_is_toml(text):
    assert tomllib.loads(text)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_uses_what_the_pdk_or_the_client_has(text):
    known = {*yoi_pdk.__all__, *yoi_pdk.testing.__all__, *yoi.client.__all__, *OF_THE_PAGE}
    known |= vars(yoi.protocol.events).keys()
    named = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    made = {node.id for node in named if isinstance(node.ctx, ast.Store)}
    assert {node.id for node in named if CALLED.match(node.id)} - made <= known


EVENTS = [kind for kind in vars(events).values() if isinstance(kind, type)]
EVENTS = [kind for kind in EVENTS if issubclass(kind, events.Event)]
HANDED = {"event": EVENTS, "call": [tools.ToolCall], "ctx": [yoi_pdk.Context]}
"""By the name that the pages use for it: what a handler is handed."""


def handed(handler: str) -> dict[str, list[type]]:
    """Return what the arguments of a handler may be; of `on_event`, any event."""
    method = getattr(yoi_pdk.Plugin, handler, None)
    if method is None or handler == "on_event":
        return HANDED
    hints = typing.get_type_hints(method)
    return {**HANDED, **{name: [hints[name]] for name in hints.keys() & HANDED.keys()}}


def unknown_attributes(tree: ast.AST, known: dict[str, list[type]]) -> set[str]:
    """Return the attributes below `tree` that no such object has."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        inner = handed(node.name) if isinstance(node, ast.FunctionDef) else known
        found |= unknown_attributes(node, inner)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            kinds = known.get(node.value.id, [])
            if kinds and not any(has(kind, node.attr) for kind in kinds):
                found.add(f"{node.value.id}.{node.attr}")
    return found


def has(kind: type, name: str) -> bool:
    return hasattr(kind, name) or any(name in inspect.get_annotations(c) for c in kind.__mro__)


@pytest.mark.parametrize("text", blocks("python"))
def test_plugin_code_compiles_and_uses_what_its_events_have(text):
    # Some blocks are the middle of a handler; `return` stands there.
    compile("async def page():\n" + textwrap.indent(text, "    "), "page", "exec")
    if "yoi.client" not in text:
        assert unknown_attributes(ast.parse(text), HANDED) == set()


def test_the_check_of_attributes_finds_what_is_not_there():
    text = "def on_text(self, event, ctx):\n    event.event_id, event.text, event.code, ctx.state"
    assert unknown_attributes(ast.parse(text), HANDED) == {"event.event_id", "event.code"}
    assert unknown_attributes(ast.parse("call.input, call.inputs"), HANDED) == {"call.inputs"}


def plugins():
    """Return the blocks that define a whole plugin."""
    return [block for block in blocks("python") if "(Plugin):" in block.values[0]]


@pytest.mark.parametrize("text", plugins())
def test_a_whole_plugin_runs_in_the_harness(text):
    space: dict[str, typing.Any] = {"__name__": "plugin"}
    exec(compile(text, "plugin.py", "exec"), space)
    [made] = [
        one
        for one in space.values()
        if isinstance(one, type) and issubclass(one, yoi_pdk.Plugin) and one is not yoi_pdk.Plugin
    ]
    plugin = PluginHarness(made, config={})
    plugin.text("hi")
    if "def on_tool" in text:
        assert plugin.tool("reply", {"text": "hi"}).summary


def test_whole_plugins_are_among_what_is_run():
    assert len(plugins()) >= 2
