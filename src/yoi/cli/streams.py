"""The streams of the process: all three are there, and what they do not take has a name."""

import io
import os
import sys
from typing import TextIO


class Unwritten(OSError):
    """Stdout or stderr took no more, on a full disk for example; a reader that left is none."""


class _Printed(io.TextIOWrapper):
    """Text on its way to a terminal, pipe or file. Raises Unwritten."""

    def write(self, text: str, /) -> int:
        """Write `text` as far as nothing is held back."""
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise Unwritten(*exc.args) from None

    def flush(self) -> None:
        """Write what is held back."""
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise Unwritten(*exc.args) from None


def open_streams() -> None:
    """Open what the process was started without, and have both outputs print any character."""
    # Also so that no file that is opened later gets the number of a stream.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = _printed(sys.stdout, 1)
    sys.stderr = _printed(sys.stderr, 2)


def _printed(stream: TextIO | None, number: int) -> _Printed:
    given = stream if isinstance(stream, io.TextIOWrapper) else os.fdopen(number, "w")
    line_buffering, write_through = given.line_buffering, given.write_through
    return _Printed(
        given.detach(),
        given.encoding,
        # A terminal that cannot show a character must not end the command.
        "backslashreplace",
        line_buffering=line_buffering,
        write_through=write_through,
    )
