"""docs/how-to/tickets.md, run as it is written."""

import json
import re
import shlex
from pathlib import Path

from yoi.cli.main import run
from yoi.decisions.store import DecisionStore
from yoi.runtime.worker_profiles import workers_of
from yoi.toml import parse_toml

PAGE = (Path(__file__).parents[2] / "docs/how-to/tickets.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)


def test_its_worker_is_one():
    (table,) = blocks("toml")
    plan = workers_of(parse_toml(table.encode()))
    assert plan.faults == ()
    rule = plan.profiles[0].tickets
    assert (rule.states, rule.to) == (("queued",), ("inprogress", "done"))
    assert rule.approvals == {
        "list": "auto", "show": "auto", "comment": "auto", "move": "ask", "create": "deny",
    }  # fmt: skip


def test_its_commands_work_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = ""
    for command in [shlex.split(line) for line in commands()]:
        made = [name if word == "ID" else word for word in command[1:]]
        assert run([*made, "--json"]) == 0, command
        said = json.loads(capsys.readouterr().out)
        name = name or said["ticket"]["id"]
        decided = DecisionStore.of_account().queued(tmp_path)
        if "queue" in command:
            assert decided == {name: said["ticket"]["digest"]}
        elif "state" in command:
            assert decided == {}
    assert said["oddities"] == []


def commands():
    """Yield the page's commands; a quoted text may go over several lines."""
    for block in blocks("sh"):
        lines = ""
        for line in block.splitlines():
            lines = f"{lines}\n{line}" if lines else line
            if lines.count('"') % 2 == 0:
                yield lines
                lines = ""
