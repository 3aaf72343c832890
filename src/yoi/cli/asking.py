"""Questions to the person at the terminal, and what a command says where there is none."""

import sys

import typer

from yoi.errors import UsageError


def can_ask(*, as_json: bool) -> bool:
    """Return whether a person can read a question here and answer it."""
    return not as_json and sys.stdin.isatty() and sys.stderr.isatty()


def check_can_ask(*, as_json: bool, hint: str, before: str = "") -> None:
    """Raise UsageError where no person can be asked; `before` begins its words, `hint` its way out.

    Such a command waits for no answer that cannot come.
    """
    if not can_ask(as_json=as_json):
        raise UsageError(
            "usage.arguments",
            f"{before}nobody can be asked here (no terminal, or --json)",
            hint=hint,
        )


def confirm(question: str) -> None:
    """Ask on the terminal; raises UsageError `usage.aborted` unless the answer is yes."""
    if not typer.confirm(question, default=False, err=True):
        raise UsageError("usage.aborted", "nothing was changed")
