"""How long a neighbour waits beside each flood: python -m hostile.floods [--only NAME]

Each flood is a plugin, or its server, that does what is allowed as fast as it can: everything is
valid, and much of it. One host for each: the neighbour first alone, then beside it. The last
line is JSON: of each flood its `p99_ms`, `quiet_p99_ms` and the `events` of the plugin that floods
(one that was stopped early harms nobody, and shows little); and `worst_ms`, `worst_times`.

`apart_p99_ms` of "answers" is what the machine itself takes: beside it another process asks the
same server as often, and reads the answers; the host has no part in it.
"""

import argparse
import asyncio
import contextlib
import http.client
import http.server
import json
import multiprocessing
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from websockets.asyncio.server import serve

from hostile.cases import Case
from hostile.run import p99
from hostile.world import World, private_home

_EVERY_S = 0.02
"""Between two frames of the server that floods."""
_MIB = 1 << 20
SECRETS = {
    f"secret-{at}": f"xoxb-{secrets.token_hex(12)}-{secrets.token_hex(8)}" for at in range(8)
}
"""What the two floods of masked frames are granted."""
_EMPTY_LISTS = ",".join(["[]"] * 170_000)

_FORGING = """
from yoi_pdk import Plugin
import yoi_runner.dispatch as d
LISTS = ",".join(["[]"] * 4000)
ANSWER = {before!r} + {middle} + {after!r} + "\\n"
class Hostile(Plugin):
    def on_text(self, event, ctx): d._answer = lambda head, bodies: ANSWER
    def on_event(self, event, ctx): return None
"""
_HEARING = """
from yoi_pdk import *
class Hostile(Plugin):
    def on_event(self, event, ctx):
        {opened}
    def on_text(self, event, ctx): return None
"""
_LISTS = "','.join(['[]'] * %d)"
_NUMBERED = "','.join('\"%%d\":%s' %% i for i in range(300_000))"
_ANSWERS = {
    "lists": ('[[["c","websocket_send",{"json":[', _LISTS % 1_300_000, "]}]]]"),
    "status": ('[[["c","diagnostic_status_update",{"status":{', _NUMBERED % "[]", "}}]]]"),
    "commands": ("[[", "','.join('[null,\"k%d\",{}]' % i for i in range(200_000))", "]]"),
    "keys": ('[[["c","websocket_send",{', _NUMBERED % "1", "}]]]"),
    "insertions": (
        "[[",
        '\',\'.join(\'[null,"websocket_send",{"json":{"d":[\' + LISTS + '
        '\']},"insert":[{"at":"/d/0","last":"zz"}]}]\' for i in range(64))',
        "]]",
    ),
    **{
        name: (
            "[[",
            f'\',\'.join([\'[null,"request",{{"target":"api","method":"GET",\''
            f'\'"path":"/{name}"}}]\'] * 64)',
            "]]",
        )
        for name in ("answers", "small_answers", "large_answers")
    },
}
"""What each forges: text, an expression for the guest to make text of, and text."""
_BODIES = {
    "/answers": f"[{_EMPTY_LISTS}]".encode(),
    "/small_answers": b"{}",
    "/large_answers": b"[" + b"[]," * (4 * _MIB // 3) + b"[]]",
}
"""What the server answers: all containers."""


def floods(api_port: int) -> list[Case]:
    """Return them; `api_port` is a server whose answers are all containers."""
    target = (
        f'[[request]]\nname = "api"\nscheme = "http"\nhost = "127.0.0.1"\nport = {api_port}\n'
        f'methods = ["GET"]\nmax_answer_bytes = {8 * _MIB}\n'
    )
    asking = 'permissions = [{ kind = "host_api", api = "request" }]\n' + target
    watched = '{"s":1,"x":[' + ",".join(["[]"] * 340_000) + "]}"
    last = ", ".join(f'{{ name = "n{at}", at = "/x/{at}" }}' for at in range(8))
    drop = 'on_full = "drop_oldest"\n'
    uses = "".join(
        f'[[secrets]]\nname = "{name}"\nconnection = "gateway"\nat = ["/{name}"]\n'
        for name in SECRETS
    )
    echoed = "".join(value for value in SECRETS.values())
    hearing = _HEARING.format(opened="return None")
    replying = _HEARING.format(
        opened='return Autoreply("gateway", when=("/s", 1), json={"n": None}, copy={"/n": "/x/7"})'
        " if isinstance(event, OpenEvent) else None"
    )
    return [
        *(
            Case(
                name,
                _FORGING.format(before=before, middle=middle, after=after),
                tables=asking if "answers" in name else "",
            )
            for name, (before, middle, after) in _ANSWERS.items()
        ),
        Case("watched", hearing, frame=watched, connection=f"last = [{last}]\n{drop}"),
        Case("autoreplies", replying, frame=watched, connection=drop),
        Case(
            "masked", hearing, frame=watched, connection=drop, tables=uses, secrets=tuple(SECRETS)
        ),
        Case(
            "echoed",
            hearing,
            frame=echoed * (_MIB // len(echoed)),
            connection=drop,
            tables=uses,
            secrets=tuple(SECRETS),
        ),
    ]


class Flood(World):
    """One flood beside the neighbour."""

    events = 0
    """What the plugin that floods was handed."""

    async def measure(self, seconds: float) -> tuple[float, float]:
        """Return the neighbour's p99 without and with it, in milliseconds."""
        (case,) = self.cases
        async with serve(self.gateway, "127.0.0.1", 0, compression=None) as server:
            self.write(server.sockets[0].getsockname()[1])
            for name in case.secrets:
                await _set_secret(self.workspace, name)
            asking = asyncio.create_task(self.neighbour.ask_on())
            try:
                await self.start()
                connected = self.gateway.sockets
                await self.until(lambda: len(self.neighbour.waits) > 50 and len(connected) == 2, 60)
                self.neighbour.taken()
                await asyncio.sleep(seconds)
                quiet = self.neighbour.taken()
                flooding = asyncio.create_task(self._flood(case))
                await asyncio.sleep(seconds)
                flooding.cancel()
                beside = self.neighbour.taken()
                seen = await asyncio.to_thread(self._seen, case.name)
                self.events = 0 if seen is None else seen["handled"]
                if not quiet or not beside:
                    raise SystemExit(f"{case.name}: the neighbour never answered")
                return p99(quiet), p99(beside)
            finally:
                asking.cancel()
                await self.stop()

    async def _flood(self, case: Case) -> None:
        while True:
            await self.gateway.send(case.name, case.frame)
            await asyncio.sleep(_EVERY_S)


class Apart(Flood):
    """A plugin that does nothing, and a process that asks `port` `rate` times a second."""

    def __init__(self, root: Path, port: int, rate: float) -> None:
        super().__init__(root, [Case("apart", _HEARING.format(opened="return None"))])
        self._asks = (port, rate)

    async def _flood(self, case: Case) -> None:
        asking = multiprocessing.get_context("spawn").Process(
            target=_ask, args=self._asks, daemon=True
        )
        asking.start()
        try:
            await asyncio.Event().wait()
        finally:
            asking.terminate()


def _ask(port: int, rate: float) -> None:
    """Ask and read, eight at once as a plugin may, until the process is ended."""

    def one_of_eight() -> None:
        due = time.monotonic()
        while True:
            client = http.client.HTTPConnection("127.0.0.1", port)
            client.request("GET", "/answers")
            json.loads(client.getresponse().read())
            client.close()
            due += 8 / rate
            time.sleep(max(0.0, due - time.monotonic()))

    for _ in range(8):
        threading.Thread(target=one_of_eight, daemon=True).start()
    threading.Event().wait()


async def _set_secret(workspace: Path, name: str) -> None:
    command = (sys.executable, "-m", "yoi.cli", "secret", "set", name, "--stdin")
    setting = await asyncio.create_subprocess_exec(
        *command,
        cwd=workspace,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await setting.communicate(SECRETS[name].encode())
    if setting.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {setting.returncode}")


class _Api(http.server.BaseHTTPRequestHandler):
    """Answers with what the path names."""

    def do_GET(self) -> None:
        """Answer a request of a flood."""
        body = _BODIES[self.path]
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve_api(port: Connection) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api)
    port.send(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def _api() -> Iterator[int]:
    """Yield the port of the server, a process: its threads do not hold up what measures."""
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe(duplex=False)
    server = spawning.Process(target=_serve_api, args=(there,), daemon=True)
    server.start()
    try:
        yield here.recv()
    finally:
        server.terminate()
        server.join()


async def _measured(case: Case, seconds: float) -> tuple[float, float, int]:
    with tempfile.TemporaryDirectory(prefix="yoi-flood-") as name:
        private_home(Path(name))
        flood = Flood(Path(name), [case])
        return *await flood.measure(seconds), flood.events


async def _measured_apart(port: int, rate: float, seconds: float) -> float:
    with tempfile.TemporaryDirectory(prefix="yoi-flood-") as name:
        private_home(Path(name))
        _, beside = await Apart(Path(name), port, rate).measure(seconds)
        return beside


def main() -> None:
    """Measure, print each, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="a flood's name; may be repeated")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each flood, and before it")
    arguments = parser.parse_args()
    told: dict[str, dict[str, float]] = {}
    worst_ms = worst_times = 0.0
    with _api() as port:
        for case in floods(port):
            if arguments.only and case.name not in arguments.only:
                continue
            quiet, beside, events = asyncio.run(_measured(case, arguments.seconds))
            print(f"{case.name:12} p99 {beside} ms, quiet {quiet} ms, {events} events", flush=True)
            told[case.name] = {"p99_ms": beside, "quiet_p99_ms": quiet, "events": events}
            if case.name == "answers" and events:
                apart = asyncio.run(
                    _measured_apart(port, events / arguments.seconds, arguments.seconds)
                )
                print(f"{'':12} p99 {apart} ms beside another process that asks as often")
                told[case.name] |= {"apart_p99_ms": apart}
            worst_ms = max(worst_ms, beside)
            worst_times = max(worst_times, beside / quiet if quiet else 0.0)
    worst = {"worst_ms": worst_ms, "worst_times": round(worst_times, 1)}
    print(json.dumps({**told, **worst}))


if __name__ == "__main__":
    main()
