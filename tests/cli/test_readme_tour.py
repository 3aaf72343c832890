"""README's tour is run, and every line that it prints is a line that is printed, in its order.

What differs from run to run (times, counts, ports, digests, folders) may differ; `...` stands for
any text in a line, and alone on a line for any lines.
"""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
TOUR = README.read_text(encoding="utf-8").partition("## Sixty seconds of it")[2]
TOUR = TOUR.partition("## What is not there yet")[0]
SERVER = next(iter(re.findall(r"```python\n(import asyncio\n.*?)```", TOUR, re.S)))
HANDLER = next(iter(re.findall(r"```python\n(class Echo.*?)```", TOUR, re.S)))
PATIENCE_S = 120
ANY = "..."
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def shown() -> list[tuple[str, list[str]]]:
    """Return each command of the tour with the lines that README prints for it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", TOUR, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip() and found:
                found[-1][1].append(line)
    return found


def pattern(line: str) -> str:
    """Return a regular expression for a printed line."""
    volatile = (
        (TIME, TIME),
        (r"\d\d:\d\d:\d\d", r"\d\d:\d\d:\d\d"),
        (r"/home/you/work", r"/\S+"),
        (r"#code=\S+", r"#code=\S+"),
        (r"sha256:\S+", r"sha256:\S+"),
        (r"\.\.\.", r".*"),
        (r"[─═]+", r"[─═]+"),
        (r"\d+(?: m?s)? ago", r"\S+(?: \S+)? ago"),
        (r"\d+", r"\d+"),
        (r" +", r" +"),
    )
    made, rest = "", line.strip()
    while rest:
        for plain, regular in volatile:
            if found := re.match(plain, rest):
                made, rest = made + regular, rest[found.end() :]
                break
        else:
            made, rest = made + re.escape(rest[0]), rest[1:]
    return made


def lacking(expected: list[str], printed: str) -> str | None:
    """Return the first of the `expected` lines that was not printed in its place, else None."""
    lines = [line.strip() for line in printed.replace("\r", "").splitlines() if line.strip()]
    text, regular = "".join(f"{line}\n" for line in lines), r"(?:.*\n)*?"
    for line in expected:
        regular += r"(?:.*\n)*?" if line.strip() == ANY else pattern(line) + r"\n"
        if re.match(regular, text) is None:
            return line
    return None


@pytest.mark.parametrize(
    ("expected", "printed", "lacks"),
    [
        (["a 1", "b"], "a 22\nb\n", None),
        (["a", "b"], "a\nx\nb\n", "b"),
        (["a", "...", "b"], "a\nx\nb\n", None),
        (["b", "a"], "a\nb\n", "a"),
        (["digest sha256:81...6c"], "digest  sha256:0123", None),
        (["it is on"], "it is off", "it is on"),
    ],
)
def test_a_line_that_is_not_printed_is_found(expected, printed, lacks):
    assert lacking(expected, printed) == lacks


def plain(printed: bytes) -> str:
    """Return what a terminal was told as its text."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed.decode(errors="replace"))


class Tour:
    """A folder of a newcomer, with the server of README at a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "server.py").write_text(SERVER.replace("8765", str(self.port)))
        home = folder.parent / "home"
        home.mkdir()
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "XDG_CACHE_HOME")}
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        self.env = {**kept, "HOME": str(home), "XDG_CACHE_HOME": cache, "COLUMNS": "80"}
        self.env |= {"TERM": "xterm", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        self._ends = contextlib.ExitStack()
        self._said: dict[str, list[bytes]] = {}

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Run `python WORDS` beside the tour, on a terminal; its output is in `said(name)`."""
        ours, theirs = pty.openpty()
        with os.fdopen(theirs, "wb") as terminal:
            child = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
            )
        reader = threading.Thread(target=self._read, args=(ours, self._said.setdefault(name, [])))
        reader.start()
        self._ends.callback(reader.join)
        self._ends.callback(self.stop, child)
        return child

    @staticmethod
    def _read(terminal: int, said: list[bytes]) -> None:
        # The end of a terminal is an error on Linux.
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 65536):
                said.append(piece)
        os.close(terminal)

    @staticmethod
    def stop(child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        child.wait(PATIENCE_S)

    def said(self, name: str) -> str:
        return plain(b"".join(self._said[name]))

    def yoi(self, *words: str) -> str:
        """Return what a command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "yoi", *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def answering(self, answer: str, *words: str) -> str:
        """Return what a command prints on a terminal where a person types `answer`."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.execve(sys.executable, [sys.executable, "-m", "yoi", *words], self.env)
        out, answered = b"", False
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 65536):
                out += piece
                if not answered and out.endswith(b"]: "):
                    answered = os.write(terminal, f"{answer}\n".encode()) > 0
        os.close(terminal)
        os.waitpid(child, 0)
        return plain(out)

    def close(self) -> None:
        self._ends.close()


