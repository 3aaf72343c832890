"""The exit statuses of `yoi`, from which docs/reference/exit-codes.md is generated."""

from enum import IntEnum

from yoi.errors import UsageError, YoiError


class Exit(IntEnum):
    """What the process tells the shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_HOST = 3
    DEFECT = 70
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "done, or the host drained and stopped as it was asked to",
    Exit.FAILED: "refused or failed: the error has a code (docs/reference/errors.md)",
    Exit.USAGE: "the command line cannot be carried out as written",
    Exit.NO_HOST: "no running host answers in this workspace; start one with `yoi serve`",
    Exit.DEFECT: "a defect in Yoi itself",
    Exit.INTERRUPTED: "interrupted from the keyboard",
}


def exit_for(error: YoiError) -> Exit:
    """Return the exit status that `error` stands for."""
    if error.code == "control.unreachable":
        return Exit.NO_HOST
    if isinstance(error, UsageError) and error.code == "usage.arguments":
        return Exit.USAGE
    return Exit.DEFECT if error.code == "usage.internal" else Exit.FAILED
