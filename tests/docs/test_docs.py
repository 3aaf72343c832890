"""Documentation is tested: generated pages, links, module sizes, docstrings, the README."""

import ast
import importlib.util
import itertools
import re
import tomllib
from pathlib import Path

import pytest

from yoi.protocol.commands import CommandKind
from yoi.protocol.ingress import EventKind
from yoi.protocol.session_commands import SESSION_KINDS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "yoi").rglob("*.py")) + sorted(
    (ROOT / "pdk" / "python" / "src").rglob("*.py")
)
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
WALL = 800
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]+)?\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", generator().PAGES)
def test_pages_made_from_code_are_up_to_date(page):
    written = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    assert written == generator().PAGES[page](), "run: python docs/generate.py"


@pytest.mark.parametrize("document", generator().schemas.Document)
def test_schemas_in_the_wheel_are_up_to_date(document):
    made = generator()
    written = (made.SCHEMAS / f"{document}.schema.json").read_text(encoding="utf-8")
    assert written == made.schema_of(document), "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_no_module_passes_the_wall(source):
    lines = len(source.read_text(encoding="utf-8").splitlines())
    assert lines <= WALL, f"{name_of(source)} has {lines} lines"


def undocumented(node: ast.AST) -> list[str]:
    """Return the public classes and functions below `node` that have no docstring."""
    bare = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_"):
                continue
            if not ast.get_docstring(child):
                bare.append(f"{child.name} (line {child.lineno})")
            if isinstance(child, ast.ClassDef):
                bare += undocumented(child)
        else:
            bare += undocumented(child)
    return bare


@pytest.mark.parametrize("source", [s for s in SOURCES if "_templates" not in s.parts], ids=name_of)
def test_public_things_have_docstrings(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    bare = undocumented(tree)
    if tree.body and not ast.get_docstring(tree):
        bare.append("the module")
    assert not bare, f"{name_of(source)}: no docstring on {', '.join(bare)}"


def test_every_make_target_the_readme_names_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z-]+)", readme)):
        assert re.search(rf"^{target}:", makefile, re.M), f"make {target} does not exist"


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    groups = project["dependency-groups"].values()
    named = [*project["project"]["dependencies"], *itertools.chain.from_iterable(groups)]
    missing = [
        name for entry in named if (name := re.split(r"[\[<>=~; ]", entry)[0].lower()) not in page
    ]
    assert not missing


def test_every_command_and_event_kind_is_in_the_reference():
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    kinds = [*CommandKind, *SESSION_KINDS, *EventKind]
    assert [kind for kind in kinds if f"`{kind}`" not in page] == []


def test_every_decision_page_says_what_was_decided_and_on_which_figures():
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert "decision" in text.lower(), f"{page.name} does not say what was decided"
        assert re.search(r"\d", text), f"{page.name} has no figures"


def test_the_page_about_rooms_has_the_order_that_is_enforced():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    layers = [
        {room.strip().removeprefix("yoi.") for room in layer.split("|")}
        for layer in reversed(contract["layers"])
    ]
    page = (ROOT / "docs" / "design" / "rooms.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+/?`[, ]*)+) \|", page, re.M)
    rooms = [room for row in rows for room in re.findall(r"`(\w+)/?`", row)]
    assert sorted(rooms) == sorted(set().union(*layers))
    place = {room: number for number, layer in enumerate(layers) for room in layer}
    for earlier, later in itertools.pairwise(rooms):
        assert place[earlier] <= place[later], f"{later} stands after {earlier}"


def test_every_file_that_the_contributors_page_names_exists():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(
        r"`((?:src|tests|docs|pdk|benchmarks|requirements|runner|wit)/[\w./-]*)`", page
    )
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
