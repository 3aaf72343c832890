"""The runtime's listener with real sockets, a real worker, and the client everybody uses."""

import contextlib
import json

import pytest
from tests.workers.worlds import World, answers
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from yoi.client.connection import observe
from yoi.client.target import Server, Target
from yoi.client.values import Event, Snapshot
from yoi.protocol import events as ev
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.observation import Subject, SubjectKind
from yoi.runtime.observation_app import ObservationRoutes
from yoi.runtime.observing import Observing
from yoi.serving.authenticator import Authenticator
from yoi.serving.names import ListenerNames
from yoi.serving.principals import Principal, PrincipalKind, SubjectPattern
from yoi.serving.server import ObservationServer, bind
from yoi.types import Secret, SystemClock
from yoi.workers.scripted import Say

KEYS = CursorKeys(b"key1", {b"key1": b"k" * 32})
TOKENS = {
    "all": Principal(name="all", kind=PrincipalKind.UPSTREAM, observe=(SubjectPattern.parse("*"),)),
    "none": Principal(name="none", kind=PrincipalKind.UPSTREAM),
}


@contextlib.asynccontextmanager
async def runtime(*workers, settled=True):
    observing = Observing(KEYS, dict, SystemClock())
    observing.settled = settled
    observing.follow_workers(workers)
    sock = bind("127.0.0.1", 0)
    host, port = sock.getsockname()
    authenticator = Authenticator(ListenerNames.of(host, port, secure=False), TOKENS.get)
    routes = ObservationRoutes(observing, authenticator)
    server = ObservationServer(routes.app(), routes.admit, observing.hub, clock=SystemClock())
    await server.start(sock)
    try:
        yield f"http://{host}:{port}"
    finally:
        await server.close()


def target(url, name, token="all"):
    return Target(Server(url, Secret("token", token)), Subject(SubjectKind.WORKER, name))


async def test_a_run_is_seen_whole_from_the_snapshot_to_its_end():
    async with World(answers([Say("hello there")])) as world, runtime(world.worker) as url:
        async with observe(target(url, "w")) as watch:
            async for value in watch:
                if isinstance(value, Snapshot):
                    await world.worker.send("go")
                if isinstance(value, Event) and isinstance(value.event, ev.RunEnd):
                    break
            entries = watch.view.snapshot().data.entries
        assert [entry["type"] for entry in entries] == ["user_input", "assistant", "run_end"]
        assert entries[1]["parts"] == [{"kind": "text", "text": "hello there"}]


@pytest.mark.parametrize(
    ("name", "token"), [("nobody", "all"), ("w", "none")], ids=["unknown", "forbidden"]
)
async def test_unknown_and_forbidden_look_the_same(name, token):
    async with World() as world, runtime(world.worker) as url:
        where = f"{url.replace('http', 'ws')}/v1/workers/{name}/events/ws"
        headers = {"Authorization": f"Bearer {token}"}
        async with connect(where, additional_headers=headers, proxy=None) as client:
            said = json.loads(await client.recv())["diagnostic"]
            await client.wait_closed()
        assert (said["code"], client.close_code) == ("runtime.worker_not_found", 4501)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_without_a_good_token_nothing_is_said(headers):
    async with World() as world, runtime(world.worker) as url:
        where = f"{url.replace('http', 'ws')}/v1/workers/w/events/ws"
        with pytest.raises(InvalidStatus) as caught:
            await connect(where, additional_headers=headers, proxy=None)
        assert caught.value.response.status_code == 401


async def test_what_may_not_have_been_started_yet_is_not_said_to_be_missing():
    async with World() as world, runtime(world.worker, settled=False) as url:
        where = f"{url.replace('http', 'ws')}/v1/workers/late/events/ws"
        headers = {"Authorization": "Bearer all"}
        async with connect(where, additional_headers=headers, proxy=None) as client:
            said = json.loads(await client.recv())["diagnostic"]
            await client.wait_closed()
        assert (said["code"], client.close_code) == ("runtime.runtime_unavailable", 4004)
