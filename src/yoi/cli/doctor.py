"""`yoi doctor`: is everything here that Yoi needs, and if not, what to do about it."""

from collections import Counter
from typing import TYPE_CHECKING

from yoi.cli.exits import Exit
from yoi.cli.options import Json, Workspace, workspace_folder
from yoi.cli.output import Output, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from yoi.cli.doctor_checks import Finding

_STYLE = {"ok": "green", "warn": "bold yellow", "fail": "bold red"}


def doctor(workspace: Workspace = None, as_json: Json = False) -> int:
    """Check this machine and workspace; the first run builds the Python runner (about 15 s)."""
    from yoi.cli.doctor_checks import CHECKS, DoctorScope

    output = Output("doctor", as_json)
    scope = DoctorScope(workspace_folder(workspace))
    findings = []
    for check in CHECKS:
        with output.working(f"checking {check.__name__.replace('_', ' ')}"):
            findings += check(scope)
    failed = any(finding.level == "fail" for finding in findings)
    output.show(
        {"workspace": str(scope.workspace), "ok": not failed, "checks": findings},
        lambda: render(findings),
    )
    return Exit.FAILED if failed else Exit.OK


def render(findings: "Sequence[Finding]") -> "RenderableType":
    """Return one line per finding, its fix below it, and the count."""
    from rich.text import Text

    from yoi.cli.layout import lines, whole

    parts: list[RenderableType] = []
    for one in findings:
        parts.append(
            whole(
                Text.assemble(
                    shown(f"{one.level:<5}", style=_STYLE[one.level]),
                    shown(f"{one.name:<14}", style="bold"),
                    shown(one.message, 1024),
                )
            )
        )
        if one.fix:
            parts.append(whole(shown(f"     fix: {one.fix}", 1024, "cyan")))
    count = Counter(finding.level for finding in findings)
    parts += [
        "",
        shown(f"{count['ok']} ok, {count['warn']} to look at, {count['fail']} failed"),
    ]
    return lines(parts)
