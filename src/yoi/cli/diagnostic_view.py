"""Diagnostics as lines for people."""

from collections.abc import Iterable

from rich.text import Text

from yoi.cli.layout import moment, whole
from yoi.cli.output import shown
from yoi.protocol.diagnostics import Diagnostic


def counted(entries: Iterable[Diagnostic]) -> list[tuple[Diagnostic, int]]:
    """Return what was said alike once, at its latest, with how often."""
    found: dict[tuple[str, str, str], tuple[Diagnostic, int]] = {}
    for entry in entries:
        alike = (entry.code, entry.scope, entry.message)
        _, count = found.pop(alike, (entry, 0))
        found[alike] = (entry, count + 1)
    return list(found.values())


def diagnostic_line(entry: Diagnostic) -> Text:
    """Return one diagnostic on one line."""
    style = {"error": "red", "warning": "yellow"}.get(entry.severity, "")
    return whole(
        Text.assemble(
            shown(moment(entry.at), style="dim"),
            " ",
            shown(entry.scope, style="bold"),
            " ",
            shown(entry.message, 1024, style),
            shown(f" [{entry.code}]", style="dim"),
        )
    )


def trace_lines(entry: Diagnostic) -> list[Text]:
    """Return the plugin's own lines that led to the failure, innermost last."""
    trace = entry.fields.get("trace")
    if not isinstance(trace, str):
        return []
    return [whole(shown(f"    {row}", 1024, "dim")) for row in trace.splitlines() if row]


def hint_lines(entry: Diagnostic) -> list[Text]:
    """Return what to do about a diagnostic, each of its lines as one."""
    rows = (entry.hint or "").splitlines()
    return [
        shown(("          " if at else "    hint: ") + row, 1024, "cyan")
        for at, row in enumerate(rows)
    ]
