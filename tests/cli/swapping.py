"""Swap a folder of a workspace for a link while a command works, before each thing that it does.

    python -m tests.cli.swapping [--all]

A program of its own, for an audit hook stays until its process ends. `--all` swaps before every
operation on files, else before those that make, rename, write or remove something. The last line is
JSON: `tried`, `outside` (what was changed where the link leads), `untyped` (ends without a code).
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoi.cli.main import run
from yoi.testing.trusting import trust_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

_EVENTS = {
    *("open", "sqlite3.connect", "socket.bind", "os.listdir", "os.scandir"),
    *("os.mkdir", "os.rename", "os.remove", "os.link", "os.chmod"),
}
_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
WORKER = '[[workers]]\nname = "t"\nmodel = "scripted"\nscript = [{ say = "x" }]\n'
SECRET = "0123456789abcdefg"


class Attack:
    """One workspace and account, put back before every try."""

    def __init__(self, base: Path, *, all_operations: bool) -> None:
        self._all = all_operations
        self.base, self.workspace, self.outside = base, base / "ws", base / "outside"
        self._before: Callable[[], bool] | None = None
        """Called before each operation; returns whether it is done."""
        self.tried, self.changed, self.untyped = 0, list[str](), list[str]()
        for name in ("STATE", "CONFIG", "DATA"):
            os.environ[f"XDG_{name}_HOME"] = str(base / name.lower())
        self.workspace.mkdir()
        os.chdir(self.workspace)
        self._make()
        sys.addaudithook(self._hear)

    def _make(self) -> None:
        self._yoi("plugin", "new", "tool", self.base / "made" / "adder")
        (self.workspace / ".yoi").mkdir()
        (self.workspace / ".yoi" / "yoi.toml").write_text(WORKER)
        trust_workspace(self.workspace)
        plugin = self.base / "made" / "adder"
        for words in (
            ("plugin", "enable", plugin, "--grant-requested", "--yes"),
            ("token", "create", "me", "--observe", "*/*/*"),
            ("secret", "set", "one", "--stdin"),
            ("ticket", "new", "a", "-m", "b"),
        ):
            status, said = self._yoi(*words)
            assert status == 0, said
        (plugin / "more.py").write_text("x = 1\n")
        (self.item,) = (one.name for one in (self.workspace / ".yoi" / "tickets").iterdir())
        for name in ("ws", "state"):
            shutil.copytree(self.base / name, self.base / "first" / name)

    def commands(self) -> list[tuple[str | Path, ...]]:
        """Return the commands, each with its words."""
        enable = ("plugin", "enable", self.base / "made" / "adder", "--grant-requested", "--yes")
        return [
            enable,
            ("plugin", "enable", "project:adder", "--as", "b", "--grant-requested", "--yes"),
            ("plugin", "disable", "adder", "--yes"),
            ("token", "create", "you", "--observe", "*/*/*"),
            ("token", "revoke", "me"),
            ("secret", "set", "two", "--stdin"),
            ("secret", "remove", "one"),
            ("ticket", "new", "b", "-m", "c"),
            ("ticket", "comment", self.item, "-m", "c"),
        ]

    def attack(self, command: tuple[str | Path, ...], target: str) -> None:
        """Run `command` once for each moment, with `target` swapped for a link in that moment."""
        moments = self._moments(command)
        for moment in range(moments):
            self._reset()
            place = self.workspace / target
            shutil.copytree(place, self.outside)
            before, left = _snapshot(self.outside), moment

            def swap(place: Path = place) -> bool:
                nonlocal left
                left -= 1
                if left >= 0:
                    return False
                place.rename(self.workspace / "moved")
                place.symlink_to(self.outside)
                return True

            self._before = swap
            status, said = self._yoi(*command)
            self._before = None
            self.tried += 1
            title = f"{' '.join(map(str, command[:2]))}, {target}, moment {moment} of {moments}"
            if _snapshot(self.outside) != before:
                self.changed.append(title)
            if status and not _code(said):
                self.untyped.append(f"{title}: {said[-300:]}")

    def _moments(self, command: tuple[str | Path, ...]) -> int:
        count = 0

        def tally() -> bool:
            nonlocal count
            count += 1
            return False

        self._reset()
        self._before = tally
        self._yoi(*command)
        self._before = None
        return count

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        act = self._before
        if act is None or event not in _EVENTS:
            return
        if event == "open" and not self._all and not arguments[2] & _CHANGING:
            return
        if event == "open" and str(arguments[0]).startswith((sys.prefix, sys.base_prefix, "/proc")):
            return
        self._before = None  # what it does itself is not heard
        if not act():
            self._before = act

    def _yoi(self, *words: str | Path) -> tuple[int, str]:
        said = io.StringIO()
        sys.stdin = io.StringIO(SECRET)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = run([*map(str, words), "--json"])
        return int(status), said.getvalue()

    def _reset(self) -> None:
        shutil.rmtree(self.outside, ignore_errors=True)
        for name in ("ws", "state"):
            for one in (self.base / name).iterdir():
                one.unlink() if one.is_symlink() else shutil.rmtree(one)
            shutil.copytree(self.base / "first" / name, self.base / name, dirs_exist_ok=True)


def _code(said: str) -> str:
    with contextlib.suppress(ValueError, KeyError):
        code = str(json.loads(said)["error"]["code"])
        return "" if code == "usage.internal" else code
    return ""


def _snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return what is below `folder`: the same files with the same content and modes."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_ino,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def main() -> None:
    """Attack every command; print what was found."""
    base = Path(tempfile.mkdtemp(prefix="yoi-swapping-"))
    try:
        attack = Attack(base, all_operations="--all" in sys.argv)
        for command in attack.commands():
            own = {"ticket": ".yoi/tickets", "plugin": ".yoi/plugins"}.get(str(command[0]))
            for target in (".yoi", own):
                if target is not None:
                    attack.attack(command, target)
    finally:
        os.chdir("/")
        shutil.rmtree(base)
    found = {"tried": attack.tried, "outside": attack.changed, "untyped": attack.untyped}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
