"""The commands in a hint, as they work in the folder from which a command was typed."""

import re
from collections.abc import Callable, Sequence

from yoi.display import shell_word

_COMMAND = re.compile(r"(?<![\w./-])yoi((?: [a-z][a-z-]*)+)(?! (?:-w|--workspace)\b)")
_OPTION = "--workspace"
_SHORT = "-w"


def typed_workspace(arguments: Sequence[str]) -> str | None:
    """Return the folder that a command line names with --workspace, if it names one."""
    for at, word in enumerate(arguments):
        if word == "--":
            break
        if word in (_OPTION, _SHORT):
            return arguments[at + 1] if at + 1 < len(arguments) else None
        if word.startswith(f"{_OPTION}="):
            return word.partition("=")[2]
        if word.startswith(_SHORT) and not word.startswith("--"):
            return word[len(_SHORT) :]
    return None


def in_workspace(hint: str, workspace: str, command_of: Callable[[str], object]) -> str:
    """Return `hint` with `--workspace` behind each command that takes it.

    `command_of` returns what a command's first word stands for, None for no command.
    """

    def named(found: re.Match[str]) -> str:
        words = found[1].split()
        level, used = command_of(words[0]), 1
        for word in words[1:]:
            inner = getattr(level, "commands", {}).get(word)
            if inner is None:
                break
            level, used = inner, used + 1
        if all(one.name != "workspace" for one in getattr(level, "params", ())):
            return found[0]
        taken = ["yoi", *words[:used], _SHORT, shell_word(workspace), *words[used:]]
        return " ".join(taken)

    return _COMMAND.sub(named, hint)
