"""M3: `runs_on` and `weight` of an enabled plugin: read strictly, written as they were read."""

import pytest
from tests.packages.test_senders import ENTRY

from yoi.packages import Enablement
from yoi.packages.edits import write_enablement


def read(tmp_path, text):
    path = tmp_path / "yoi.toml"
    path.write_text(ENTRY + text)
    return Enablement.load(path), path


def test_they_are_read_and_written_back(tmp_path):
    enablement, path = read(tmp_path, 'runs_on = ["big-*", "a.example"]   # these\nweight = 5\n')
    (entry,) = enablement.entries
    assert (entry.runs_on, entry.weight) == (("big-*", "a.example"), 5)
    write_enablement(path, entry)
    assert "# these" in path.read_text()
    assert Enablement.load(path).entries == (entry,)
    plain, _ = read(tmp_path, "")
    assert (plain.entries[0].runs_on, plain.entries[0].weight) == ((), 1)
    assert not {"runs_on", "weight"} & plain.entries[0].to_table().keys()


@pytest.mark.parametrize(
    "text",
    [
        'runs_on = "a"',
        'runs_on = [""]',
        'runs_on = ["a b"]',
        'runs_on = ["[a-z]"]',
        f"runs_on = {['m'] * 17}",
        "weight = 0",
        "weight = 101",
        "weight = 1.5",
    ],
)
def test_what_cannot_be_used_disables_the_entry(tmp_path, text):
    enablement, _ = read(tmp_path, text)
    assert enablement.entries == ()
    assert text.split()[0] in str(enablement.diagnostics[0].error)
