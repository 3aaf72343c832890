"""The address printed by a process that can be watched."""

from typing import TYPE_CHECKING

from yoi.cli.output import Output, console

if TYPE_CHECKING:
    from yoi.host import BackendHost, Host


def watching_address(host: "Host | BackendHost", output: Output) -> str | None:
    """Return where to watch: on a terminal with a code that lets in once, elsewhere without.

    Where the output is not a terminal it is a log, which must not hold a code. None where `host`
    cannot be watched.
    """
    if output.as_json or not console().is_terminal:
        return host.url
    return host.new_console_url() or host.url
