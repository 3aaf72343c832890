"""K1: a folder that becomes a link while a command works leads no write out of the workspace."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.test_trust import file

from yoi.decisions.store import DecisionStore
from yoi.packages import Store, package_inventory, read_package

ROOT = Path(__file__).parents[2]


def test_no_command_writes_where_a_swapped_folder_leads():
    """`python -m tests.cli.swapping --all` swaps before every operation, reading too."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.cli.swapping"], cwd=ROOT, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["tried"] > 100
    assert (found["outside"], found["untyped"]) == ([], [])


@pytest.fixture
def plugin(yoi, workspace):
    assert yoi("plugin", "new", "tool", "adder").status == 0
    return workspace / "adder"


def test_what_was_reviewed_is_stored_whatever_its_folder_holds_by_then(
    yoi, workspace, plugin, monkeypatch
):
    reviewed = read_package(plugin).digest
    answered = []

    def confirm(question):
        answered.append(question)
        (plugin / "more.py").write_text("x = 1\n")

    monkeypatch.setattr("yoi.cli.enabling.confirm", confirm)
    monkeypatch.setattr("yoi.cli.enabling.check_can_ask", lambda **_: None)
    assert yoi("plugin", "enable", plugin, "--grant-requested").status == 0
    assert answered
    assert read_package(plugin).digest != reviewed
    assert package_inventory(workspace).find("project:adder").digest == reviewed
    (decided,) = DecisionStore.of_account().entries(workspace).values()
    assert decided["digest"] == reviewed


def test_dot_yoi_swapped_while_the_person_reads_decides_and_writes_nothing(
    yoi, workspace, plugin, monkeypatch, tmp_path
):
    outside = tmp_path / "outside"
    outside.mkdir()

    def confirm(question):
        (workspace / ".yoi").symlink_to(outside)

    monkeypatch.setattr("yoi.cli.enabling.confirm", confirm)
    monkeypatch.setattr("yoi.cli.enabling.check_can_ask", lambda **_: None)
    ran = yoi("plugin", "enable", plugin, "--grant-requested", "--json")
    error = json.loads(ran.out)["error"]
    assert (ran.status, error["code"]) == (1, "package.io")
    assert error["hint"] == f"put a folder in its place: rm {workspace / '.yoi'}"
    assert DecisionStore.of_account().entries(workspace) == {}
    assert list(outside.iterdir()) == []
    # What the hint says, and the command again.
    (workspace / ".yoi").unlink()
    monkeypatch.setattr("yoi.cli.enabling.confirm", lambda question: None)
    assert yoi("plugin", "enable", plugin, "--grant-requested").status == 0
    assert file(workspace).exists()
    assert Store.project(workspace).path.is_dir()
