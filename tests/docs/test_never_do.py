"""docs/what-a-plugin-can-never-do.md names places and tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/what-a-plugin-can-never-do.md"
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| never")
]


def stands(place, test):
    path, _, name = test.partition("::")
    file = ROOT / "tests" / path
    if not ((ROOT / place).is_file() and file.is_file()):
        return False
    return re.search(rf"^(async )?def {name}\(", file.read_text("utf-8"), re.M) is not None


def test_every_line_names_a_place_and_a_test_that_exist():
    assert [what for what, place, test in ROWS if not stands(place, test)] == []
    assert len(ROWS) > 30
