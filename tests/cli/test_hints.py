"""Every command that Yoi prints exists, with the options and arguments that are printed with it.

All strings of the source are read, so that a hint cannot be forgotten. What an f-string fills in
stands as NAME. What it fills in is a word of the shell, whatever the name or path holds.
"""

import ast
import re
from pathlib import Path

import pytest
import typer
from typer import _click as click

import yoi
from yoi.cli import main as cli
from yoi.errors import ObserveError, TicketError

SOURCE = Path(yoi.__file__).parent
COMMANDS = typer.main.get_command(cli.command_line())
_COMMAND = re.compile(r"(?<![\w./-])yoi ([a-z]+(?: [^;,()`\"\n|<>]*)?)")
_OWN_NAMES = {"tickets/store.py", "runtime/authorizing.py"}
"""Where a command's bare name says who acts: in a commit message and as a client's name."""


_SHELL = re.compile(r"(?<![\w./-])(?:yoi [a-z]|(?:chmod|chown|cp|mkdir|mv|rm) )[^;,()`\n]*\Z")
"""A command that is being printed, up to what is filled in next."""
_QUOTING = {"shell_word", "shell_argument", "as_path"}
_PARSED = {
    "id", "member", "name", "plugin", "rotates", "service", "setup", "state", "ticket", "worker",
    "event_id", "version",
}  # fmt: skip
"""Names whose grammar needs no quotes, where they were parsed; cli/ has what a person typed."""
_PUT_TOGETHER = {"files", "sender", "shown", "there", "wanted", "word", "words"}
"""Made of quoted words in the lines before."""


def filled_in():
    """Yield (where, the expression) of all that is filled into a printed command."""
    for path in sorted(SOURCE.rglob("*.py")):
        where = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            before = ""
            for part in node.values:
                if isinstance(part, ast.Constant):
                    before += part.value
                    continue
                if _SHELL.search(before):
                    yield where, part.value
                before += "NAME"


FILLED_IN = [
    pytest.param(where, value, id=f"{where} {ast.unparse(value)[:40]}")
    for where, value in filled_in()
]


def strings(tree):
    """Yield the line and text of each string that is no docstring, f-strings filled in."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for inner in ast.walk(node)
        if inner is not node
    }
    for node in ast.walk(tree):
        if id(node) in docs or id(node) in inside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (one.value if isinstance(one, ast.Constant) else "NAME" for one in node.values)
            yield node.lineno, "".join(parts)


def printed():
    """Yield (where, command, whole): `whole` where nothing but the command follows `yoi`."""
    for path in sorted(SOURCE.rglob("*.py")):
        where = path.relative_to(SOURCE).as_posix()
        for line, text in strings(ast.parse(path.read_text(encoding="utf-8"))):
            for found in _COMMAND.finditer(text):
                named = where in _OWN_NAMES and len(found[1].split()) == 2
                whole = not named and text.startswith("yoi ") and found.end() == len(text.rstrip())
                yield f"{where}:{line}", found[1].split(), whole


PRINTED = [
    pytest.param(words, whole, id=f"{where} {' '.join(words)[:40]}")
    for where, words, whole in printed()
]


def resolved(words):
    """Return the command that `words` begin with, and the words after it."""
    level, rest = COMMANDS, list(words)
    while rest and rest[0] in getattr(level, "commands", {}):
        level = level.commands[rest.pop(0)]
    return level, rest


def test_there_are_hints_to_read():
    assert len(PRINTED) > 150


@pytest.mark.parametrize(("words", "whole"), PRINTED)
def test_a_printed_command_exists_with_its_options(words, whole):
    command, rest = resolved(words)
    assert command is not COMMANDS, f"there is no command yoi {words[0]}"
    group = getattr(command, "commands", None)
    if group is not None:
        followed = rest and rest[0] not in ("--help",) and not rest[0].startswith("-")
        assert not followed, f"yoi {' '.join(words)}: {rest[0]} is not among {', '.join(group)}"
    context = click.Context(command, info_name="yoi")
    known = {one for param in command.get_params(context) for one in param.opts}
    known |= {one for param in command.get_params(context) for one in param.secondary_opts}
    used = {word.rstrip(".:").partition("=")[0] for word in rest if word.startswith("-")}
    assert used - {"-", "--"} <= known
    if whole and group is None and "--help" not in rest:
        complete(command, context, rest)


def test_there_are_words_to_judge():
    assert len(FILLED_IN) > 100


@pytest.mark.parametrize(("where", "value"), FILLED_IN)
def test_what_a_printed_command_is_filled_with_is_one_word(where, value):
    if isinstance(value, ast.Call):
        made = ast.unparse(value.func)
        assert made in _QUOTING | {"min", "os.geteuid", "_shown_name", "'|'.join"}
        return
    while isinstance(value, ast.Subscript):
        value = value.value
    named = (value.id if isinstance(value, ast.Name) else value.attr).lstrip("_")
    allowed = _PUT_TOGETHER if where.startswith("cli/") else _PUT_TOGETHER | _PARSED | {"fits"}
    assert named in allowed | {"BOARD"}, "a word of the shell has to be quoted: shell_word(...)"


def complete(command, context, rest):
    """Fail unless `rest` gives the command its arguments, and no more."""
    values, left, _ = command.make_parser(context).parse_args(args=list(rest))
    assert left == [], f"more than the command takes: {left}"
    for param in command.get_params(context):
        if param.param_type_name == "argument" and param.required:
            assert isinstance(values.get(param.name), str | list | tuple), f"no {param.name}"
        if param.param_type_name == "option" and param.required:
            assert param.name in values, f"no {param.opts[0]}"


def test_some_codes_have_a_hint_by_themselves_and_a_better_one_wins():
    error = ObserveError("observe.unreachable", "the server answered 500")
    assert "yoi serve" in error.hint
    assert ObserveError("observe.unreachable", "x", hint="look there").hint == "look there"
    assert "yoi ticket doctor" in TicketError("ticket.utf8", "item.md is no text").hint
