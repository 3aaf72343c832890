"""No client ever learns where a runtime is (O6): every route and every error path, to the byte."""

import contextlib
import dataclasses
import itertools
from pathlib import Path

import msgspec
import pytest
from tests.backend.served import UPSTREAM_TOKEN, Caller, Runtime, backend, started, token
from tests.backend.world import empty, text
from websockets.asyncio.server import serve

from yoi.backend.remote_source import RemoteSource
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.types import Secret, SystemClock

WS = "/api/runtimes/r/workers/w/events/ws"
SSE = "/api/runtimes/r/workers/w/events/sse"
QUICK = dataclasses.replace(
    LIMITS,
    upstream_first_ms=300,
    upstream_backoff_max_ms=20,
    upstream_backoff_first_ms=10,
    observe_close_ms=50,
    reconnect_spread_ms=10,
)
NAMES = itertools.count()

ROOT = Path(__file__).parents[2]


def secrets_of(folder, *ports: int) -> list[bytes]:
    """What must never be sent to a client."""
    found = [UPSTREAM_TOKEN, str(folder), "observed.db", "observation.keys", "tokens.toml", ".yoi"]
    for port in ports:
        found += [f"127.0.0.1:{port}", f"localhost:{port}", f":{port}", f"port {port}"]
    found += ["ws://127", "wss://", "Traceback", "/usr/", "/home/", str(ROOT), ".py", "errno"]
    return [each.encode() for each in found]


async def everything(served, key: str, seen: bytearray) -> None:
    """Ask for everything there is, rightly and wrongly."""
    callers = [Caller(served, each) for each in (key, None, "yoi_wrong")]
    for caller in callers:
        for method, path in itertools.product(
            ("GET", "POST", "DELETE"),
            (
                "/api/session",
                "/api/runtimes",
                "/api/runtimes/r/workers/w/affordances",
                "/api/runtimes/r/workers/nobody/affordances",
                "/api/runtimes/r/workers/w/commands",
                "/api/runtimes/nowhere/workers/w/events/sse",
                "/api/runtimes/r/workers/nobody/events/sse",
                "/api/runtimes/r/workers/w/events/nothing",
                f"{SSE}?cursor=garbage",
                WS,
                "/api/nothing",
                "/assets/%2e%2e/server.py",
                "/healthz",
                "/readyz",
                "/metrics",
                "/v1/inventory",
                "/%00",
            ),
        ):
            await caller.ask(method, path)
        for more in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            await caller.ask("GET", "/api/runtimes", more)
        for path in (
            WS,
            f"{WS}?cursor=garbage",
            f"{WS}?cursor=" + "A" * 71,
            WS.replace("/w/", "/nobody/"),
            WS.replace("/r/", "/nowhere/"),
            "/api/nothing/events/ws",
        ):
            async with caller.stream(path) as stream:
                status, _ = await stream.head()
                if status == 101:
                    await stream.frames(1)
        seen += caller.seen


def check(seen: bytes, forbidden: list[bytes]) -> None:
    found = [each for each in forbidden if each in seen]
    assert not found


async def test_with_a_runtime_that_is_well_and_one_that_goes_away(tmp_path) -> None:
    runtime, key = Runtime("w", limits=QUICK), token(tmp_path)
    seen = bytearray()
    async with started(runtime):
        # A greeting that says where its worker lives.
        snapshot = empty()
        snapshot.data.greeting.cwd = str(tmp_path / "project")
        runtime.say(snapshot)
        source = runtime.remote(limits=QUICK)
        async with backend(tmp_path, source, persist=True, limits=QUICK) as served:
            await source.ask()
            await everything(served, key, seen)
            caller = Caller(served, key)
            async with caller.stream(WS) as stream, caller.open("GET", SSE) as events:
                await stream.head()
                await stream.frames(1)
                await events.until(b"snapshot")
                await stream.writer.drain()
                runtime.say(text("hello"))
                await stream.until(b"hello")
                await runtime.stop()
                await stream.until(b"backend.upstream_disconnect")
                await source.ask()
                await everything(served, key, seen)
                runtime.begin()
                await runtime.start()
                await stream.until(b"backend.upstream_resync")
                await events.until(b"backend.upstream_resync")
            seen += caller.seen
    assert b"hello" in seen
    # The page of the console says `wss://` in its policy: of this listener, which the client knows.
    check(seen, secrets_of(tmp_path, runtime.port))


