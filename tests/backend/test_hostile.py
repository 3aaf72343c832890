"""Clients of a backend that mean harm: nothing in the log, nobody else harmed."""

import asyncio
import dataclasses
import logging
from types import SimpleNamespace

import pytest
import structlog
from tests.backend.served import CLOCK, Caller, Runtime, backend, token
from tests.backend.world import World, empty, turn
from tests.client.scripted import says, scripted
from tests.serving.raw import connected

from yoi.backend.access import ObservationAccess
from yoi.backend.policy import ConfiguredPolicy
from yoi.backend.remote_source import RemoteSource
from yoi.backend.server import BACKLOG_FILE
from yoi.core.observation import Framing
from yoi.limits import LIMITS
from yoi.protocol.observation import (
    DiagnosticFrame,
    Hop,
    Subject,
    SubjectKind,
    encode_frame,
    observation_diagnostic,
)
from yoi.serving.admission import Refused
from yoi.serving.authenticator import Authenticator
from yoi.serving.names import ListenerNames
from yoi.serving.principals import EVERYTHING, Principal, PrincipalKind
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.types import Secret, SystemClock


@pytest.fixture
def logged(caplog):
    """Return what was logged, by libraries and by Yoi."""
    caplog.set_level(logging.WARNING)
    with structlog.testing.capture_logs() as own:
        yield lambda: [*own, *caplog.records]


HALF = {
    "half a body": b"Content-Length: 100\r\n\r\n{",
    "half a chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    "what is no chunk": b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
}


@pytest.mark.parametrize("rest", HALF.values(), ids=HALF)
async def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_defect(
    tmp_path, rest, logged
) -> None:
    async with backend(tmp_path, Runtime("triage").local()) as served:
        authority = Caller(served, None).authority
        host, _, port = authority.rpartition(":")
        head = f"POST /api/session HTTP/1.1\r\nHost: {authority}\r\n".encode()
        head += b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
        start, _, rest = rest.partition(b"\r\n\r\n")
        async with connected((host, int(port)), head + start + b"\r\n\r\n") as client:
            await client.until(b"100 Continue")  # somebody waits for the body
            client.writer.write(rest)
            await client.writer.drain()
    assert not logged()


def access(world: World) -> ObservationAccess:
    names = ListenerNames.of("127.0.0.1", 80, secure=False)
    authenticator = Authenticator(names, lambda token: None)
    return ObservationAccess(
        authenticator, ConfiguredPolicy(), world.sources, world.upstreams, world.hub
    )


def watch(access: ObservationAccess, who: Principal, name: str = "w"):
    subject = Subject(SubjectKind.WORKER, name, "r")
    return access.watch(who, subject, Framing.SSE, None, snapshot_always=False)


def watching(access: ObservationAccess, who: Principal, name: str) -> asyncio.Future:
    return asyncio.ensure_future(watch(access, who, name))


def principal(name: str) -> Principal:
    return Principal(name=name, kind=PrincipalKind.TOKEN, observe=(EVERYTHING,))


async def test_one_principal_opens_only_so_many_streams_at_once() -> None:
    limits = dataclasses.replace(LIMITS, followers_per_token=2)
    world = World(limits)
    authenticator = access(world)
    eve, bob = principal("eve"), principal("bob")
    waiting = [watching(authenticator, eve, f"w{number}") for number in range(2)]
    await turn()
    with pytest.raises(Refused, match="as many watch as may"):
        await watching(authenticator, eve, "w2")
    more = watching(authenticator, bob, "w2")
    await turn()
    assert len(world.source.links) == 3
    for link in world.source.links:
        link.lose()
    for one in (*waiting, more):
        assert (await one).name == "runtime_unavailable"
    again = watching(authenticator, eve, "w3")  # nobody waits any more
    await turn()
    world.link.lose()
    await again


async def test_who_waited_while_others_came_in_may_be_one_too_many() -> None:
    world = World(dataclasses.replace(LIMITS, followers=1))
    authenticator = access(world)

    async def enters(name: str) -> None:
        admitted = await watch(authenticator, principal(name))
        admitted.channel.enter(admitted.feed, admitted.watching, Nowhere())

    both = asyncio.gather(enters("eve"), enters("bob"), return_exceptions=True)
    await turn()
    world.link.snapshot(0, empty())
    none, refused = await both
    assert none is None
    assert (refused.status, refused.code) == (503, "busy")
    (upstream,) = world.upstreams
    assert (upstream.holders, world.hub.watched) == (1, 1)


class Nowhere:
    """A transport that takes everything."""

    def write(self, data: bytes) -> None:
        pass

    def finish(self, code, *, abort: bool) -> None:
        pass


@pytest.mark.parametrize("wait", [10**15, -5])
async def test_a_runtime_does_not_say_when_it_is_asked_again_beyond_reason(wait) -> None:
    entry = observation_diagnostic(Hop.RUNTIME, "shutdown", retry_after_ms=wait)
    async with scripted(says(encode_frame(DiagnosticFrame(entry)).decode(), close=4001)) as mad:
        source = RemoteSource(
            "r", mad.url.replace("http", "ws"), lambda: Secret("t", "token"), clock=SystemClock()
        )
        losses = asyncio.get_running_loop().create_future()
        sink = SimpleNamespace(lost=losses.set_result)
        source.open(Subject(SubjectKind.WORKER, "w", "r"), sink, None)
        loss = await losses
        assert 0 <= loss.retry_after_ms <= LIMITS.observe_retry_after_ms
        await source.close()


@pytest.mark.parametrize("content", [b"garbage", None], ids=["garbage", "a folder"])
async def test_a_backlog_that_cannot_be_opened_stops_nobody(tmp_path, content, logged) -> None:
    file = tmp_path / ".yoi" / BACKLOG_FILE
    file.parent.mkdir()
    file.mkdir() if content is None else file.write_bytes(content)
    key = token(tmp_path)
    async with backend(tmp_path, Runtime("triage").local(), persist=True) as served:
        status, listed = await Caller(served, key).get("/api/runtimes")
        assert (status, listed[0]["workers"][0]["id"]) == (200, "triage")
    (entry,) = logged()
    assert entry["code"].startswith("journal.")
    assert entry["file"] == BACKLOG_FILE


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(tmp_path) -> None:
    limits = dataclasses.replace(LIMITS, http_head_ms=50)
    async with backend(tmp_path, Runtime("triage").local(), limits=limits) as served:
        caller = Caller(served, None)
        more = {"Content-Type": "application/json", "Content-Length": "100"}
        async with caller.open("POST", "/api/session", more) as answering:
            status, _ = await answering.head()
            assert status == 408


async def test_a_token_that_is_revoked_ends_event_streams_and_sessions_that_came_with_it(
    tmp_path,
) -> None:
    limits = dataclasses.replace(LIMITS, tokens_review_ms=5)
    runtime, key = Runtime("w"), token(tmp_path)
    path = "/api/runtimes/r/workers/w/events/sse"
    async with backend(tmp_path, runtime.local("r"), limits=limits) as served:
        store = TokenStore(tokens_file(tmp_path))
        store.reload()
        eve = store.verify(key, CLOCK.wall_ms())
        session = served.new_session(eve).token.reveal()
        async with (
            Caller(served, key).open("GET", path) as named,
            Caller(served, session).open("GET", path) as browser,
        ):
            for stream in (named, browser):
                await stream.until(b"event: event")
            store.revoke("eve")
            for stream in (named, browser):
                assert b'"backend.session_expired"' in await stream.until(b'"close_code":4505')
        assert (await Caller(served, session).get("/api/session"))[0] == 401
