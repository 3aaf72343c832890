"""What of yoi.toml waits for a decision, beside the answer of another command."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoi.cli.output import Output
from yoi.errors import ControlError, YoiError

if TYPE_CHECKING:
    from yoi.packages import Enablement


def pending(workspace: Path) -> list[dict[str, Any]]:
    """Return what is pending: as the running host sees it, else as the file says."""
    from yoi.control.client import call
    from yoi.decisions.file import read_file
    from yoi.decisions.port import AccountDecisions
    from yoi.decisions.words import pending_rows

    try:
        rows = call(workspace, "host.status").get("pending")
    except ControlError:
        rows = None
    if isinstance(rows, list):
        return rows
    return pending_rows(read_file(workspace).in_force(AccountDecisions()).pending)


def enablement(workspace: Path) -> "Enablement":
    """Return which plugins are enabled in force, and every fault of yoi.toml.

    Raises EnablementError for the file as a whole, and TrustError.
    """
    from yoi.decisions.file import operator_file, read_file
    from yoi.decisions.port import AccountDecisions
    from yoi.packages import Enablement

    file, path = read_file(workspace), operator_file(workspace)
    said = Enablement.of(file.document, path)
    found = Enablement.of(file.in_force(AccountDecisions()).document, path)
    return replace(found, diagnostics=said.diagnostics)


def mention_pending(workspace: Path, output: Output) -> list[dict[str, Any]]:
    """Tell a person what is pending and the command; return it for programs."""
    from yoi.decisions.words import pending_line

    try:
        rows = pending(workspace)
        line = pending_line(rows)
    except YoiError as exc:
        # The answer itself is not about the file.
        output.note(f"{exc.message}; {exc.hint or ''}".rstrip("; "), "yellow")
        return []
    if line is not None:
        output.note(line, "yellow")
    return rows
