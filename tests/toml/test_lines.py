"""A person is told the line of what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.toml.lines import line_of

TEXT = """\
# a comment
[[workers]]
name = "one"
model = "scripted"

[[workers]]
name = "two"
modle = "x"
  [[workers.tools]]
  plugin = "chat"
  [[workers.tools]]
  plugin = 7

[observation]
port = 1
  [[workers.tools]]
  plugin = 8
[[mcp.servers]]
comand = 1
"""


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ("workers[0].model", 4),
        ("workers[1].modle", 8),
        ("workers[1].tools[1].plugin", 12),
        ("workers[1].tools[0]", 9),
        ("workers[1].tools[2].plugin", 17),
        ("workers[0].missing", 2),
        ("workers[1]", 6),
        ("observation.port", 15),
        ("mcp.servers[0].comand", 19),
        ("mcp.servers[0]", 18),
        ("mcp.tools[0]", None),
        ("workers[7].name", None),
        ("nothing", None),
        ("", None),
    ],
)
def test_the_line_of_a_key(at, line):
    assert line_of(TEXT, at) == line


@given(st.text(), st.text())
def test_any_text_has_a_line_or_none(text, at):
    found = line_of(text, at)
    assert found is None or 1 <= found <= len(text.splitlines())
