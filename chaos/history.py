"""One history in a world: trouble for a while, then peace, and what everybody has by then."""

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from chaos.children import yoi
from chaos.plan import BACKENDS, CROWDS, RUNTIMES, SERVICE, WORKERS, Act, Message, Plan, subjects
from chaos.transcript import read_frame
from chaos.watcher import Spec
from chaos.world import WITNESS, World
from yoi.control.client import call
from yoi.errors import YoiError

_PEACE_SECONDS = 90.0
_POLL_SECONDS = 0.15
_AGREE_MS = 400
_NOTE_SECONDS = 0.1


class Unsettled(Exception):
    """Peace did not come: some part is not what it should be in time."""


class History:
    """Runs `plan` in `world` and leaves everything to be checked in `folder`."""

    def __init__(self, world: World, plan: Plan, folder: Path) -> None:
        self.world, self.plan, self.folder = world, plan, folder
        self._specs = {
            crowd: [s for s in self._all() if s.client.startswith(crowd)] for crowd in CROWDS
        }
        self._witnesses = [self._witness(*subject) for subject in subjects()]
        self._began = 0.0

    async def run(self) -> None:
        """Run it. Raises Unsettled."""
        for place in ("clients", "witness"):
            (self.folder / place).mkdir(parents=True)
        self._write_setup()
        await self._settled()
        self._begin(WITNESS, resume=False)
        await self._until(self._witnesses_watch, "the witness watches")
        await self._until(self._ready, "the backends have found the runtimes")
        for crowd in CROWDS:
            self._begin(crowd, resume=False)
        await self._until(self._watching, "clients that are not late watch")
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as doing:
            for act in self.plan.acts:
                doing.create_task(self._later(act.at_ms, lambda act=act: self._do(act)))
            for one in self.plan.messages:
                doing.create_task(self._later(one.at_ms, lambda one=one: self._say(one)))
            for at_ms in range(_AGREE_MS, self.plan.window_ms, _AGREE_MS):
                doing.create_task(self._later(at_ms, self._agree))
            doing.create_task(self._later(self.plan.window_ms, self._nothing))
        await self._heal()
        await self._settled()
        for runtime in RUNTIMES:
            for worker in WORKERS[runtime]:
                await self._control(runtime, "worker.send", name=worker, text="the end")
        await self._settled()
        fresh = await self._at_rest()
        await self._end(fresh)

    def _all(self) -> list[Spec]:
        return [
            Spec(
                client=one.client,
                how=CROWDS[one.crowd],
                url=self.world.link_url(f"{one.crowd}-{one.backend}"),
                token=self.world.tokens[one.backend][one.shown],
                backend=one.backend,
                runtime=one.runtime,
                kind=one.kind,
                name=one.name,
                shown=one.shown,
                late_ms=one.late_ms,
                slow_ms=one.slow_ms,
                again=one.again,
            )
            for one in self.plan.clients
        ]

    def _witness(self, runtime: str, kind: str, name: str) -> Spec:
        return Spec(
            client=f"witness-{runtime}-{name}",
            how="socket",
            url=self.world.url(runtime),
            token=self.world.upstream_token(runtime),
            runtime=runtime,
            kind=kind,
            name=name,
        )

    def _write_setup(self) -> None:
        keys = ("client", "backend", "runtime", "kind", "name", "shown")
        clients = [
            {key: asdict(spec)[key] for key in keys}
            for specs in self._specs.values()
            for spec in specs
        ]
        witnesses = [
            {"witness": one.client, "subject": f"{one.runtime}/{one.kind}/{one.name}"}
            for one in self._witnesses
        ]
        setup = {"clients": clients, "witnesses": witnesses, "plan": asdict(self.plan)}
        (self.folder / "setup.json").write_text(json.dumps(setup))

    def _begin(self, crowd: str, *, resume: bool) -> None:
        witness = crowd == WITNESS
        specs = self._witnesses if witness else self._specs[crowd]
        place = self.folder / ("witness" if witness else "clients")
        self.world.children[crowd].tell(
            {
                "do": "begin",
                "folder": str(place),
                "clients": [asdict(spec) for spec in specs],
                "resume": resume,
            }
        )

    # Trouble

    async def _later(self, at_ms: int, do: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(max(0.0, self._began + at_ms / 1000 - time.monotonic()))
        await do()

    async def _nothing(self) -> None:
        pass

    async def _do(self, act: Act) -> None:
        world, whom, pause = self.world, act.whom, act.for_ms / 1000
        match act.what:
            case "kill":
                await self._down(whom, signal.SIGKILL, pause)
            case "restart":
                await self._down(whom, signal.SIGTERM, pause)
            case "forget_keys":
                await self._down(whom, signal.SIGKILL, pause, "observation.keys")
            case "forget_backlog":
                await self._down(
                    whom, signal.SIGKILL, pause, "observed.db", "observed.db-wal", "observed.db-shm"
                )
            case "rotate_keys":
                command = yoi("token", "rotate-keys", "--workspace", str(world.workspace(whom)))
                await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
                await self._down(whom, signal.SIGTERM, pause)
            case "freeze":
                world.freeze(whom)
                await asyncio.sleep(pause)
                world.thaw(whom)
            case "drop" | "nap":
                crowd = world.children[whom.partition("-")[0]]
                crowd.tell({"do": act.what, "client": whom, "ms": act.for_ms})
            case "cut" | "end":
                world.turn(whom, act.what)
            case mode:
                world.turn(whom, mode)
                await asyncio.sleep(pause)
                world.turn(whom, "open")

    async def _down(self, name: str, how: signal.Signals, pause: float, *lost: str) -> None:
        child = self.world.children[name]
        await child.end(how)
        for file in lost:
            (self.world.workspace(name) / ".yoi" / file).unlink(missing_ok=True)
        await asyncio.sleep(pause)
        await self._up(name)

    async def _up(self, name: str) -> bool:
        started = await self.world.children[name].start()
        if started and name in CROWDS:
            self._begin(name, resume=True)
        return started

    async def _say(self, said: Message) -> None:
        with contextlib.suppress(YoiError):
            if said.worker == SERVICE:
                asked = {"name": SERVICE, "tool": "note", "input": {"text": "canary-input"}}
                await self._control(said.runtime, "service.call", **asked)
            else:
                await self._control(said.runtime, "worker.send", name=said.worker, text=said.text)

    async def _agree(self) -> None:
        """Be the person who lets calls happen and workers go on."""
        for runtime in RUNTIMES:
            for worker in WORKERS[runtime]:
                await self._idle(runtime, worker)

    # Peace

    async def _heal(self) -> None:
        self.world.heal()
        for name in self.world.children:
            if await self._up(name):
                self.world.fell.append(name)
        for crowd in CROWDS:
            self.world.children[crowd].tell({"do": "hurry"})

    async def _settled(self) -> None:
        """Wait until every worker is there and has nothing left to do."""
        for runtime in RUNTIMES:
            for worker in WORKERS[runtime]:
                await self._until(lambda r=runtime, w=worker: self._idle(r, w), f"{worker} is idle")

    async def _idle(self, runtime: str, worker: str) -> bool:
        try:
            status = await self._control(runtime, "worker.status", name=worker)
            for one in status["approvals"]:
                await self._control(
                    runtime, "worker.approve", name=worker, item=one["item"], approved=True
                )
            if status["paused_by"] is not None or status["status"] == "paused":
                with contextlib.suppress(YoiError):
                    await self._control(runtime, "worker.resume", name=worker)
        except YoiError:
            return False
        return status["status"] == "idle" and not status["waiting"] and status["run"] is None

    async def _witnesses_watch(self) -> bool:
        places = await self.world.children[WITNESS].ask({"do": "places"})
        return len(places) == len(self._witnesses) and all(places.values())

    async def _at_rest(self) -> dict[str, str]:
        """Wait until every client is where its backend is; return the backends' snapshots."""
        fresh: dict[str, str] = {}

        async def same() -> bool:
            nonlocal fresh
            before, fresh = fresh, await self._fresh()
            if not fresh or _places(before) != _places(fresh) or await self._behind(fresh):
                return False
            # A backend that has not found its runtime again is at rest as well, but not at peace.
            return await self._newest(fresh)

        try:
            await self._until(same, "every client is where its backend is")
        except Unsettled:
            if not fresh:
                raise
        return fresh

    async def _ready(self) -> bool:
        fresh = await self._fresh()
        return bool(fresh) and await self._newest(fresh)

    async def _watching(self) -> bool:
        places: dict[str, str] = {}
        for crowd in CROWDS:
            places |= await self.world.children[crowd].ask({"do": "places"})
        punctual = [one.client for one in self.plan.clients if not one.late_ms]
        return all(places.get(client) for client in punctual)

    async def _newest(self, fresh: dict[str, str]) -> bool:
        for runtime in RUNTIMES:
            for worker in WORKERS[runtime]:
                watch = await self._control(runtime, "worker.watch", name=worker)
                await self._control(runtime, "worker.unwatch", watch=watch["watch"])
                newest = watch["snapshot"]["data"]["entries"][-1:]
                for backend in BACKENDS:
                    [shown] = read_frame(fresh[f"{backend}/{runtime}/worker/{worker}/full"])
                    if shown.payload["data"]["entries"][-1:] != newest:
                        return False
        return True

    async def _behind(self, fresh: dict[str, str]) -> list[str]:
        where = _places(fresh)
        late = []
        for crowd, specs in self._specs.items():
            places = await self.world.children[crowd].ask({"do": "places"})
            for spec in specs:
                if places.get(spec.client) not in ("over", where.get(_key(spec))):
                    late.append(spec.client)
        return late

    async def _fresh(self) -> dict[str, str]:
        """Return what new observers are shown, or nothing where one is not shown the latest."""
        asked = {}
        for backend in BACKENDS:
            for runtime, kind, name in subjects():
                url = f"{self.world.url(backend)}/api/runtimes/{runtime}/{kind}s/{name}/events/ws"
                for shown, token in self.world.tokens[backend].items():
                    key = f"{backend}/{runtime}/{kind}/{name}/{shown}"
                    asked[key] = _first_snapshot(url, token)
        found = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
        latest = {key: frame for key, frame in found.items() if frame is not None}
        return latest if len(latest) == len(found) else {}

    async def _end(self, fresh: dict[str, str]) -> None:
        own = {}
        for runtime in RUNTIMES:
            for worker in WORKERS[runtime]:
                own[f"{runtime}/worker/{worker}"] = await self._own(runtime, worker)
        await asyncio.sleep(0.05)
        for crowd in (*CROWDS, WITNESS):
            await self.world.children[crowd].ask({"do": "end"})
        # A service may have said one more thing (its status, an alert) while the clients ended.
        late = await self._fresh()
        (self.folder / "final.json").write_text(
            json.dumps({"fresh": fresh, "late": late, "own": own})
        )

    async def _own(self, runtime: str, worker: str) -> dict[str, Any]:
        watch = await self._control(runtime, "worker.watch", name=worker)
        await self._control(runtime, "worker.unwatch", watch=watch["watch"])
        history: list[Any] = []
        while True:
            after = history[-1]["seq"] if history else 0
            page = await self._control(runtime, "worker.history", name=worker, after=after)
            if not page["items"]:
                return {"snapshot": watch["snapshot"], "history": history}
            history += page["items"]

    async def _until(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = time.monotonic() + _PEACE_SECONDS
        while not await done():
            if time.monotonic() > deadline:
                raise Unsettled(f"not within {_PEACE_SECONDS:g} s: {what}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _control(self, runtime: str, method: str, **params: Any) -> Any:
        return await asyncio.to_thread(call, self.world.workspace(runtime), method, **params)


def _key(spec: Spec) -> str:
    return "/".join((spec.backend, spec.runtime, spec.kind, spec.name, spec.shown))


def _places(fresh: dict[str, str]) -> dict[str, str]:
    found = {}
    for key, frame in fresh.items():
        place = next(step.place for step in read_frame(frame) if step.kind == "snapshot")
        assert place is not None
        found[key] = f"{place.epoch}-{place.seq}"
    return found


async def _first_snapshot(url: str, token: str) -> str | None:
    """Return what a new observer is shown first; None unless it is a snapshot of what is so now."""
    try:
        async with (
            asyncio.timeout(10),
            connect(
                url.replace("http", "ws", 1),
                subprotocols=["yoi.observe.v1"],  # type: ignore[list-item]
                additional_headers={"Authorization": f"Bearer {token}"},
                proxy=None,
                max_size=None,
                compression=None,
                close_timeout=0.1,
            ) as wire,
        ):
            text = await wire.recv(decode=True)
            with contextlib.suppress(TimeoutError):
                # A backend that has lost its runtime says so at once, after the snapshot.
                async with asyncio.timeout(_NOTE_SECONDS):
                    if any(step.kind != "event" for step in read_frame(await wire.recv())):
                        return None
    except (OSError, TimeoutError, WebSocketException):
        return None
    return text if [step.kind for step in read_frame(text)] == ["snapshot"] else None
