"""The backend as it is, over a runtime whose workers and services say what a test tells them to."""

import contextlib
import json
from pathlib import Path
from typing import Any

from tests.backend.in_process import CutSource

from yoi.backend.server import Backend
from yoi.backend.source import KINDS
from yoi.core.observation import BoardView, ServiceView, Stream, WorkerView
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.observation import BOARD_NAME, Hop, Subject, SubjectKind
from yoi.serving.hub import Hub
from yoi.serving.listeners import BackendSettings, Listen, ListenerSettings
from yoi.serving.principals import Principal
from yoi.types import SystemClock

RUNTIME = "local"
KEYS = CursorKeys(b"key1", {b"key1": b"k" * 32})


def greeting(name: str, **rest: Any) -> ev.Greeting:
    made: dict[str, Any] = {"provider": "offline", "model": "scripted", "tools": []}
    return ev.Greeting(worker_name=name, **{**made, **rest})


class Told:
    """One worker or service whose events are published by hand, as their JSON."""

    def __init__(self, subject: Subject, view: Any, epoch: bytes) -> None:
        self.stream: Stream[Any] = Stream(subject, view, epoch)
        self.kind = subject.kind
        self.encode: Any = KINDS[subject.kind].encode
        self._seq = 0

    def tell(self, event: str, data: Any = None) -> None:
        """Publish one payload."""
        payload = {"event": event} if data is None else {"event": event, "data": data}
        raw = json.dumps(payload).encode()
        made = KINDS[self.kind].decode(raw)
        self.stream.publish(made, self.encode(made))

    def place(self) -> dict[str, int]:
        """Return the next place in the history."""
        self._seq += 1
        return {"seq": self._seq, "at_ms": SystemClock().wall_ms()}

    def message(self, words: str) -> None:
        """Publish a person's message."""
        self.tell("user_message", {"segments": [{"kind": "text", "text": words}], **self.place()})


class LaterClock(SystemClock):
    """The real clock, but it can be another time of day."""

    def __init__(self) -> None:
        self.later_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.later_ms


class ConsoleWorld:
    """A runtime's streams, and a backend that can be stopped and started at the same port."""

    def __init__(self, workspace: Path, limits: Limits = LIMITS, *, persist: bool = True) -> None:
        self.clock = LaterClock()
        self.told: dict[Subject, Told] = {}
        self.runtime = Hub(Hop.RUNTIME, KEYS, self.clock)
        self.source = CutSource(RUNTIME, self.runtime, self._inventory)
        self.others = []
        self.commands: Any = None
        self._workspace = workspace
        self._limits = limits
        self._persist = persist
        self._backend: Backend | None = None
        self._port = 0
        (workspace / ".yoi").mkdir(exist_ok=True)

    def worker(self, name: str, **rest: Any) -> Told:
        """Return a new worker of that name; `rest` is of its greeting."""
        return self._add(Subject(SubjectKind.WORKER, name), WorkerView(greeting(name, **rest)))

    def service(self, name: str, status: dict[str, Any]) -> Told:
        """Return a new service of that name."""
        return self._add(Subject(SubjectKind.SERVICE, name), ServiceView(status))

    def board(self) -> Told:
        """Return the board."""
        return self._add(Subject(SubjectKind.BOARD, BOARD_NAME), BoardView())

    def link(self, principal: Principal | None = None) -> str:
        """Return an address with a fresh one-time code."""
        assert self._backend is not None
        return self._backend.new_console_url(principal)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start the backend, at the port of before if there was one."""
        listener = ListenerSettings(listen=Listen("127.0.0.1", self._port))
        backend = Backend(
            self._workspace,
            BackendSettings(listener=listener, persist=self._persist),
            [self.source, *self.others],
            self.clock,
            self._limits,
            commands=self.commands,
        )
        await backend.__aenter__()
        self._backend = backend
        self._port = int(backend.url.rpartition(":")[2])

    async def stop(self) -> None:
        """Stop it, as a process that is told to."""
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.__aexit__(None, None, None)

    def _add(self, subject: Subject, view: Any) -> Told:
        told = Told(subject, view, f"epoch{len(self.told):03}".encode())
        self.told[subject] = told
        self.runtime.add(told.stream, told.encode)
        return told

    def _inventory(self) -> dict[str, Any]:
        row = {
            SubjectKind.WORKER: _worker_row,
            SubjectKind.SERVICE: _service_row,
            SubjectKind.BOARD: _board_row,
        }
        return {
            f"{kind}s": [row[kind](told) for told in self.told.values() if told.kind is kind]
            for kind in SubjectKind
        }


def _worker_row(told: Told) -> dict[str, Any]:
    data = told.stream.snapshot().data
    return {
        "id": told.stream.subject.name,
        "status": data.status,
        "engine": "scripted",
        "approvals": len(data.waiting),
    }


def _board_row(told: Told) -> dict[str, Any]:
    items = told.stream.snapshot().data.items
    return {
        "id": told.stream.subject.name,
        "items": len(items),
        "undecided": sum(one.undecided for one in items),
    }


def _service_row(told: Told) -> dict[str, Any]:
    status = told.stream.snapshot().data.status
    links = status.get("connections", [])
    return {
        "id": told.stream.subject.name,
        "lifecycle": status.get("lifecycle", ""),
        "health": status.get("health", ""),
        "down_since": next((one["down_since"] for one in links if one.get("down_since")), None),
        "next_dial_at": next((one["next_dial_at"] for one in links if one["next_dial_at"]), None),
        "frames_in": sum(one["frames_in"] for one in links),
        "frames_out": sum(one["frames_out"] for one in links),
        "last_frame_at": max((one["last_frame_at"] or "" for one in links), default="") or None,
        "reference": status.get("reference", ""),
        "connections": len(links),
        "open": sum(link["state"] == "open" for link in links),
        "queue_depth": status.get("queue_depth", 0),
        "dead_letters": status.get("dead_letters", 0),
        "last_error": status.get("last_error"),
    }


@contextlib.asynccontextmanager
async def console_world(
    workspace: Path, limits: Limits = LIMITS, *, persist: bool = True, commands: Any = None
):
    """Yield a world whose backend listens."""
    world = ConsoleWorld(workspace, limits, persist=persist)
    world.commands = commands
    await world.start()
    try:
        yield world
    finally:
        await world.stop()
