"""Printing what went wrong: the message, its stable code, and the next thing to do."""

import contextlib
from typing import Any

import typer

from yoi.cli.exits import Exit, exit_for
from yoi.cli.output import document, error_console, plain, shown
from yoi.defects import described
from yoi.display import printable
from yoi.errors import UsageError, YoiError


def report(error: YoiError, *, as_json: bool) -> Exit:
    """Print `error` (JSON on stdout, words on stderr) and return its exit status."""
    if as_json:
        print(document({"error": to_json(error)}))
    else:
        _print_words(error)
    return exit_for(error)


def to_json(error: YoiError) -> dict[str, Any]:
    """Return `error` as JSON values."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "fields": plain(dict(error.fields)),
    }


def from_typer(error: typer.TyperException, command: str) -> UsageError:
    """Return what the argument parser refused, as one of ours."""
    # The parser lists choices below each other.
    words = " ".join(error.format_message().split())
    return UsageError("usage.arguments", words, hint=f"{command} --help")


def no_completion(error: OSError) -> UsageError:
    """Return that the shell's own files could not be changed."""
    return UsageError(
        "usage.completion",
        f"{error.filename} cannot be changed: {error.strerror}",
        hint="yoi --show-completion prints what to add where your shell reads it",
    )


def defect(error: Exception) -> YoiError:
    """Return an unexpected exception as an error that says what to send."""
    return YoiError(
        "usage.internal",
        f"a defect in Yoi: {described(error)}: {printable(str(error), 300)}",
        hint="run it again with YOI_TRACEBACK=1 and report what it prints",
    )


def unwritten(error: OSError) -> Exit:
    """Say on stderr that stdout took no more, where that can be said; return the exit status."""
    said = UsageError("usage.output", f"the output cannot be written: {error.strerror or error}")
    with contextlib.suppress(OSError, ValueError):
        _print_words(said)
    return exit_for(said)


def _print_words(error: YoiError) -> None:
    screen = error_console()
    line = shown("error: ", style="bold red")
    line.append_text(shown(error.message, 2048, style=""))
    line.append_text(shown(f"  [{error.code}]", style="dim"))
    screen.print(line, soft_wrap=True)
    for one in error.fields.get("faults", ())[1:]:
        also = shown("       ")
        also.append_text(shown(one["message"], 2048, style=""))
        also.append_text(shown(f"  [{one['code']}]", style="dim"))
        screen.print(also, soft_wrap=True)
    at = error.fields.get("at")
    if at and str(at) not in error.message:
        screen.print(shown(f"  at: {at}"), soft_wrap=True)
    if error.hint:
        # A hint is something to copy: it is never wrapped.
        for index, row in enumerate(error.hint.splitlines()):
            screen.print(shown(("  hint: " if index == 0 else "        ") + row, 2048, "cyan"),
                         soft_wrap=True)  # fmt: skip
