"""Asking the running host of a workspace, and through it the other machines of its `[cluster]`."""

from pathlib import Path
from typing import Any

from yoi.cli.elsewhere import ELSEWHERE
from yoi.errors import ControlError


def ask(workspace: Path, method: str, **params: Any) -> Any:
    """Return the answer of the running host, or of the machine that it has asked.

    Where only `yoi backend` of a cluster runs, that asks. Raises ControlError.
    """
    from yoi.control.client import answer_of
    from yoi.control.wire import BACKEND, HOST

    try:
        answer = answer_of(HOST, workspace, method, params)
    except ControlError as exc:
        if exc.code != "control.unreachable" or not _backend_asks(workspace):
            raise
        answer = answer_of(BACKEND, workspace, method, params)
    ELSEWHERE.hear(answer)
    return answer.ok


def _backend_asks(workspace: Path) -> bool:
    """Return whether a backend runs here that asks the machines of a cluster."""
    from yoi.control.client import ask_part
    from yoi.control.wire import BACKEND

    try:
        ask_part(BACKEND, workspace, "host.status", {})
    except ControlError:
        return False
    return True


def host_runs(workspace: Path) -> bool:
    """Return whether a host answers in `workspace`, even if only with a refusal."""
    from yoi.control.client import call

    try:
        call(workspace, "host.status")
    except ControlError as exc:
        return exc.code != "control.unreachable"
    return True
