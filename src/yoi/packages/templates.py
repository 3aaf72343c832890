"""`yoi plugin new`: start a plugin from a template. Nothing is fetched, run or enabled."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from yoi.display import printable, shell_word
from yoi.errors import PackageError
from yoi.packages.folder import io_error
from yoi.toml import SAFE_ID_WORDS, is_safe_id

TEMPLATES = {
    "websocket": "a service that answers messages on a host-owned WebSocket",
    "service": "a long-lived service with state that its tools share",
    "tool": "a tool that an agent may call",
}

_ID = b"@ID@"
_FOLDER = b"@FOLDER@"
"""The plugin's folder from the one above, as a word of a command."""


@dataclass(frozen=True, slots=True)
class Created:
    """What was made: the folder, its files by relative path, and the id it was given."""

    template: str
    destination: Path
    id: str
    files: tuple[str, ...]


def create_from_template(template: str, destination: Path, plugin_id: str | None = None) -> Created:
    """Make a plugin at `destination` from `template` (a key of `TEMPLATES`).

    The id defaults to the folder's name. The folder appears in one step, complete. Raises
    PackageError: `package.exists` for a destination that is not an empty folder or is a link,
    `package.missing` for an unknown template, `package.malformed` for an id that is not safe.
    """
    if template not in TEMPLATES:
        raise PackageError(
            "package.missing",
            f'there is no template "{template}"',
            hint="choose one of: " + ", ".join(TEMPLATES),
        )
    _check_free(destination)
    target = Path(os.path.abspath(destination))
    local_id = target.name if plugin_id is None else plugin_id
    if not is_safe_id(local_id):
        raise PackageError(
            "package.malformed",
            f'"{printable(local_id, 60)}" cannot be a plugin id: it must be {SAFE_ID_WORDS}',
            hint="name the folder differently, or give an id",
        )
    folder = os.fsencode(shell_word(f".{os.sep}{target.name}"))
    files = dict(_files(resources.files(__package__) / "_templates" / template, ""))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=target.parent))
        try:
            for path, content in files.items():
                file = made / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.replace(_ID, local_id.encode()).replace(_FOLDER, folder))
            made.chmod(0o755)
            # Takes the place of an empty folder, and fails on anything else.
            os.rename(made, target)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as exc:
        raise io_error(exc, str(destination)) from None
    return Created(template, destination, local_id, tuple(sorted(files)))


def _check_free(destination: Path) -> None:
    hint = "choose another folder"
    if destination.is_symlink():
        raise PackageError("package.exists", f"{destination} is a symbolic link", hint=hint)
    if not destination.exists():
        return
    if not destination.is_dir():
        raise PackageError("package.exists", f"{destination} is not a folder", hint=hint)
    try:
        occupied = bool(os.listdir(destination))
    except OSError as exc:
        raise io_error(exc, str(destination)) from None
    if occupied:
        raise PackageError("package.exists", f"{destination} is not empty", hint=hint)


def _files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for one in folder.iterdir():
        if one.name == "__pycache__":
            continue
        if one.is_dir():
            found += _files(one, f"{prefix}{one.name}/")
        else:
            found.append((prefix + one.name, one.read_bytes()))
    return found