@pytest.mark.parametrize("why", ["token", "refused", "not TLS", "nothing listens", "no token"])
async def test_with_a_runtime_that_cannot_be_reached(tmp_path, why) -> None:
    runtime, key = Runtime("w", limits=QUICK), token(tmp_path)
    seen = bytearray()
    async with started(runtime):
        secret = Secret("upstream", "other-token" if why == "token" else UPSTREAM_TOKEN)
        scheme = "wss" if why == "not TLS" else "ws"
        path = "/elsewhere" if why == "refused" else ""
        if why == "nothing listens":
            await runtime.stop()
        source = RemoteSource(
            "r",
            f"{scheme}://127.0.0.1:{runtime.port}{path}",
            lambda: None if why == "no token" else secret,
            clock=SystemClock(),
            limits=QUICK,
        )
        async with backend(tmp_path, source, limits=QUICK) as served:
            await source.ask()
            await everything(served, key, seen)
    assert b'"unavailable"' in seen
    assert b"runtime_unavailable" in seen or b"worker_not_found" in seen
    check(seen, secrets_of(tmp_path, runtime.port))


def hostile(endpoint: str) -> list[list[str | bytes]]:
    """What a runtime may say that has gone mad, or was taken over."""
    epoch = "0123456789abcdef"

    def event(number: str, payload: dict, **more) -> str:
        envelope = {"cursor": "c", "event_id": f"{epoch}-{number}", "worker_id": "w", **more}
        frame = {"kind": "event", "envelope": {**envelope, "payload": payload}}
        return msgspec.json.encode(frame).decode()

    def told(name: str, **more) -> str:
        entry = {
            "code": f"runtime.{name}",
            "scope": "client",
            "retryable": True,
            "action": "continue",
            "message": f"at {endpoint} with {UPSTREAM_TOKEN}",
            **more,
        }
        return msgspec.json.encode({"kind": "diagnostic", "diagnostic": entry}).decode()

    snapshot = event("0.s", msgspec.to_builtins(empty()))
    return [
        [f"not JSON at {endpoint}"],
        [b"\x00\x01" + endpoint.encode()],
        [snapshot, endpoint],
        [snapshot, told("shutdown", action="reconnect", retry_after_ms=1)],
        [snapshot, told("whatever")],
        [told("cursor_expired", action="resync"), snapshot],
        [told("worker_not_found", action="stop")],
        [told("stream_closed", action="stop")],
        [told("observation_only", action="stop")],
        [snapshot, event("2", {"event": "text_delta", "data": {"text": endpoint}})],
        [snapshot, event("1", {"event": "status"}, worker_id=endpoint)],
        [snapshot, event("1", {"event": "status"}, runtime_id=endpoint)],
        [snapshot, event(endpoint, {"event": "status"})],
        [event("1", {"event": "text_delta", "data": {"text": endpoint}})],
        [event("0.s", {"event": "snapshot", "data": {"entries": endpoint}})],
        [msgspec.json.encode({"kind": "resumed", "cursor": endpoint}).decode()],
        [snapshot, msgspec.json.encode({"kind": "bookmark", "cursor": endpoint}).decode()],
        [msgspec.json.encode({"kind": endpoint}).decode(), snapshot],
        [snapshot, snapshot, snapshot],
    ]


@pytest.mark.parametrize("number", range(len(hostile(""))))
@pytest.mark.parametrize("code", [1011, 4501])
async def test_with_a_runtime_that_tells_it_itself(tmp_path, number, code) -> None:
    key, seen = token(tmp_path), bytearray()
    said = False

    async def mad(connection) -> None:
        nonlocal said
        for frame in hostile(where)[number]:
            await connection.send(frame)
        said = True
        await connection.close(code, f"ask {where}")

    async with serve(mad, "127.0.0.1", 0, subprotocols=["yoi.observe.v1"]) as server:
        port = server.sockets[0].getsockname()[1]
        where = f"ws://127.0.0.1:{port}/x"
        secret = Secret("upstream", UPSTREAM_TOKEN)
        source = RemoteSource(
            "r", f"ws://127.0.0.1:{port}", lambda: secret, clock=SystemClock(), limits=QUICK
        )
        async with backend(tmp_path, source, limits=QUICK) as served:
            caller = Caller(served, key)
            async with caller.stream(WS) as stream:
                assert (await stream.head())[0] == 101
                await stream.frames(1)
            with contextlib.suppress(AssertionError):
                async with caller.open("GET", SSE) as events:
                    await events.until(b"data: ")
            seen += caller.seen
    assert said
    check(seen, secrets_of(tmp_path, port))


def test_the_check_finds_what_it_looks_for(tmp_path) -> None:
    forbidden = secrets_of(tmp_path, 7718)
    for each in ("at ws://127.0.0.1:7718", UPSTREAM_TOKEN, str(tmp_path)):
        with pytest.raises(AssertionError):
            check(f"see {each}".encode(), forbidden)
    check(ev.encode_event(text("hello")), forbidden)
