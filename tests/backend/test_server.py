"""The backend on real sockets, before runtimes in the same process and elsewhere."""

import asyncio
import dataclasses
import shutil

import msgspec
import pytest
from tests.backend.served import CLOCK, Caller, Runtime, backend, complete, started, token
from tests.backend.world import said, text

from yoi.backend.remote_source import RemoteSource
from yoi.backend.source import Availability
from yoi.client import Event, Resumed, Server, Snapshot, Target, observe
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.keys import keys_file
from yoi.serving.principals import Redaction
from yoi.serving.token_entries import TokenKind
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.types import Secret

WS = "/api/runtimes/r/workers/w/events/ws"
SSE = "/api/runtimes/r/workers/w/events/sse"


async def heard(watch, kind):
    """The next value of that kind."""
    async for value in watch:
        if isinstance(value, kind):
            return value
    raise AssertionError("ended")


def target(served, key: str, name="w", runtime_id="r") -> Target:
    return Target(
        Server(served.url, Secret("t", key)), Subject(SubjectKind.WORKER, name, runtime_id)
    )


@pytest.mark.parametrize("where", ["local", "remote"])
async def test_the_whole_way_of_an_event(tmp_path, where) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    async with started(runtime):
        source = runtime.remote() if where == "remote" else runtime.local("r")
        async with backend(tmp_path, source) as served, observe(target(served, key)) as watch:
            first = await heard(watch, Snapshot)
            runtime.say(text("hello"))
            event = await heard(watch, Event)
            assert event.event == text("hello")
            assert first.event_id.rpartition("-")[0] == event.event_id.rpartition("-")[0]
            assert event.event_id == f"{runtime.streams['w'].epoch.hex()}-1"


