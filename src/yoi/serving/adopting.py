"""The files that the host writes into a workspace: whose they are, and taking over others."""

import sqlite3
from pathlib import Path

from yoi.errors import TrustError, YoiError
from yoi.journal import owner
from yoi.journal.sqlite_faults import aside
from yoi.limits import LIMITS, Limits
from yoi.serving import keys, tokens
from yoi.serving.private import PrivateFile

_DATABASES = {"journal.db": "logs", "state.db": "state", "observed.db": "logs"}
"""By its name, a table that each has which a host has made."""


def foreign_files(workspace: Path, id_: str, limits: Limits = LIMITS) -> list[Path]:
    """Return the files of the host in `workspace` that carry another id than `id_`, or none."""
    return [path for path in _files(workspace) if not _is_of(path, id_, limits)]


def adopt(workspace: Path, id_: str, limits: Limits = LIMITS) -> list[Path]:
    """Let every file of the host in `workspace` carry `id_`; return those that did not.

    Raises as `check_adoptable`; then none is changed.
    """
    found = foreign_files(workspace, id_, limits)
    check_adoptable(found, limits)
    for path in found:
        if path.name in _DATABASES:
            try:
                owner.adopt(path, id_)
            except sqlite3.Error as exc:
                raise _not_adoptable(path, str(exc)) from None
        else:
            file = _private(path, None, limits)
            with file.locked():
                file.adopt(id_)
    return found


def check_adoptable(found: list[Path], limits: Limits = LIMITS) -> None:
    """Raise TrustError where one of `found` is no file of a host's, or another account's."""
    for path in found:
        owner.check_account(path)
        if path.name not in _DATABASES:
            _private(path, None, limits).read()
            continue
        try:
            known = owner.has_table(path, _DATABASES[path.name])
        except sqlite3.Error as exc:
            raise _not_adoptable(path, str(exc)) from None
        if not known:
            raise _not_adoptable(path, "it is another program's")


def _not_adoptable(path: Path, why: str) -> TrustError:
    return TrustError("trust.foreign", f"{path} cannot be adopted: {why}", hint=aside(path))


def _files(workspace: Path) -> list[Path]:
    folder = workspace / ".yoi"
    names = (*_DATABASES, keys.FILE_NAME, tokens.FILE_NAME)
    return [folder / name for name in names if (folder / name).exists()]


def _is_of(path: Path, id_: str, limits: Limits) -> bool:
    try:
        owner.check_account(path)
        if path.name in _DATABASES:
            owner.check_file(path)
            return owner.is_of(path, id_)
        _private(path, id_, limits).read()
    except (YoiError, sqlite3.Error):
        return False
    return True


def _private(path: Path, id_: str | None, limits: Limits) -> PrivateFile:
    most = max(limits.keys_file_bytes, limits.tokens_file_bytes)
    return PrivateFile(path, most, _fault, limits, id_)


def _fault(message: str, hint: str | None) -> TrustError:
    return TrustError("trust.foreign", message, hint=hint)
