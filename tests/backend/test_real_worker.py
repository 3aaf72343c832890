"""A real worker behind both hops, in one process and in two: what it says is what is seen."""

import contextlib

import pytest
from tests.backend.served import CLOCK, UPSTREAM_TOKEN, backend, token
from tests.backend.world import KEYS
from tests.workers.worlds import World, answers, run_ended, tool

from yoi.backend.local_source import LocalSource
from yoi.backend.remote_source import RemoteSource
from yoi.client import Event, Server, Snapshot, Target, affordances, approve, command, observe
from yoi.errors import ObserveError
from yoi.host.commands import LocalCommands
from yoi.protocol import events as ev
from yoi.protocol.observation import Subject, SubjectKind
from yoi.runtime.observation_app import ObservationRoutes
from yoi.runtime.observing import Observing
from yoi.serving.authenticator import Authenticator
from yoi.serving.names import ListenerNames
from yoi.serving.principals import EVERYTHING, Principal, PrincipalKind
from yoi.serving.server import ObservationServer, bind
from yoi.types import Secret
from yoi.workers import items as it
from yoi.workers.scripted import CallTool, Say

IDLE = ev.Status(ev.StatusData(status="idle"))


@contextlib.asynccontextmanager
async def source_of(worker, where: str):
    observing = Observing(KEYS, dict, CLOCK)
    observing.follow_workers([worker])
    async with served_source(observing, where) as source:
        yield source


@contextlib.asynccontextmanager
async def served_source(observing: Observing, where: str):
    """Yield what a runtime shows as a backend's source, in this process or over a socket."""
    if where == "local":
        yield LocalSource("r", observing.hub, observing.inventory, observing.refresh)
        return
    sock = bind("127.0.0.1", 0)
    host, port = sock.getsockname()
    principal = Principal(name="b", kind=PrincipalKind.UPSTREAM, observe=(EVERYTHING,))
    authenticator = Authenticator(
        ListenerNames.of(host, port, secure=False), {UPSTREAM_TOKEN: principal}.get
    )
    routes = ObservationRoutes(observing, authenticator)
    server = ObservationServer(routes.app(), routes.admit, observing.hub, clock=CLOCK)
    await server.start(sock)
    secret = Secret("upstream", UPSTREAM_TOKEN)
    try:
        yield RemoteSource("r", f"ws://{host}:{port}", lambda: secret, clock=CLOCK)
    finally:
        await server.close()


@pytest.mark.parametrize("where", ["local", "remote"])
async def test_a_run_is_seen_whole_and_its_fold_is_the_worker_s_own(tmp_path, where) -> None:
    key = token(tmp_path)
    async with (
        World(answers([Say("hello there")])) as world,
        source_of(world.worker, where) as source,
        backend(tmp_path, source) as served,
    ):
        subject = Subject(SubjectKind.WORKER, world.worker.name, "r")
        async with observe(Target(Server(served.url, Secret("t", key)), subject)) as watch:
            async for value in watch:
                if isinstance(value, Snapshot):
                    await world.worker.send("go")
                if isinstance(value, Event) and value.event == IDLE:
                    break
            assert watch.view.snapshot() == world.worker.snapshot()


async def test_a_token_that_may_approve_decides_and_history_says_who(tmp_path) -> None:
    may = token(tmp_path, "ops", commands=["approve", "send"])
    other = token(tmp_path, "night", commands=["approve"])
    script = answers([CallTool("pay", '{"text":"a"}')], [CallTool("pay", '{"text":"b"}')])
    async with (
        World(script, [tool("pay", "ask")]) as world,
        source_of(world.worker, "local") as source,
        backend(tmp_path, source, commands=LocalCommands("r", {"w": world.worker})) as served,
    ):
        subject = Subject(SubjectKind.WORKER, "w", "r")
        ops, night = (Target(Server(served.url, Secret("t", key)), subject) for key in (may, other))
        assert await affordances(ops) == ["approve", "send"]
        async with observe(ops) as watch:
            async for value in watch:
                if isinstance(value, Snapshot):
                    assert (await command(ops, "send", {"text": "go"})) == {"seq": 1}
                if isinstance(value, Event) and isinstance(value.event, ev.ApprovalRequest):
                    break
        waiting = value.event.data
        fits = [{"at": "/text", "one_of": ["a", "b"]}]
        await approve(ops, waiting.item, scope="matching", matches=fits, lasts_s=60)
        for target, item, code in (
            (night, waiting.item, "worker.decided"),
            (night, waiting.item + 1, "worker.no_approval"),
            (night, 0, "worker.decision"),
        ):
            with pytest.raises(ObserveError) as caught:
                await approve(target, item)
            assert caught.value.code == code
        for name, arguments, code in (
            ("pause", {}, "observe.forbidden"),
            ("approve", {"item": 1, "approved": True, "by": "root"}, "worker.decision"),
            ("send", {"text": 3}, "worker.command"),
        ):
            with pytest.raises(ObserveError) as caught:
                await command(ops, name, arguments)
            assert caught.value.code == code
        await world.until(run_ended("finished"))
        decided = [i.by for i in await world.items() if isinstance(i, it.ApprovalDecided)]
        assert decided[0] == "token:ops"
        assert decided[1].startswith("token:ops, by the grant at item ")
        (first,) = [i for i in await world.items() if isinstance(i, it.UserInput)]
        assert first.by == "token:ops"
