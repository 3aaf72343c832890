"""The client of the control socket, blocking, for the command line and scripts."""

import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from yoi.control.wire import HOST, Answer, Request, peer_account, socket_path
from yoi.errors import ControlError
from yoi.limits import LIMITS


def call(workspace: Path, method: str, **params: Any) -> Any:
    """Return what the running host of `workspace` answers to `method`.

    Raises ControlError: `control.unreachable` when no host runs, otherwise the host's own code.
    """
    return ask_part(HOST, workspace, method, params)


def ask_part(part: str, workspace: Path, method: str, params: dict[str, Any]) -> Any:
    """Return what that part of `workspace` answers; otherwise as `call`."""
    return answer_of(part, workspace, method, params).ok


def answer_of(part: str, workspace: Path, method: str, params: dict[str, Any]) -> Answer:
    """Return the whole answer, which says also what other machines have to do with it."""
    path = socket_path(workspace, part)
    line = msgspec.json.encode(Request(method, params)) + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(LIMITS.control_ms / 1000)
            sock.connect(str(path))
            if peer_account(sock) not in (os.getuid(), 0, None):
                raise ControlError(
                    "control.socket", f"{path} belongs to another account; nothing was sent"
                )
            sock.sendall(line)
            with sock.makefile("rb") as answers:
                raw = answers.readline(LIMITS.control_response_bytes + 1)
    except (FileNotFoundError, ConnectionRefusedError):
        raise ControlError(
            "control.unreachable",
            f"no host is running in {workspace}",
            hint="start one with: yoi serve",
        ) from None
    except OSError as exc:
        raise ControlError(
            "control.unreachable",
            f"the running host did not answer: {exc.strerror or exc}",
            hint="it may be busy; try again, or see what it prints",
        ) from None
    try:
        answer = msgspec.json.decode(raw, type=Answer)
    except RecursionError:
        raise ControlError("control.refused", "the answer is nested too deeply") from None
    except msgspec.DecodeError:
        raise ControlError(
            "control.unreachable",
            "the running host hung up",
            hint="what it prints says why; try again, or start it again with: yoi serve",
        ) from None
    if answer.error is not None:
        raise answer.error.error()
    return answer
