"""docs/promises.md: every promise that code, tests and documents cite stands there, and says where
it stands today."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
ROWS = {
    match["id"]: match["today"]
    for match in re.finditer(r"^\| (?P<id>[A-Z]\d+) \| .+ \| (?P<today>[^|]+) \|$", PAGE, re.M)
}
# Not inside a word, a path, a number or percent-encoded text.
CITED = re.compile(r"(?<![\w%/.-])[PSWTOUDNAMHKI]\d{1,2}(?![\w%/-])")
ROOMS = ("src", "tests", "pdk", "runner", "examples", "chaos", "fuzzing", "compliance")
"""In benchmarks/ such names are numbers of frames under way."""


def sources() -> list[Path]:
    found = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    left_out = {"hostile", "reports"}  # some of those do not parse; those are other tools'
    return [path for path in found if not left_out & set(path.relative_to(ROOT).parts)]


def prose(source: str) -> Iterator[str]:
    """Return the comments and docstrings of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value


def cited_in(source: str) -> set[str]:
    return {found for text in prose(source) for found in CITED.findall(text)}


def test_code_and_tests_cite_only_promises_that_stand_on_the_page():
    wrong = {}
    for path in sources():
        unknown = cited_in(path.read_text(encoding="utf-8")) - ROWS.keys()
        if unknown:
            wrong[str(path.relative_to(ROOT))] = sorted(unknown)
    assert wrong == {}


def test_documents_cite_only_promises_that_stand_on_the_page():
    wrong = {}
    for folder in ("design", "how-to", "reference"):
        for page in sorted((ROOT / "docs" / folder).glob("*.md")):
            text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
            unknown = set(CITED.findall(text)) - ROWS.keys()
            if unknown:
                wrong[page.name] = sorted(unknown)
    assert wrong == {}


def test_a_citation_is_found_where_people_write_it_and_not_in_code():
    text = '"""W3: told (S7, P99)."""\nx = "T4"  # as O12 says, not %C3%A9 or a/P4\n'
    assert cited_in(text) == {"W3", "S7", "P99", "O12"}


def test_every_promise_says_where_it_stands():
    wrong = [f"{name}: {today}" for name, today in ROWS.items()
             if not re.match(r"(there|in part|not yet)\b", today)]  # fmt: skip
    assert len(ROWS) > 90
    assert wrong == []


@pytest.mark.parametrize("letter", "PSWTOUDNAMHKI")
def test_the_promises_of_a_chapter_count_up_without_holes(letter):
    numbers = [int(name[1:]) for name in ROWS if name[0] == letter]
    assert numbers == list(range(1, len(numbers) + 1))
