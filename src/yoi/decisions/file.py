"""Read `.yoi/yoi.toml`: its bytes, its document and its entries, or why there are none."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from yoi.core.withdrawal import Reading
from yoi.decisions.entries import Entries, digest, entries_of, split
from yoi.decisions.port import Decisions, InForce
from yoi.display import shell_word
from yoi.errors import EnablementError, SecretError, YoiError
from yoi.folders import LeadsOut, held, others_may_write
from yoi.limits import LIMITS, Limits
from yoi.secrets.files import read_private
from yoi.toml import TomlFault, parse_toml

Check = Callable[[Mapping[str, Any]], object]
"""Raises YoiError for a document that is not usable as a whole."""


@dataclass(frozen=True)
class OperatorFile:
    """A yoi.toml that could be read; one that is not there says nothing."""

    workspace: Path
    content: bytes = b""
    document: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def entries(self) -> Entries:
        """What it says, entry by entry."""
        return entries_of(self.document)

    @property
    def digest(self) -> str:
        """What `--trust-digest` and `yoi trust --digest` take."""
        return digest(self.entries)

    @property
    def reading(self) -> Reading:
        """The same as the withdrawal rule reads it."""
        entries = {name: split(name, one) for name, one in self.entries.items()}
        return Reading(self.content, entries, source=_real(self.workspace))

    def in_force(self, decisions: Decisions) -> InForce:
        """Return what of it is in force. Raises TrustError."""
        return decisions.in_force(self.workspace, self.entries)


def operator_file(workspace: Path) -> Path:
    """Return where the operator's choices for `workspace` are written."""
    return workspace / ".yoi" / "yoi.toml"


def read_file(workspace: Path, limits: Limits = LIMITS) -> OperatorFile:
    """Return the yoi.toml of `workspace`. Raises EnablementError for one that cannot be used.

    Refused are a file of another account, one that others may write, and links that lead out of
    the workspace.
    """
    content = _read(workspace, limits)
    return OperatorFile(workspace, content, _document(content, operator_file(workspace)))


def look(workspace: Path, check: Check, limits: Limits = LIMITS) -> tuple[Reading, OperatorFile]:
    """Return the same for the withdrawal rule; a file that cannot be used is a fault in it."""
    content = b""
    try:
        content = _read(workspace, limits)
        document = _document(content, operator_file(workspace))
        check(document)
    except YoiError as exc:
        return Reading(content, fault=exc, source=_real(workspace)), OperatorFile(workspace)
    found = OperatorFile(workspace, content, document)
    return found.reading, found


def _read(workspace: Path, limits: Limits) -> bytes:
    path = operator_file(workspace)
    try:
        with held(path.parent):
            pass
    except LeadsOut as exc:
        raise EnablementError(
            "enablement.malformed", f"{path.parent} {exc.strerror}", hint=exc.hint, at=""
        ) from None
    except OSError:
        pass  # told below, of the file
    real = Path(_real(workspace))
    if not real.is_relative_to(os.path.realpath(workspace)):
        raise EnablementError(
            "enablement.malformed",
            f"{path} leads out of the workspace, to {real}",
            hint="put a copy in its place: "
            f"cp --remove-destination {shell_word(real)} {shell_word(path)}",
            at="",
        )
    try:
        found = os.stat(real)
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise EnablementError(
            "enablement.malformed", f"{path}: {exc.strerror or type(exc).__name__}", at=""
        ) from None
    _refuse_others(found, real)
    try:
        return read_private(real, limits.operator_config_bytes) or b""
    except SecretError as exc:
        raise EnablementError("enablement.malformed", exc.message, at="") from None


def _real(workspace: Path) -> str:
    return os.path.realpath(operator_file(workspace))


def _refuse_others(found: os.stat_result, path: Path) -> None:
    """Raise for a file that another account than this one and root could have written."""
    if found.st_uid not in (os.geteuid(), 0):
        raise EnablementError(
            "enablement.malformed",
            f"{path} belongs to another account",
            hint=f"look at it, then: sudo chown {os.geteuid()} {shell_word(path)}",
            at="",
        )
    if others_may_write(found) and stat.S_ISREG(found.st_mode):
        raise EnablementError(
            "enablement.malformed",
            f"{path} can be written by other accounts",
            hint=f"look at it, then: chmod go-w {shell_word(path)}",
            at="",
        )


def _document(content: bytes, path: Path) -> dict[str, Any]:
    try:
        return parse_toml(content)
    except TomlFault as exc:
        raise EnablementError(
            "enablement.toml", f"{path.name}: {exc.message}", at="", line=exc.line
        ) from None
