"""Every notice that the host may show stands in the list, or showing it would be a defect."""

import re
from pathlib import Path

import yoi
from yoi.protocol.diagnostics import NOTICES


def test_every_notice_in_the_source_is_listed_and_every_listed_one_is_used():
    root = Path(next(iter(yoi.__path__)))
    used = {
        code
        for path in root.rglob("*.py")
        if path.name != "diagnostics.py"
        for code in re.findall(r'"(notice\.[a-z_]+)"', path.read_text())
    }
    assert used == {code for code in NOTICES if code.startswith("notice.")}
