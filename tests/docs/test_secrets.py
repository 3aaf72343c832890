"""docs/how-to/secrets.md lists exactly the forms that are masked."""

import re
from pathlib import Path

from yoi.core.redaction import MASK
from yoi.core.secret_forms import FORMS
from yoi.limits import LIMITS

PAGE = (Path(__file__).parents[2] / "docs/how-to/secrets.md").read_text(encoding="utf-8")


def test_the_forms_are_those_of_the_code():
    (block,) = re.findall(r"^\| form \| what is found \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.M)
    rows = [line.strip("| ").split(" | ", 1) for line in block.splitlines()]
    assert dict(rows) == FORMS


def test_its_figures_and_the_mask_are_those_of_the_code():
    assert f"`{MASK}`" in PAGE
    assert f"has {LIMITS.mask_min_chars} characters or more" in PAGE
    assert f"the last {LIMITS.mask_remembered} replaced and captured values" in PAGE