@pytest.fixture
def tour(tmp_path) -> Iterator[Tour]:
    folder = tmp_path / "work"
    folder.mkdir()
    made = Tour(folder)
    yield made
    made.close()


def until_printed(expected: list[str], look: Callable[[], str]) -> None:
    """Wait until every line is printed in its place."""
    ends = time.monotonic() + PATIENCE_S
    while (lacks := lacking(expected, look())) is not None and time.monotonic() < ends:
        time.sleep(0.1)
    assert lacks is None, f"README prints {lacks!r}; yoi printed:\n{look()}"


def test_every_printed_line_of_the_tour_is_real(tour):
    lines = dict(shown())
    assert list(lines) == [
        "yoi plugin new websocket mine",
        "yoi plugin enable ./mine",
        "yoi serve &",
        "yoi service list",
        "yoi watch",
        "yoi watch service:mine",
        "yoi service status mine",
        "yoi plugin dev mine",
    ]
    server = tour.start("server", "server.py")
    created = tour.yoi("plugin", "new", "websocket", "mine")
    assert lacking(lines["yoi plugin new websocket mine"], created) is None, created
    source = (tour.folder / "mine" / "plugin.py").read_text()
    for line in HANDLER.splitlines():
        assert line in source
    manifest = tour.folder / "mine" / "plugin.toml"
    manifest.write_text(manifest.read_text().replace("8765", str(tour.port)))

    enabled = tour.answering("y", "plugin", "enable", "./mine")
    assert lacking(lines["yoi plugin enable ./mine"], enabled) is None, enabled

    tour.start("serve", "-m", "yoi", "serve", "--port", "0")
    answered = lines["yoi serve &"].pop()
    for line in lines["yoi serve &"]:
        # What the log says and that the host is ready have no order.
        until_printed([line], lambda: tour.said("serve"))
    until_printed([answered], lambda: tour.said("server"))
    until_printed(lines["yoi service list"], lambda: tour.yoi("service", "list"))
    until_printed(lines["yoi watch"], lambda: tour.yoi("watch"))

    watching = lines["yoi watch service:mine"]
    tour.start("watch", "-m", "yoi", "watch", "service:mine")
    until_printed(watching[:1], lambda: tour.said("watch"))
    tour.stop(server)
    down = next(n for n, line in enumerate(watching) if "hint:" in line)
    until_printed(watching[: down + 1], lambda: tour.said("watch"))
    tour.start("server", "server.py")
    until_printed(watching, lambda: tour.said("watch"))

    decided = tour.folder / ".yoi" / "yoi.toml"
    table = r"\[\[plugins\.enabled\.grants\.websocket\]\]\n(?:[^\[\n].*\n?)*"
    decided.write_text(re.sub(table, "", decided.read_text(), count=1) + "\n# the end\n")
    status = lines["yoi service status mine"]
    until_printed(status, lambda: tour.yoi("service", "status", "mine"))

    code = tour.folder / "mine" / "plugin.py"
    code.write_text(code.read_text().replace("event.text", "event.txt"))
    tour.start("dev", "-m", "yoi", "plugin", "dev", "mine", "--grant-requested", "--yes")
    until_printed(["...", *lines["yoi plugin dev mine"]], lambda: tour.said("dev"))
