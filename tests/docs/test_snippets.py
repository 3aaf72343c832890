"""What people copy out of the how-to pages is well-formed and names things that exist."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import yoi.client
import yoi_pdk
import yoi_pdk.testing

PAGES = sorted((Path(__file__).parents[2] / "docs/how-to").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
CALLED = re.compile(r"^[A-Z]\w+$")
OF_THE_PAGE = {"Slack", "TOKEN"}


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
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert {name for name in names if CALLED.match(name)} <= known
