"""The frame around every command: help, versions, exit statuses, errors, what gets imported."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from yoi.cli import main as cli
from yoi.cli.exits import Exit, exit_for
from yoi.errors import CODES, ControlError, UsageError, YoiError


def every_command():
    import typer

    def walk(command, words):
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, [*words, name])
        else:
            yield words

    return list(walk(typer.main.get_command(cli.command_line()), []))


def test_the_commands_of_the_issue_are_there():
    names = {" ".join(words) for words in every_command()}
    assert names >= {
        *(f"plugin {n}" for n in ["new", "check", "pack", "list", "show"]),
        *(f"plugin {n}" for n in ["enable", "disable", "dev"]),
        *(f"service {n}" for n in ["list", "status", "restart", "stop", "dead-letters", "replay"]),
        "serve",
        "demo",
        "doctor",
    }


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_help_and_json(words, yoi):
    ran = yoi(*words, "--help")
    assert ran.status == 0
    assert "--json" in ran.out


def test_no_arguments_print_help(yoi):
    assert yoi().out == yoi("--help").out


def test_version(yoi):
    assert yoi("--version").out.startswith("yoi 0.")


HEAVY = {"wasmtime", "asyncio", "picows", "tomlkit", "ada_url", "cryptography", "pydantic"}
"""What no command loads that only looks at files."""


def loaded_by(*arguments, code="from yoi.cli.main import run; run(sys.argv[1:])"):
    """Return the modules that `yoi ARGUMENTS` has loaded in a process of its own."""
    code = f"import sys; {code}; print('\\n' + ' '.join(sys.modules), file=sys.stderr)"
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(ran.stderr.splitlines()[-1].split())


def test_importing_yoi_loads_nothing_else():
    names = loaded_by(code="import yoi")
    assert {name for name in names if name.split(".")[0] == "yoi"} == {"yoi"}
    assert not names & {"typer", "msgspec", "typing_extensions", *HEAVY}


def test_the_version_loads_no_command():
    names = loaded_by("--version")
    assert not names & {"msgspec", "rich", "yoi.limits", "yoi.cli.plugin", *HEAVY}


def test_help_imports_no_heavy_room():
    """Startup stays quick: `yoi --help` loads neither the engine nor the network nor rich."""
    assert not loaded_by("--help") & {"rich.table", *HEAVY}


def test_a_command_loads_what_it_needs(workspace):
    names = loaded_by("plugin", "list", "-w", str(workspace))
    assert "yoi.packages" in names
    assert not names & {"yoi.cli.demo", "yoi.workers", "yoi.runtime", *(HEAVY - {"ada_url"})}
    other_commands = {"yoi.cli.serve", "yoi.cli.service", "yoi.cli.watch_view"}
    stores = {"yoi.secrets.file_store", "yoi.secrets.keyring_store", "yoi.secrets.workspace"}
    libraries = {"yoi.libraries", "packaging", "pip", "email", "logging", "socketserver"}
    assert not names & (other_commands | stores | libraries)
    assert "rich.console" not in loaded_by("plugin", "list", "-w", str(workspace), "--json")


def test_completion_offers_the_commands(monkeypatch):
    """What the script of `yoi --install-completion` asks on each press of the tab key."""
    monkeypatch.setenv("_YOI_COMPLETE", "complete_bash")
    for typed, place, wanted in [("yoi pl", "1", "plugin"), ("yoi plugin di", "2", "disable")]:
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", place)
        ran = subprocess.run(
            [sys.executable, "-m", "yoi"], capture_output=True, text=True, check=False
        )
        assert ran.stdout.split() == [wanted]


def test_completion_that_cannot_be_installed_says_what_to_do_instead(yoi, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    ran = yoi("--install-completion", "bash")
    assert ran.status == 1
    assert "[usage.completion]" in ran.err
    assert "yoi --show-completion" in ran.err


def test_what_a_wrong_command_line_may_say_stands_on_one_line(yoi):
    said = yoi("journal", "copy").err.splitlines()[0]
    assert said.endswith("Choose from: jetstream, sqlite  [usage.arguments]")


@pytest.mark.parametrize(
    "arguments", [["nope"], ["plugin"], ["plugin", "nope"], ["plugin", "show"], ["--nope"]]
)
def test_a_wrong_command_line_exits_2_and_names_the_help(arguments, yoi):
    ran = yoi(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert "--help" in ran.err


def test_usage_errors_are_json_where_json_is_asked_for(yoi):
    ran = yoi("plugin", "show", "--json")
    assert json.loads(ran.out)["error"]["code"] == "usage.arguments"


def test_json_after_a_double_dash_is_not_a_flag(yoi, workspace):
    assert yoi("plugin", "show", "--", "--json").out == ""


def test_a_hostile_argument_is_escaped(yoi):
    ran = yoi("plugin", "\x1b[2J[red]\u202e")
    assert "\x1b" not in ran.err
    assert "\u202e" not in ran.err
    assert "[red]" in ran.err


def test_a_defect_is_reported_without_a_traceback(yoi, workspace, monkeypatch):
    def broken(*_):
        raise RuntimeError("boom \x1b[2J")

    monkeypatch.setattr("yoi.control.client.answer_of", broken)
    ran = yoi("service", "list")
    assert ran.status == 70
    assert "a defect in Yoi: RuntimeError" in ran.err
    assert "Traceback" not in ran.err
    assert "\x1b" not in ran.err


def test_the_reader_may_stop_reading(workspace):
    """`yoi ... | head` ends quietly."""
    ran = subprocess.run(
        f"{shlex.quote(sys.executable)} -m yoi.cli plugin --help | true; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "0"
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("plugin list >/dev/full", 1, "usage.output"),
        ("plugin show nope --json >/dev/full", 1, "usage.output"),
        ("--version >/dev/full 2>/dev/full", 1, ""),
        ("plugin list >&- 2>&- <&-", 0, ""),
    ],
)
def test_an_answer_that_nothing_takes_is_no_defect(words, status, said, workspace):
    """A full disk below `yoi ... > FILE`, and a process that was started without streams."""
    ran = subprocess.run(
        f"{shlex.quote(sys.executable)} -m yoi.cli {words}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, "Traceback" in ran.stderr) == (status, False)
    assert said in ran.stderr


def test_an_interrupt_while_the_command_line_loads_prints_nothing():
    program = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from yoi.cli.__main__ import main
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    # A shell says 130 of it.
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, "", "")


def test_exit_statuses():
    assert exit_for(ControlError("control.unreachable", "x")) is Exit.NO_HOST
    assert exit_for(ControlError("control.refused", "x")) is Exit.FAILED
    assert exit_for(UsageError("usage.arguments", "x")) is Exit.USAGE
    assert exit_for(UsageError("usage.aborted", "x")) is Exit.FAILED


@pytest.mark.parametrize("code", CODES)
def test_no_error_exits_0(code):
    assert exit_for(YoiError(code, "x")) != 0


@pytest.mark.parametrize("name", ["manifest", "yoi-toml", "host-toml"])
def test_schema_prints_what_the_wheel_ships(name, yoi):
    plain, as_json = yoi("schema", name), yoi("schema", name, "--json")
    assert (plain.status, as_json.status) == (0, 0)
    assert json.loads(plain.out)["properties"]
    assert json.loads(as_json.out) == {"file": name, "schema": json.loads(plain.out)}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell):
    words = {"COMP_WORDS": "yoi ser", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "yoi ser"}
    if shell == "fish":
        words["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    environment = {**os.environ, **words, "_YOI_COMPLETE": f"complete_{shell}"}
    ran = subprocess.run(
        [sys.executable, "-m", "yoi.cli"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "serve" in ran.stdout
    assert "service" in ran.stdout
