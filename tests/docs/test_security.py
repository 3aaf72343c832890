"""docs/security.md names tests that exist, and SECURITY.md leads there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
TESTS = re.findall(r"^\| .*\| `([\w/]+\.py)::(\w+)` \|$", PAGE, re.M)


def test_every_promise_names_a_test_that_exists():
    missing = []
    for path, name in TESTS:
        file = ROOT / "tests" / path
        if not file.is_file() or not re.search(
            rf"^(async )?def {name}\(", file.read_text("utf-8"), re.M
        ):
            missing.append(f"{path}::{name}")
    assert missing == []
    assert len(TESTS) > 30


def test_every_row_of_a_promise_has_one():
    rows = re.findall(r"^\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.M)
    assert sum(len(block.splitlines()) for block in rows) == len(TESTS)


def test_reports_lead_to_the_page():
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
