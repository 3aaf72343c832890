"""All processes of a run of histories: runtimes, backends, network, model, clients, witness."""

import asyncio
import contextlib
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from chaos.children import Child, module, yoi
from chaos.plan import BACKENDS, CROWDS, RUNTIMES
from chaos.workspaces import free_ports, write_backend, write_runtime

WITNESS = "w0"
_DEFECT = re.compile(rb"Traceback|a defect in Yoi|Task exception was never retrieved|RuntimeError")


class World:
    """Enter it: everything runs. Leave it: nothing does, whatever has happened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.children: dict[str, Child] = {}
        self.tokens: dict[str, dict[str, str]] = {}
        self.fell: list[str] = []
        """Processes that ended by themselves."""
        self._upstream: dict[str, str] = {}
        self._ports: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        """Make the workspaces and start everything; end it afterwards."""
        self.logs.mkdir(parents=True)
        try:
            await asyncio.to_thread(self._write)
            await asyncio.gather(*(child.start() for child in self.children.values()))
            yield self
        finally:
            ended = await asyncio.gather(
                *(child.stop() for child in self.children.values()), return_exceptions=True
            )
            for outcome in ended:
                if isinstance(outcome, Exception):
                    raise outcome

    def workspace(self, server: str) -> Path:
        """Return the workspace of a runtime or backend."""
        return self.folder / server

    def url(self, server: str) -> str:
        """Return where a server listens itself."""
        return f"http://127.0.0.1:{self._ports[server]}"

    def link_url(self, link: str) -> str:
        """Return where a link of the network listens."""
        return f"http://127.0.0.1:{self._ports[link]}"

    def upstream_token(self, runtime: str) -> str:
        """Return the token that a runtime gave its backends."""
        return self._upstream[runtime]

    def turn(self, link: str, mode: str) -> None:
        """Change a link of the network; `*` means all of them."""
        self.children["network"].tell({"link": link, "to": mode})

    def freeze(self, name: str) -> None:
        """Stop a process where it is."""
        self.children[name].send(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        self.children[name].send(signal.SIGCONT)

    def heal(self) -> None:
        """Open the network and let every process go on."""
        self.turn("*", "open")
        for name in self.children:
            self.thaw(name)

    def defects(self) -> list[str]:
        """Return who ended by itself, and the lines of servers' logs that none should have."""
        found = [f"{name} ended by itself" for name in self.fell]
        for name in (*RUNTIMES, *BACKENDS):
            log = self.logs / f"{name}.log"
            for line in log.read_bytes().splitlines() if log.exists() else ():
                if _DEFECT.search(line):
                    found.append(f"{name}: {line.decode(errors='replace')[:300]}")
        return found

    def _write(self) -> None:
        links = [f"{crowd}-{backend}" for crowd in CROWDS for backend in BACKENDS]
        links += [f"{backend}-{runtime}" for backend in BACKENDS for runtime in RUNTIMES]
        names = [*links, *RUNTIMES, *BACKENDS, "model"]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        for runtime in RUNTIMES:
            ways = [f"127.0.0.1:{self._ports[f'{backend}-{runtime}']}" for backend in BACKENDS]
            self._upstream[runtime] = write_runtime(
                self.workspace(runtime), runtime, self._ports[runtime], ways, self._ports["model"]
            )
        for backend in BACKENDS:
            upstreams = {
                runtime: (self._ports[f"{backend}-{runtime}"], self._upstream[runtime])
                for runtime in RUNTIMES
            }
            ways = [f"127.0.0.1:{self._ports[f'{crowd}-{backend}']}" for crowd in CROWDS]
            self.tokens[backend] = write_backend(
                self.workspace(backend),
                self._ports[backend],
                ways,
                upstreams,
                persist=backend == "kept",
            )
        network = {link: [self._ports[link], self._ports[link.partition("-")[2]]] for link in links}
        self._add("network", module("proxy", json.dumps(network)), talks=True)
        self._add("model", module("model", str(self._ports["model"])), talks=True)
        for server, command in [(one, "runtime") for one in RUNTIMES] + [
            (one, "backend") for one in BACKENDS
        ]:
            self._add(server, yoi(command, "--workspace", str(self.workspace(server))), talks=False)
        for crowd in (*CROWDS, WITNESS):
            self._add(crowd, module("clients"), talks=True)

    def _add(self, name: str, command: list[str], *, talks: bool) -> None:
        self.children[name] = Child(name, command, self.logs / f"{name}.log", talks=talks)
