"""Where a command's answer goes: words and tables for people, one JSON document for programs.

Strings from packages, gateways and guests pass through `shown`; no string is ever read as markup.
JSON is written in ASCII, so that a C1 or bidi character inside it cannot act on a terminal either.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from yoi.cli.elsewhere import ELSEWHERE
from yoi.display import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_PATIENCE_SECONDS = 1.0
_READ_CHARS = 1024
_PIPE_COLUMNS = 100
"""Width where no terminal states one, so that what a pipe gets does not depend on the machine."""


class Output:
    """The two faces of one command's answer; `command` is repeated in the JSON."""

    def __init__(self, command: str, as_json: bool) -> None:
        self.command = command
        self.as_json = as_json

    def show(self, data: Mapping[str, Any], render: "Callable[[], RenderableType]") -> None:
        """Print the answer: `data` for programs, what `render` returns for people."""
        if self.as_json:
            print(document({"command": self.command, **data, **ELSEWHERE.document()}))
        else:
            self.before(render)
            self._name_machines()

    def before(self, render: "Callable[[], RenderableType]") -> None:
        """Print what a person should read before the answer; programs get it in the answer."""
        if not self.as_json:
            # Not cropped: lines that must survive copying are longer than the screen.
            console().print(render(), crop=False)

    def line(self, data: Mapping[str, Any], render: "Callable[[], RenderableType]") -> None:
        """Print one answer of several: a JSON object on one line, or what `render` returns."""
        from rich.text import Text

        if self.as_json:
            print(json_line(data), flush=True)
            return
        self._name_machines()
        shape = render()
        # A line of text stays one line, so that a log can be searched.
        console().print(shape, soft_wrap=isinstance(shape, Text), crop=False)

    def note(self, words: str, style: str = "dim") -> None:
        """Tell a person something beside the answer, on stderr; programs are not told."""
        if not self.as_json:
            error_console().print(shown(words, 2048, style), soft_wrap=True)

    def _name_machines(self) -> None:
        for words, style in ELSEWHERE.news():
            self.note(words, style)

    @contextmanager
    def working(self, words: str) -> "Iterator[None]":
        """Say that something is under way: a spinner on a terminal, a line elsewhere after 1 s."""
        screen = error_console()
        if self.as_json:
            yield
        elif screen.is_terminal:
            with screen.status(shown(words)):
                yield
        else:
            with self.reassuring(f"{words} ...", _PATIENCE_SECONDS):
                yield

    @contextmanager
    def reassuring(self, words: str, seconds: float) -> "Iterator[None]":
        """Tell a person `words` if this has not ended after `seconds`."""
        timer = threading.Timer(seconds, self.note, (words,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


_NOT_PRINTED = (OSError, SystemExit)
"""SystemExit is what rich makes of a pipe that nobody reads any more."""


class HostOutput(Output):
    """What a running host prints: it goes on where that is not read, or a full disk takes none."""

    def line(self, data: Mapping[str, Any], render: "Callable[[], RenderableType]") -> None:
        """Print one line, as far as it can be printed."""
        with suppress(*_NOT_PRINTED):
            super().line(data, render)

    def note(self, words: str, style: str = "dim") -> None:
        """Tell a person something on stderr, as far as it can be told."""
        with suppress(*_NOT_PRINTED):
            super().note(words, style)


def shown(value: object, max_chars: int = 512, style: str = "") -> "Text":
    """Return `value` as text for a screen: escaped, on one line, never markup."""
    from rich.text import Text

    return Text(printable(str(value), max_chars), style=style)


def read_whole(words: str) -> "list[Text]":
    """Return `words` that a person is about to agree to; where they are cut, that is said."""
    row, missing = shown(words, _READ_CHARS), len(words) - _READ_CHARS
    if missing <= 0:
        return [row]
    said = f"    {missing:,} more characters are not shown: read them in .yoi/yoi.toml first"
    return [row, shown(said, style="bold yellow")]


def document(data: Any) -> str:
    """Return `data` as an indented, ASCII-only JSON document."""
    return json.dumps(plain(data), indent=2, ensure_ascii=True)


def json_line(data: Any) -> str:
    """Return `data` as ASCII-only JSON on one line."""
    return json.dumps(plain(data), ensure_ascii=True)


def plain(data: Any) -> Any:
    """Return `data` as JSON values; what JSON has no form for becomes its `str`."""
    import msgspec

    return msgspec.to_builtins(data, str_keys=True, enc_hook=str)


def console() -> "Console":
    """Return a console on stdout with colours only on a terminal, and no markup."""
    return _console(to_stderr=False)


def error_console() -> "Console":
    """Return a console on stderr, likewise."""
    return _console(to_stderr=True)


def _console(*, to_stderr: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    sized = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        file=stream,
        width=None if sized else _PIPE_COLUMNS,
        markup=False,
        highlight=False,
        emoji=False,
    )
