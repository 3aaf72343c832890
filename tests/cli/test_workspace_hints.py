"""A hint after `--workspace DIR` names commands that work from where the person is."""

import json
import shlex

import pytest

from yoi.cli.hints import in_workspace, typed_workspace
from yoi.cli.main import named_command


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("service list", None),
        ("service list -w a", "a"),
        ("service list -wa", "a"),
        ("service list --workspace a --json", "a"),
        ("service list --workspace=a", "a"),
        ("service call x -- -w", None),
        ("service list -w", None),
        ("plugin new tool -- --workspace=a", None),
    ],
)
def test_the_folder_that_was_typed(line, folder):
    assert typed_workspace(line.split()) == folder


@pytest.mark.parametrize(
    ("hint", "whole"),
    [
        ("start one with: yoi serve", "start one with: yoi serve -w 'a b'"),
        ("yoi secret set key --stdin < FILE", "yoi secret set -w 'a b' key --stdin < FILE"),
        ("one: yoi trust --show; then: yoi trust --digest D",
         "one: yoi trust -w 'a b' --show; then: yoi trust -w 'a b' --digest D"),
        ("yoi plugin check ./x", "yoi plugin check ./x"),
        ("yoi service list -w other", "yoi service list -w other"),
        ("yoi plugin new --help", "yoi plugin new --help"),
        ("ask yoi people", "ask yoi people"),
        ("yoi plugin", "yoi plugin"),
        ("edit .yoi/yoi.toml, then: yoi trust", "edit .yoi/yoi.toml, then: yoi trust -w 'a b'"),
    ],
)  # fmt: skip
def test_each_command_that_takes_a_workspace_gets_it(hint, whole):
    assert in_workspace(hint, "a b", named_command) == whole


@pytest.mark.parametrize(
    "line", ["plugin show x", "ticket show x", "service list", "trust --digest x"]
)
def test_the_hint_of_a_failed_command_works_from_elsewhere(line, yoi, workspace):
    (workspace / "a b").mkdir()
    failed = yoi(*line.split(), "-w", "a b", "--json")
    hint = json.loads(failed.out)["error"]["hint"]
    command = shlex.split(hint[hint.index("yoi ") :])
    assert command[command.index("-w") + 1] == "a b"
    if command[1] != "serve":
        assert yoi(*command[1:]).status == 0
