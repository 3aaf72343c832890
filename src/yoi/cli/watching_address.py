"""The address printed by a process that can be watched."""

from typing import TYPE_CHECKING

from yoi.cli.output import Output, console

if TYPE_CHECKING:
    from yoi.backend.server import Backend


def watching_address(backend: "Backend", output: Output) -> str:
    """Return where to watch: on a terminal with a code that lets in once, elsewhere without.

    What is not a terminal is a log, and a log is no place for a code.
    """
    if output.as_json or not console().is_terminal:
        return backend.url
    return backend.new_console_url()
