"""Where decisions are kept: a folder of this account alone, beside no workspace."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from yoi.display import shell_word
from yoi.errors import TrustError

VARIABLE = "YOI_STATE_HOME"
"""Names the folder where there is no home: system units, containers."""


def decisions_folder(environment: Mapping[str, str], home: Path) -> Path:
    """Return the account's folder: below YOI_STATE_HOME, or XDG_STATE_HOME, or ~/.local/state."""
    chosen = environment.get(VARIABLE, "")
    if chosen:
        if not chosen.startswith("/"):
            raise _unusable(Path(chosen), "is not an absolute path")
        return Path(chosen) / "decisions"
    base = environment.get("XDG_STATE_HOME", "")
    state = Path(base) if base.startswith("/") else home / ".local" / "state"
    return state / "yoi" / "decisions"


def workspace_key(workspace: Path | str) -> str:
    """Return the name under which this account's folders keep what is about `workspace`."""
    return hashlib.sha256(os.fsencode(os.path.realpath(workspace))).hexdigest()[:32]


def prepare(folder: Path, workspace: Path) -> None:
    """Make `folder` where it is missing, mode 0700. Raises TrustError as `check`."""
    _outside(folder, workspace)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(folder, exc.strerror or type(exc).__name__) from None
    check(folder, workspace)


def check(folder: Path, workspace: Path) -> bool:
    """Return whether `folder` is there. Raises TrustError (`trust.folder`) where it is not ours.

    That is: inside `workspace`, a link, of another account, or open to other accounts.
    """
    _outside(folder, workspace)
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _unusable(folder, exc.strerror or type(exc).__name__) from None
    if stat.S_ISLNK(found.st_mode):
        raise _unusable(folder, "it is a link")
    if not stat.S_ISDIR(found.st_mode):
        raise _unusable(folder, "it is not a folder")
    if found.st_uid != os.geteuid():
        raise _unusable(folder, "it belongs to another account")
    if found.st_mode & 0o077:
        command = f"chmod 700 {shell_word(folder)}"
        raise _unusable(folder, "it is open to other accounts", command)
    return True


def _outside(folder: Path, workspace: Path) -> None:
    real = Path(os.path.realpath(folder))
    if real.is_relative_to(os.path.realpath(workspace)):
        raise _unusable(folder, "it lies inside the workspace, which could then decide for itself")


def _unusable(folder: Path, why: str, hint: str | None = None) -> TrustError:
    return TrustError(
        "trust.folder",
        f"what was decided cannot be kept in {folder}: {why}",
        hint=hint or f"name another folder, for each command: export {VARIABLE}=/var/lib/yoi",
    )
