"""The usual mistakes of a first hour: how each is made, and what must be said about it.

Each `says` is a pattern in what the command prints, line breaks as spaces: the place, the reason
and, where there is one, the next command.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Prepare = Callable[[Path], object]
_CHECK = ("plugin", "check", "wrong")


@dataclass(frozen=True)
class Mistake:
    """See the module docstring. `host`: made while a host runs in the workspace."""

    name: str
    command: tuple[str, ...]
    says: tuple[str, ...]
    prepare: Prepare = lambda _: None
    host: bool = False


def edit(name: str, old: str, new: str) -> Prepare:
    """Replace `old` in a file of the plugin `wrong`."""

    def change(work: Path) -> None:
        path = work / "wrong" / name
        text = path.read_text()
        assert old in text, (name, old)
        path.write_text(text.replace(old, new, 1))

    return change


def appended(name: str, words: str) -> Prepare:
    """Add `words` to a file of the workspace."""

    def change(work: Path) -> None:
        path = work / name
        path.write_text(path.read_text() + words)

    return change


def code(words: str) -> Prepare:
    """Put `words` at the top of the plugin's code."""

    def change(work: Path) -> None:
        path = work / "wrong" / "plugin.py"
        path.write_text(words + "\n" + path.read_text())

    return change


MISTAKES = (
    Mistake("a key is misspelt", _CHECK, ("verison", "not a key|unknown|no such key"),
            edit("plugin.toml", "\nversion =", "\nverison =")),
    Mistake("the TOML does not parse", _CHECK, (r"line \d+", "plugin.toml"),
            edit("plugin.toml", "\nversion = ", "\nversion = = ")),
    Mistake("the code does not parse", _CHECK, (r"plugin\.py, line 1",), code("def broken(:")),
    Mistake("a connection's URL has no scheme", _CHECK, (r"connections\[0\]\.url", "ws"),
            edit("plugin.toml", "ws://127.0.0.1", "127.0.0.1")),
    Mistake("a connection names an ingress that is not there", _CHECK, ("ingress", "nowhere"),
            edit("plugin.toml", 'ingress = "events"', 'ingress = "nowhere"')),
    Mistake("there is no such folder", ("plugin", "check", "nowhere"),
            ("nowhere", "no such file", "next: ")),
    Mistake("there is no such template", ("plugin", "new", "webscoket", "x"),
            ("webscoket", "websocket")),
    Mistake("the folder is there already", ("plugin", "new", "tool", "wrong"), ("wrong",)),
    Mistake("nobody can be asked", ("plugin", "enable", "./wrong"),
            ("nobody can be asked", "--grant-requested")),
    Mistake("--yes without saying what", ("plugin", "enable", "./wrong", "--yes"),
            ("--grant-requested",)),
    Mistake("a value for a key that is not there",
            ("plugin", "enable", "./wrong", "-c", "colour=red", "--grant-requested", "--yes"),
            ("colour",)),
    Mistake("nothing of that name is enabled", ("plugin", "disable", "nope", "--yes"),
            ("nope", "hint: ")),
    Mistake("no host runs", ("service", "list"), ("no host", "hint: .*yoi serve")),
    Mistake("the command is misspelt", ("servce",), ("servce", "hint: yoi --help")),
    Mistake("an option is misspelt", ("service", "list", "--jsn"), ("--jsn", "hint: yoi service")),
    Mistake("no service of that name", ("service", "status", "nope"),
            ("nope", "hint: yoi service list"), host=True),
    Mistake("no worker of that name", ("worker", "show", "nope"),
            ("nope", "hint: yoi worker list"), host=True),
    Mistake("two hosts in one workspace", ("serve", "--port", "0"), ("control.in_use", "host"),
            host=True),
    Mistake("a token may send unknown commands", ("token", "create", "t", "--allow", "anything"),
            ("anything", "approve, cancel, compact")),
    Mistake("a token's end is no time", ("token", "create", "t", "--expires", "soon"),
            ("soon", "hint: write 45m")),
    Mistake("a worker's table is faulty", ("doctor",),
            (r"line \d+ of yoi\.toml", "modle", "yoi trust"),
            appended(".yoi/yoi.toml", '\n[[workers]]\nname = "w"\nmodle = "openai:m"\n')),
)  # fmt: skip
