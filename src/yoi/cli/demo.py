"""`yoi demo`: a whole story in a few seconds, told by the real commands and real processes."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yoi.cli.exits import Exit
from yoi.cli.options import JsonLines
from yoi.cli.output import Output, console, json_line, shown
from yoi.display import shell_word
from yoi.errors import YoiError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from yoi.cli.demo_processes import Gateway, Host, Onlooker

_PORT = "127.0.0.1:8765"
"""Where the example looks for its gateway; the demo's copy gets the gateway's own port."""
_SECONDS_OF_FRAMES = 3.0
_READY_SECONDS = 180.0
"""Long enough to build and compile the runner on a slow machine."""
_STORY_SECONDS = 90.0
_LOOK_SECONDS = 0.1
_SEEN_SECONDS = 10.0
_WATCHED = ("notice.gap", "notice.closed", "denied.")
"""What an observer outside the host must have seen, each as often as the host reported it."""
_DARK_SECONDS = 0.3
"""How long the gateway stays dead."""


def demo(
    frames: Annotated[
        int, typer.Option(min=50, max=100_000, metavar="N", help="How many frames to exchange.")
    ] = 1000,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's workspace and say where it is.")
    ] = False,
    as_json: JsonLines = False,
) -> int:
    """Pack, review, enable and serve a plugin; kill its gateway midway; account for every frame."""
    output = Output("demo", as_json)
    with _ended_by_sigterm(), _workspace(keep) as folder:
        story = Story(output, folder, frames)
        try:
            result = story.tell()
        finally:
            story.clean_up()
        if keep:
            output.note(f"the workspace is still there: {folder}")
    print(json_line(result))
    return Exit.OK if result["ok"] else Exit.FAILED


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that no process of the demo outlives it."""

    def unwind(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _workspace(keep: bool) -> Iterator[Path]:
    from yoi.decisions.folder import VARIABLE

    folder = Path(tempfile.mkdtemp(prefix="yoi-demo-"))
    if keep:
        yield folder
        return
    # What is decided in the demo ends with it, and needs no home.
    state, before = tempfile.mkdtemp(prefix="yoi-demo-state-"), os.environ.get(VARIABLE)
    os.environ[VARIABLE] = state
    try:
        yield folder
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
        for made in (folder, state):
            shutil.rmtree(made, ignore_errors=True)


class Story:
    """The demo, one scene after the other."""

    def __init__(self, output: Output, folder: Path, frames: int) -> None:
        self._output = output
        self._folder = folder
        self._frames = frames
        self._gateway: Gateway | None = None
        self._host: Host | None = None
        self._onlooker: Onlooker | None = None

    def tell(self) -> dict[str, Any]:
        """Play every scene and return the account, `ok` last."""
        began = time.monotonic()
        self._prepare_runner()
        gateway = self._start_gateway()
        self._enable(gateway.port)
        host = self._serve()
        onlooker = self._watch()
        status = self._exchange(gateway, host)
        seen = self._seen(onlooker, host)
        exit_status = host.stop()
        account = self._account(gateway, host, status, exit_status, time.monotonic() - began)
        sound = account.pop("ok") and seen["watch_complete"]
        return {**account, **seen, "ok": sound}

    def clean_up(self) -> None:
        """End every process, whatever happened."""
        if self._onlooker is not None:
            self._onlooker.stop()
        if self._host is not None:
            self._host.stop()
        if self._gateway is not None:
            self._gateway.kill()

    def _prepare_runner(self) -> None:
        words = "preparing the Python runner (the first run on a machine builds it, about 15 s)"
        with self._output.working(words):
            from yoi.limits import LIMITS
            from yoi.runtime.paths import cache_dir
            from yoi.sandbox import Sandbox

            box = Sandbox(LIMITS, cache_dir())
            try:
                box.warm_up()
            finally:
                box.close()

    def _start_gateway(self) -> "Gateway":
        from yoi.cli.demo_processes import Gateway

        self._gateway = Gateway(
            self._folder,
            frames=self._frames,
            rate=self._frames / _SECONDS_OF_FRAMES,
            try_other=self._frames // 10,
            max_seconds=_STORY_SECONDS,
        )
        self._gateway.start()
        self._scene(f"A chat gateway listens on port {self._gateway.port}, in its own process")
        return self._gateway

    def _enable(self, port: int) -> None:
        source = self._folder / "echo"
        shutil.copytree(example_folder(), source, ignore=shutil.ignore_patterns("__pycache__"))
        manifest = source / "plugin.toml"
        manifest.write_text(manifest.read_text().replace(_PORT, f"127.0.0.1:{port}"))
        self._scene("The example plugin, packed from its source")
        package = self._folder / "echo.yoi-plugin"
        self._yoi("plugin", "pack", source, "--output", package)
        self._scene("Its review; you would be asked, the demo says yes")
        self._yoi("plugin", "enable", package, "--grant-requested", "--yes")

    def _serve(self) -> "Host":
        from yoi.cli.demo_processes import Host

        self._scene("yoi serve")
        self._host = host = Host(self._folder)
        self._wait(lambda: host.ready is not None, _READY_SECONDS, "the host to be ready")
        ready = host.ready or {}
        if ready.get("running") != ["echo"]:
            words = [entry["message"] for entry in host.diagnostics[-3:]]
            raise YoiError("service.not_running", "the plugin did not start: " + "; ".join(words))
        return host

    def _watch(self) -> "Onlooker":
        """Begin to watch from outside, as `yoi watch service:echo` in another terminal."""
        from yoi.cli.demo_processes import Onlooker

        self._say("$ yoi watch service:echo")
        self._onlooker = onlooker = Onlooker(self._folder, "echo")
        self._wait(onlooker.begun.is_set, _READY_SECONDS, "somebody to watch")
        return onlooker

    def _seen(self, onlooker: "Onlooker", host: "Host") -> dict[str, Any]:
        """Return what was seen from outside, once it is all that the host said since."""
        told = [e["code"] for e in host.diagnostics if e["code"].startswith(_WATCHED)]
        until = time.monotonic() + _SEEN_SECONDS
        while True:
            seen = [code for code in onlooker.diagnostics if code.startswith(_WATCHED)]
            if seen == told or time.monotonic() > until:
                break
            time.sleep(_LOOK_SECONDS)
        onlooker.stop()
        self._scene("Seen from outside, live")
        self._say(f"{onlooker.events} events, among them {', '.join(sorted(set(seen)))}")
        return {"watch_events": onlooker.events, "watch_complete": seen == told and bool(seen)}

    def _exchange(self, gateway: "Gateway", host: "Host") -> dict[str, Any]:
        """Run until the gateway is done, killing it once; return the last status of the service."""
        self._scene(f"{self._frames} frames; midway the gateway is killed and started again")
        status: dict[str, Any] = {}
        killed = False
        with self._table() as update:
            until = time.monotonic() + _STORY_SECONDS
            while not gateway.ended and time.monotonic() < until and not host.ended:
                if not killed and gateway.report["sent"] >= self._frames // 2:
                    killed = True
                    gateway.kill()
                    status = self._look() or status
                    update(gateway.report, status, "killed")
                    time.sleep(_DARK_SECONDS)
                    gateway.start()
                status = self._look() or status
                update(gateway.report, status, "running again" if killed else "running")
                time.sleep(_LOOK_SECONDS)
            status = self._look() or status
            update(gateway.report, status, "done")
        return status

    def _account(
        self,
        gateway: "Gateway",
        host: "Host",
        status: dict[str, Any],
        exit_status: int,
        seconds: float,
    ) -> dict[str, Any]:
        from yoi.cli.demo_verdict import Gap, settle

        gaps = [
            Gap(entry["fields"]["since_ms"], entry["fields"]["until_ms"])
            for entry in host.diagnostics
            if entry["code"] == "notice.gap"
        ]
        refusals = [entry for entry in host.diagnostics if entry["code"].startswith("denied.")]
        if refusals:
            self._scene("The send that nobody granted")
            for line in (refusals[0]["message"], *(refusals[0]["hint"] or "").splitlines()):
                self._say(line)
        report = gateway.final
        if report is None:
            raise YoiError(
                "usage.internal",
                f"the story did not end in time: {gateway.report['answered']} of {self._frames} "
                f"frames were answered; {host.complaint}",
                hint="yoi demo --keep, then read serve.log and gateway.log",
            )
        verdict = settle(report, gaps)
        connections = status.get("connections", [])
        denied = status.get("counters", {}).get("commands_denied", 0)
        reconnects = sum(connection["reconnects"] for connection in connections)
        return {
            "frames": verdict.frames,
            "frames_in": sum(connection["frames_in"] for connection in connections),
            **{key: value for key, value in dataclasses.asdict(verdict).items() if key != "frames"},
            "gaps": len(gaps),
            "reconnects": reconnects,
            "denied": denied,
            "p50_ms": report["p50_ms"],
            "p99_ms": report["p99_ms"],
            "duplicates": report["duplicates"],
            "reordered": report["reordered"],
            "host_exit_status": exit_status,
            "seconds": round(seconds, 1),
            "ok": verdict.sound
            and verdict.frames == self._frames
            and report["duplicates"] == 0
            and bool(gaps)
            and reconnects >= 1
            and denied >= 1
            and exit_status == 0,
        }

    def _look(self) -> dict[str, Any] | None:
        from yoi.cli.host_calls import ask

        try:
            answer = ask(self._folder, "service.status", name="echo")
        except YoiError:
            return None
        return answer if isinstance(answer, dict) else None

    def _wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        assert self._host is not None
        until = time.monotonic() + seconds
        while not done():
            if self._host.ended or time.monotonic() > until:
                raise YoiError(
                    "service.not_running",
                    f"waited in vain for {what}: {self._host.complaint}",
                    hint="yoi doctor",
                )
            time.sleep(_LOOK_SECONDS)

    def _yoi(self, *arguments: str | Path) -> None:
        """Run one real command, its words shown as they are."""
        sys.stdout.flush()
        quiet = subprocess.DEVNULL if self._output.as_json else None
        command = [sys.executable, "-m", "yoi.cli", *map(str, arguments)]
        self._say("$ yoi " + " ".join(map(shell_word, arguments)))
        if subprocess.run(command, cwd=self._folder, stdout=quiet, check=False).returncode:
            raise YoiError("usage.internal", f"yoi {arguments[0]} {arguments[1]} failed")

    def _scene(self, title: str) -> None:
        if not self._output.as_json:
            screen = console()
            screen.print()
            screen.print(shown(f"== {title}", style="bold"))

    def _say(self, words: str) -> None:
        if not self._output.as_json:
            console().print(shown(f"   {words}", 1024), soft_wrap=True)

    @contextlib.contextmanager
    def _table(self) -> "Iterator[Callable[[dict[str, Any], dict[str, Any], str], None]]":
        """Yield what shows the state of things: live on a terminal, at each change elsewhere."""
        from rich.live import Live

        if self._output.as_json:
            yield lambda report, status, state: None
            return
        screen = console()
        if screen.is_terminal:
            with Live(console=screen, auto_refresh=False) as live:
                yield lambda report, status, state: live.update(
                    _picture(report, status, state), refresh=True
                )
            return
        last = ""

        def update(report: dict[str, Any], status: dict[str, Any], state: str) -> None:
            nonlocal last
            if state != last:
                last = state
                screen.print(_picture(report, status, state))

        yield update


def example_folder() -> Path:
    """Return the source of the example plugin: shipped in a wheel, or beside a checkout's `src`."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_examples" / "echo", package.parents[1] / "examples" / "echo"):
        if (folder / "plugin.toml").is_file():
            return folder
    raise YoiError(
        "package.missing",
        "the example plugin is not part of this installation",
        hint="pip install --force-reinstall yoi",
    )


def _picture(report: dict[str, Any], status: dict[str, Any], state: str) -> "RenderableType":
    from yoi.cli.layout import table

    connections = status.get("connections", [])
    connection = connections[0] if connections else {}
    grid = table(
        "gateway", ">sent", ">answered", "connection", ">in", ">out", ">redials", ">gaps",
        ">refused", ">queue",
    )  # fmt: skip
    grid.add_row(
        shown(state, style="bold red" if state == "killed" else "green"),
        shown(report["sent"]),
        shown(report["answered"]),
        shown(connection.get("state", "")),
        shown(connection.get("frames_in", 0)),
        shown(connection.get("frames_out", 0)),
        shown(connection.get("reconnects", 0)),
        shown(connection.get("gaps", 0)),
        shown(status.get("counters", {}).get("commands_denied", 0)),
        shown(status.get("queue_depth", 0)),
    )
    return grid
