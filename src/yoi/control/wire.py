"""The control protocol: one JSON object per line over a Unix socket with mode 0600.

    request   {"method": "service.status", "params": {"name": "echo"}}
    answer    {"ok": ...}  or  {"error": {"code", "message", "hint"}}

Only the account that runs the host can connect. Between the machines of a cluster some methods go
another way, sealed: yoi.cluster.sealed_commands.
"""

import hashlib
import os
import socket
import struct
from pathlib import Path
from typing import Any

import msgspec

from yoi.errors import CODES, ControlError

HOST = "control"
"""The part of a workspace that runs its services and workers."""
BACKEND = "backend"
"""The part that only shows what runs elsewhere."""
_UNIX_PATH_BYTES = 100  # Linux allows 107, macOS 103


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One request."""

    method: str
    params: dict[str, Any] = {}


class Failure(msgspec.Struct):
    """Why a request was refused."""

    code: str
    message: str
    hint: str | None = None

    def error(self, where: str = "") -> ControlError:
        """Return it as an error whose message begins with `where`; its code is one of ours."""
        code = self.code if self.code in CODES else "control.refused"
        return ControlError(code, where + self.message, hint=self.hint)


class Answer(msgspec.Struct, omit_defaults=True):
    """One answer: exactly one of the first two is set."""

    ok: Any = None
    error: Failure | None = None
    machine: str = ""
    """The other machine of the deployment that carried the command out."""
    machines: dict[str, str] = {}
    """Of a list: the other machines' names, by the names of what they have."""
    silent: list[str] = []
    """Of a list: the machines that did not answer; what they have is not in it."""


def socket_path(workspace: Path, part: str = HOST) -> Path:
    """Return where that part of `workspace` listens.

    It is inside the workspace where the path is short enough for a Unix socket, otherwise in the
    account's private runtime directory under a name derived from the workspace.
    """
    path = workspace.resolve() / ".yoi" / "run" / f"{part}.sock"
    if len(os.fsencode(path)) <= _UNIX_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(workspace.resolve())).hexdigest()[:24]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "yoi" if runtime else Path(f"/tmp/yoi-{os.getuid()}")
    return folder / (f"{name}.sock" if part == HOST else f"{name}-{part}.sock")


def peer_account(sock: socket.socket) -> int | None:
    """Return the uid of the process at the other end, or None where the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", raw)
    return int(uid)