async def test_many_clients_are_one_upstream(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    async with started(runtime), backend(tmp_path, runtime.remote()) as served:
        watches = [observe(target(served, key)) for _ in range(10)]
        await asyncio.gather(*(heard(watch, Snapshot) for watch in watches))
        assert runtime.hub.watched == 1
        runtime.say(text("x"))
        events = await asyncio.gather(*(heard(watch, Event) for watch in watches))
        assert len({event.event_id for event in events}) == 1
        for watch in watches:
            await watch.aclose()


async def test_a_runtime_that_restarts_is_followed_and_said(tmp_path) -> None:
    limits = dataclasses.replace(LIMITS, upstream_backoff_max_ms=300, reconnect_spread_ms=10)
    runtime, key = Runtime("w", limits=limits), token(tmp_path)
    async with (
        started(runtime),
        backend(tmp_path, runtime.remote(limits=limits), limits=limits) as served,
        Caller(served, key).stream(WS) as stream,
    ):
        await stream.head()
        await stream.frames(1)
        runtime.say(text("a"))
        await stream.until(b'"text":"a"')
        await runtime.stop()
        await stream.until(b"backend.upstream_disconnect")
        runtime.begin()
        await runtime.start()
        await stream.until(b"backend.upstream_resync")
        runtime.say(text("b"))
        await stream.until(b'"text":"b"')


async def test_a_backend_that_restarts_loses_nobody_s_place(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    async with started(runtime):
        async with (
            backend(tmp_path, runtime.remote(), persist=True) as served,
            observe(target(served, key)) as watch,
        ):
            await heard(watch, Snapshot)
            runtime.say(text("a"))
            before = await heard(watch, Event)
        runtime.say(text("b"))
        async with (
            backend(tmp_path, runtime.remote(), persist=True) as served,
            observe(target(served, key), cursor=before.cursor) as watch,
        ):
            await heard(watch, Resumed)
            after = await heard(watch, Event)
            assert after.event == text("b")
            epoch, seq = before.event_id.split("-")
            assert after.event_id == f"{epoch}-{int(seq) + 1}"


async def test_without_persistence_what_was_missed_is_said_and_a_snapshot_follows(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    async with started(runtime):
        async with (
            backend(tmp_path, runtime.remote()) as served,
            observe(target(served, key)) as watch,
        ):
            cursor = (await heard(watch, Snapshot)).cursor
        runtime.say(text("missed by every backend"))
        async with (
            backend(tmp_path, runtime.remote()) as served,
            Caller(served, key).stream(f"{WS}?cursor={cursor}") as stream,
        ):
            await stream.head()
            first, second = await stream.frames(2)
            assert first.diagnostic.name == "cursor_expired"
            assert second.envelope.event_id.endswith(".s")


async def test_two_backends_with_the_same_keys_serve_a_client_in_turn(tmp_path) -> None:
    runtime = Runtime("w")
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    key = token(folders[0])
    shutil.copytree(folders[0] / ".yoi", folders[1] / ".yoi")
    async with started(runtime), backend(folders[0], runtime.remote()) as one:
        shutil.copy2(keys_file(folders[0]), keys_file(folders[1]))
        async with backend(folders[1], runtime.remote()) as other:
            async with (
                observe(target(one, key)) as first,
                observe(target(other, key)) as second,
            ):
                await heard(first, Snapshot)
                await heard(second, Snapshot)
                runtime.say(text("a"))
                before = await heard(first, Event)
                assert (await heard(second, Event)).event_id == before.event_id
                runtime.say(text("b"))
                await heard(second, Event)
            async with observe(target(other, key), cursor=before.cursor) as moved:
                await heard(moved, Resumed)
                assert (await heard(moved, Event)).event == text("b")


async def test_two_runtimes_one_here_and_one_elsewhere(tmp_path) -> None:
    here, there, key = Runtime("w"), Runtime("w", "x"), token(tmp_path)
    async with started(there):
        remote = there.remote("there")
        async with backend(tmp_path, here.local("here"), remote) as served:
            await remote.ask()
            assert remote.availability is Availability.AVAILABLE
            caller = Caller(served, key)
            status, listed = await caller.get("/api/runtimes")
            assert status == 200
            assert {
                one["runtime_id"]: (one["state"], [w["id"] for w in one["workers"]])
                for one in listed
            } == {"here": ("available", ["w"]), "there": ("available", ["w", "x"])}
            async with (
                observe(target(served, key, runtime_id="here")) as one,
                observe(target(served, key, runtime_id="there")) as other,
            ):
                await heard(one, Snapshot)
                await heard(other, Snapshot)
                there.say(text("from there"))
                here.say(text("from here"))
                assert (await heard(one, Event)).event == text("from here")
                assert (await heard(other, Event)).event == text("from there")


async def test_a_runtime_that_cannot_be_reached_is_listed_as_such(tmp_path) -> None:
    gone, key = Runtime("w"), token(tmp_path)
    await gone.start()
    await gone.stop()
    source = gone.remote()
    async with backend(tmp_path, source) as served:
        await source.ask()
        assert source.availability is Availability.UNAVAILABLE
        caller = Caller(served, key)
        _, (listed,) = await caller.get("/api/runtimes")
        assert (listed["state"], listed["workers"]) == ("unavailable", [])
        async with caller.stream(WS) as stream:
            assert await stream.closed() == (["runtime_unavailable"], 4004)
        assert (await caller.get("/readyz"))[0] == 503
        assert (await caller.get("/healthz"))[0] == 200


async def test_unknown_and_forbidden_are_the_same_to_the_byte(tmp_path) -> None:
    runtime, key = Runtime("w", "secret"), token(tmp_path, observe="r/worker/w")
    async with started(runtime), backend(tmp_path, runtime.remote()) as served:
        async with observe(target(served, key)) as watch:
            await heard(watch, Snapshot)
        answers: dict[str, set] = {"ws": set(), "sse": set(), "affordances": set()}
        for name in ("secret", "nowhere", "%2e%2e", "a%20b"):
            for kind in answers:
                caller = Caller(served, key)
                path = f"/api/runtimes/r/workers/{name}"
                if kind == "ws":
                    async with caller.stream(f"{path}/events/ws") as stream:
                        names, code = await stream.closed()
                    assert (names, code) == (["worker_not_found"], 4501)
                    answers[kind].add(bytes(caller.seen).partition(b"\r\n\r\n")[2])
                else:
                    tail = "events/sse" if kind == "sse" else kind
                    answers[kind].add((await caller.ask("GET", f"{path}/{tail}"))[2])
        for runtime_id in ("q", "R"):
            caller = Caller(served, key)
            async with caller.stream(f"/api/runtimes/{runtime_id}/workers/w/events/ws") as stream:
                await stream.closed()
            answers["ws"].add(bytes(caller.seen).partition(b"\r\n\r\n")[2])
        assert {kind: len(found) for kind, found in answers.items()} == dict.fromkeys(answers, 1)


async def test_what_is_not_granted_is_not_listed(tmp_path) -> None:
    runtime = Runtime("w", "secret")
    some = token(tmp_path, "some", "r/worker/w", redact=[Redaction.DIAGNOSTICS])
    none = token(tmp_path, "none", "elsewhere/*/*")
    async with backend(tmp_path, runtime.local("r")) as served:
        _, (listed,) = await Caller(served, some).get("/api/runtimes")
        assert [one["id"] for one in listed["workers"]] == ["w"]
        assert listed["workers"][0]["last_error"] == ""
        assert (await Caller(served, none).get("/api/runtimes")) == (200, [])


async def test_a_redaction_holds_for_snapshot_replay_and_live(tmp_path) -> None:
    runtime = Runtime("w")
    key = token(tmp_path, redact=[Redaction.THINKING])
    async with backend(tmp_path, runtime.local("r")) as served:
        caller = Caller(served, key)
        runtime.say(ev.ThinkingDelta(ev.TextData(text="SECRET-1")))
        async with caller.stream(WS) as stream:
            await stream.head()
            runtime.say(ev.ThinkingDelta(ev.TextData(text="SECRET-2")))
            runtime.say(ev.UnknownEvent("thought_later", msgspec.Raw(b'{"text":"SECRET-3"}')))
            runtime.say(text("shown"))
            data = await stream.until(b"shown")
            cursor = complete(data)[0].envelope.cursor
        async with caller.stream(f"{WS}?cursor={cursor}&snapshot=always") as stream:
            await stream.head()
            await stream.until(b"bookmark")
        async with caller.open("GET", f"{SSE}?cursor={cursor}") as answering:
            await answering.until(b"event: bookmark")
        assert b"SECRET" not in caller.seen
        assert caller.seen.count(b'"event":"thinking_delta"') >= 3
        assert caller.seen.count(b'"redacted":true') >= 6
        full = Caller(served, token(tmp_path, "full"))
        async with full.stream(WS) as stream:
            await stream.head()
            await stream.until(b"SECRET-2")
        # A place in one projection is no place in another.
        async with full.stream(f"{WS}?cursor={cursor}") as stream:
            await stream.head()
            assert (await stream.frames(1))[0].diagnostic.name == "cursor_foreign"


async def test_a_token_that_is_revoked_ends_what_it_opened(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    limits = dataclasses.replace(LIMITS, tokens_review_ms=5)
    async with (
        backend(tmp_path, runtime.local("r"), limits=limits) as served,
        Caller(served, key).stream(WS) as stream,
    ):
        await stream.head()
        await stream.frames(1)
        store = TokenStore(tokens_file(tmp_path))
        store.reload()
        store.revoke("eve")
        names, code = await stream.closed()
        assert (names[-1], code) == ("session_expired", 4505)


async def test_a_browser_signs_in_once_with_the_printed_address(tmp_path) -> None:
    runtime = Runtime("w")
    async with backend(tmp_path, runtime.local("r")) as served:
        address, _, code = served.new_console_url().partition("#code=")
        assert address == f"{served.url}/"
        stranger = Caller(served, None)
        body = msgspec.json.encode({"code": code})
        post = {"Content-Type": "application/json"}
        status, headers, answer = await stranger.ask("POST", "/api/session", post, body)
        assert status == 200
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers
        made = msgspec.json.decode(answer)
        assert made["principal"] == "operator"
        signed = Caller(served, made["token"])
        assert (await signed.get("/api/session"))[1]["redact"] == []
        assert (await signed.get("/api/runtimes"))[0] == 200
        status, _, answer = await stranger.ask("POST", "/api/session", post, body)
        assert (status, msgspec.json.decode(answer)["code"]) == (401, "unauthorized")
        # As a browser opens a WebSocket: no header, the token as a second subprotocol.
        offer = f"yoi.observe.v1, yoi.token.{made['token']}"
        async with stranger.stream(WS, **{"Sec-WebSocket-Protocol": offer}) as stream:
            status, headers = await stream.head()
            assert (status, headers["sec-websocket-protocol"]) == (101, "yoi.observe.v1")


ROUTES = [
    "/api/session",
    "/api/runtimes",
    WS,
    SSE,
    "/api/runtimes/r/workers/w/affordances",
    "/metrics",
]


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_needs_a_token(tmp_path, path) -> None:
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        for bad in (None, "yoi_" + "A" * 43, "yois_AAAA", "not a token"):
            status, body = await Caller(served, bad).get(path)
            assert (status, body["code"]) == (401, "unauthorized")
        async with Caller(served, None).stream(WS) as stream:
            assert (await stream.head())[0] == 401


@pytest.mark.parametrize("path", [*ROUTES, "/", "/assets/main.js"])
async def test_every_route_is_for_this_listener_s_names_and_pages(tmp_path, path) -> None:
    key = token(tmp_path)
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        caller = Caller(served, key)
        status, body = await caller.get(path, Host="evil.example")
        assert (status, body["code"]) == (403, "forbidden_host")
        status, body = await caller.get(path, Origin="https://evil.example")
        assert (status, body["code"]) == (403, "forbidden_origin")


async def test_the_console_comes_under_a_strict_policy_and_nothing_else_does(tmp_path) -> None:
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        caller = Caller(served, None)
        status, headers, body = await caller.ask("GET", "/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "deny"
        assert b"<script" in body
        status, _, body = await caller.ask("GET", "/", {"If-None-Match": headers["etag"]})
        assert (status, body) == (304, b"")
        status, headers, _ = await caller.ask("GET", "/assets/main.js")
        assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        for path in (
            "/assets/../app.py",
            "/assets/%2e%2e/app.py",
            "/assets//etc/passwd",
            "/assets/",
            "/assets/nothing.js",
            "/index.html",
            "/nowhere",
        ):
            status, body = await caller.get(path)
            assert (status, body["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b'{"code":"x"}', 415),
        ({"Content-Type": "text/plain"}, b'{"code":"x"}', 415),
        ({"Content-Type": "application/json"}, b"[" * 5000, 400),
        ({"Content-Type": "application/json"}, b'{"code":5}', 400),
        ({"Content-Type": "application/json"}, b"x" * 70_000, 413),
        ({"Content-Type": "application/json"}, b'{"code":"wrong"}', 401),
    ],
)
async def test_bad_sign_ins_are_typed_answers(tmp_path, headers, body, status) -> None:
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        found, _, answer = await Caller(served, None).ask("POST", "/api/session", headers, body)
        assert found == status
        assert set(msgspec.json.decode(answer)) == {"code", "message"}


async def test_commands_are_refused_unless_somebody_carries_them(tmp_path) -> None:
    sent = []

    class Port:
        def reaches(self, subject):
            return subject.runtime_id == "r"

        async def send(self, subject, command, arguments, principal):
            sent.append((subject.name, command, arguments, str(principal)))
            return {"done": True}

    runtime = Runtime("w", "x")
    may = token(tmp_path, "may", "r/worker/w", commands=["send"])
    may_not = token(tmp_path, "may-not")
    path = "/api/runtimes/r/workers/w/commands"
    headers = {"Content-Type": "application/json"}
    body = msgspec.json.encode({"command": "send", "arguments": {"text": "hi"}})
    async with backend(tmp_path, runtime.local("r")) as served:
        assert (await Caller(served, may).ask("POST", path, headers, body))[0] == 403
    async with backend(tmp_path, runtime.local("r"), commands=Port()) as served:
        caller = Caller(served, may)
        status, _, answer = await caller.ask("POST", path, headers, body)
        assert (status, answer) == (200, b'{"done":true}')
        other = msgspec.json.encode({"command": "compact"})
        assert (await caller.ask("POST", path, headers, other))[0] == 403
        elsewhere = path.replace("/w/", "/x/")
        status, _, answer = await caller.ask("POST", elsewhere, headers, body)
        assert (status, msgspec.json.decode(answer)["code"]) == (404, "worker_not_found")
        assert (await Caller(served, may_not).ask("POST", path, headers, body))[0] == 403
        actions = await caller.get("/api/runtimes/r/workers/w/affordances")
        assert actions == (200, {"actions": ["send"]})
    assert sent == [("w", "send", {"text": "hi"}, "token:may")]


async def test_a_page_that_asks_a_socket_s_route_is_told_what_it_is(tmp_path) -> None:
    key = token(tmp_path)
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        status, headers, body = await Caller(served, key).ask("GET", WS)
        assert (status, headers["upgrade"]) == (426, "websocket")
        assert msgspec.json.decode(body)["code"] == "upgrade_required"
        assert (await Caller(served, key).ask("DELETE", "/api/runtimes"))[0] == 405


async def test_figures_tell_of_upstreams_and_runtimes(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    async with backend(tmp_path, runtime.local("r")) as served:
        async with observe(target(served, key)) as watch:
            await heard(watch, Snapshot)
            runtime.say(said("hello", 1))
            await heard(watch, Event)
            _, _, body = await Caller(served, key).ask("GET", "/metrics")
        assert b'yoi_upstreams{state="live"} 1.0' in body
        assert b'yoi_runtime_up{runtime_id="r"} 1.0' in body
        assert b"yoi_followers 1.0" in body


async def test_a_token_for_metrics_reads_figures_and_nothing_else(tmp_path) -> None:
    store = TokenStore(tokens_file(tmp_path))
    key = store.create("prometheus", kind=TokenKind.METRICS, observe=())[1].reveal()
    async with backend(tmp_path, Runtime("w").local("r")) as served:
        caller = Caller(served, key)
        status, _, body = await caller.ask("GET", "/metrics")
        assert (status, b"yoi_followers 0.0" in body) == (200, True)
        assert (await caller.get("/api/runtimes"))[0] == 401
        tokens_file(tmp_path).chmod(0o644)
        status, ready = await caller.get("/readyz")
        assert (status, ready["checks"]["tokens"]) == (503, False)


async def test_a_stop_asks_everybody_to_come_back(tmp_path) -> None:
    runtime, key = Runtime("w"), token(tmp_path)
    served = backend(tmp_path, runtime.local("r"))
    async with served:
        caller = Caller(served, key)
        async with caller.stream(WS) as stream, caller.open("GET", SSE) as events:
            await events.until(b"snapshot")
            await stream.head()
            await stream.frames(1)
            ending = asyncio.ensure_future(served.__aexit__(None, None, None))
            assert (await stream.closed())[1] == 4001
            body = (await events.whole())[2]
            assert b"backend.shutdown" in body
            await ending


async def test_a_stop_tells_who_still_waits_for_a_runtime(tmp_path) -> None:
    """The drain would end before the wait does, and cut it off without a word."""
    asked = asyncio.Event()

    async def mute(reader, writer) -> None:
        if b"/events/ws" in await reader.readline():
            asked.set()
        await reader.read()
        writer.close()

    limits = dataclasses.replace(LIMITS, upstream_first_ms=60_000)
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = RemoteSource(
        "r", f"ws://127.0.0.1:{port}", lambda: Secret("t", "t"), clock=CLOCK, limits=limits
    )
    key = token(tmp_path)
    async with (
        server,
        backend(tmp_path, source, limits=limits) as served,
        Caller(served, key).open("GET", SSE) as events,
    ):
        await asked.wait()
        ending = asyncio.ensure_future(served.__aexit__(None, None, None))
        status, _, body = await events.whole()
        assert status == 200
        assert b"backend.shutdown" in body
        await ending
