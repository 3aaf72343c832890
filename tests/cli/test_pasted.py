"""The commands that Yoi prints work when they are pasted, whatever a folder or a call is called."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.cli.packages import write_plugin

FOLDERS = ["-x", "--json", "a b", "it's", "$(touch pwned)", "a\nb", "\u202ereversed", "a;b", "*"]
_YOI = 'yoi() { printf "%s\\0" "$@"; }; '
_COMMAND = re.compile(r"\byoi (?:plugin|service|worker) .*")


def pasted(line: str, folder: Path) -> list[str]:
    """Return the arguments that a shell makes of the command in `line`."""
    found = _COMMAND.search(line)
    assert found is not None, line
    ran = subprocess.run(
        ["bash", "-c", _YOI + found[0]], cwd=folder, capture_output=True, check=True
    )
    return [os.fsdecode(word) for word in ran.stdout.split(b"\0")[:-1]]


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if _COMMAND.search(line)]


@pytest.mark.parametrize("name", FOLDERS)
def test_each_next_step_for_a_folder_works_as_it_stands(name, yoi, workspace):
    write_plugin(workspace / name)
    shown = yoi("plugin", "check", "--", f"./{name}")
    assert shown.status == 0, shown.err
    made = yoi("plugin", "new", "tool", "--id", "made", "--", f"{name}2")
    packed = yoi("plugin", "pack", "--output", f"./{name}.yoi-plugin", "--", f"./{name}")
    refused = yoi("plugin", "enable", "-c", "channel=main", "--", f"./{name}")
    assert (made.status, packed.status, refused.status) == (0, 0, 2), made.err + packed.err
    lines = commands(shown.out + made.out + packed.out)
    assert len(lines) == 6
    for line in lines:
        words = pasted(line, workspace)
        ran = yoi(*words[:2], "--help")
        assert ran.status == 0
        (path,) = [word for word in words[2:] if (workspace / word).exists()]
        assert not path.startswith("-")
    assert not (workspace / "pwned").exists()


def test_a_missing_workspace_is_made_by_the_command_that_the_error_prints(yoi, workspace):
    ran = yoi("plugin", "list", "-w", "a b $(touch pwned)")
    hint = ran.err.partition("hint: ")[2].strip()
    subprocess.run(["bash", "-c", hint], cwd=workspace, check=True)
    assert (workspace / "a b $(touch pwned)").is_dir()
    assert not (workspace / "pwned").exists()
    assert yoi("plugin", "list", "-w", "a b $(touch pwned)").status == 0


@pytest.mark.parametrize("name", ["-x", ".x", "a b", "a/b", "..", "\u202ea", "$(id)", "a\n", ""])
@pytest.mark.parametrize(
    "arguments",
    [
        ("secret", "set", "--stdin", "--", "{}"),
        ("token", "create", "--", "{}"),
        ("plugin", "new", "tool", "--id={}", "made"),
        ("plugin", "enable", "./relay", "--as={}"),
        ("plugin", "disable", "--", "{}"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_name_is_an_option_or_needs_quotes(arguments, name, yoi, workspace):
    """One grammar for all that a person names; the words of the refusal are one, too."""
    write_plugin(workspace / "relay")
    ran = yoi(*(word.format(name) for word in arguments))
    assert ran.status in (1, 2)
    assert "and not start with '-' or '.', nor end with '.'" in ran.err
