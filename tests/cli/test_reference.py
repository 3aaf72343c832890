"""docs/reference/cli.md and exit-codes.md are the code's own words; YOI_UPDATE_GOLDEN=1 writes."""

import json
import os
from pathlib import Path

import pytest
import typer
from tests.cli.conftest import JSON_KEYS

from yoi.cli.exits import MEANING, Exit
from yoi.cli.main import command_line

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
GOLDEN = Path(__file__).parent / "golden"

CLI_HEAD = """\
# Command line

Generated from the commands themselves (`tests/cli/test_reference.py`); `yoi COMMAND --help` prints
the same.

Output is for people unless `--json` is given: then stdout holds exactly one JSON document (one
object a line for `serve`, `service watch`, `watch`, `worker run`, `worker history`, `plugin dev`
and `demo`), its keys are stable and listed below, and it is plain ASCII. In a cluster there are
also `machine` (which one carried it out), `machines` (by name of what is listed) and `silent`. A
failure is `{"error": {"code", "message", "hint", "fields"}}` there, and words on stderr otherwise.
Codes are listed in [errors.md](errors.md), exit statuses in [exit-codes.md](exit-codes.md). Colours
appear on a terminal only; `NO_COLOR` switches them off.
Text that came from a package, a gateway or a plugin is escaped before it is printed. A table that
does not fit the screen is printed as rows below each other.

`yoi --install-completion` teaches the shell (bash, zsh, fish) to complete commands and options;
`yoi --show-completion` prints what it would add.
"""

EXIT_HEAD = """\
# Exit statuses

Generated from `yoi.cli.exits` (`tests/cli/test_reference.py`).

| status | meaning |
|---|---|
"""

JSON_OF = {
    "plugin new": "new.json",
    "plugin check": "check-sound.json",
    "plugin pack": "pack.json",
    "plugin list": "list.json",
    "plugin show": "show.json",
    "plugin enable": "enable.json",
    "plugin disable": "disable.json",
    "token create": "token-create.json",
    "token list": "token-list.json",
    "token revoke": "token-revoke.json",
    "token rotate-keys": "token-rotate-keys.json",
    "service list": "service-list.json",
    "service status": "service-status.json",
    "service restart": "service-restart.json",
    "service reconnect": "service-reconnect.json",
    "service stop": "service-stop.json",
    "service dead-letters": "service-dead-letters.json",
    "service replay": "service-replay.json",
    "service discard": "service-discard.json",
    "service call": "service-call.json",
}


def commands():
    def walk(command, words):
        if hasattr(command, "commands"):
            if words and command.invoke_without_command:
                yield words, command
            for name, inner in command.commands.items():
                yield from walk(inner, [*words, name])
        else:
            yield words, command

    return sorted(walk(typer.main.get_command(command_line()), []), key=lambda one: one[0])


def section(words, command):
    name = " ".join(words)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([f"yoi {name}", "[OPTIONS]", *(one.metavar for one in arguments)])
    lines = [f"## yoi {name}", "", f"    {usage}", "", command.help.strip(), ""]
    lines += [f"- `{one.metavar}`: {one.help}" for one in arguments]
    for one in options:
        value = f" {one.metavar}" if one.metavar else ""
        default = f" (default: {one.default})" if one.metavar and one.default else ""
        lines.append(f"- `{', '.join(one.opts)}{value}`: {one.help}{default}")
    for shape in JSON_KEYS.get(name, {}).items():
        lines += ["", json_keys(name, *shape)]
    return "\n".join(lines) + "\n"


def json_keys(name, when, keys):
    own = [] if name == "schema" else ["command"]
    words = ", ".join(
        f"`{key.rstrip('?')}`" + " (not always)" * key.endswith("?") for key in [*own, *keys]
    )
    example = (
        "" if when or name not in JSON_OF else f" Example: `tests/cli/golden/{JSON_OF[name]}`."
    )
    return f"JSON{when and ' '}{when}: {words}.{example}"


def one_document(command):
    (option,) = [one for one in command.params if "--json" in one.opts] or [None]
    return option is not None and option.help.startswith("Print one JSON document")


def test_the_keys_of_each_document_are_listed():
    assert {" ".join(words) for words, one in commands() if one_document(one)} == set(JSON_KEYS)


@pytest.mark.parametrize("name", JSON_OF)
def test_the_examples_have_these_keys(name):
    example = json.loads((GOLDEN / JSON_OF[name]).read_text())
    assert list(example) == ["command", *JSON_KEYS[name][""]]


def expected(name):
    if name == "exit-codes.md":
        rows = "".join(f"| {status.value} | {MEANING[status]} |\n" for status in Exit)
        return EXIT_HEAD + rows
    return "\n".join([CLI_HEAD, *(section(*one) for one in commands())])


@pytest.mark.parametrize("name", ["cli.md", "exit-codes.md"])
def test_the_reference_says_what_the_code_says(name):
    path = REFERENCE / name
    if os.environ.get("YOI_UPDATE_GOLDEN"):
        path.write_text(expected(name))
    assert path.read_text() == expected(name)
