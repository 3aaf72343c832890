"""Watching through real sockets: every way a connection can end, and what comes after it."""

import asyncio
import logging
import socket
import ssl

import pytest
import trustme
from tests.client.frames import base, bookmark, event, resumed, said, told
from tests.client.scripted import answer, deaf, says, scripted

from yoi.client import (
    CaughtUp,
    Diagnostic,
    Disconnected,
    Ended,
    Event,
    FoldedView,
    NoView,
    Observation,
    Opening,
    Reconnected,
    Resumed,
    Resync,
    Server,
    Snapshot,
    Target,
    Why,
    observe,
)
from yoi.errors import ObserveError
from yoi.limits import Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.testing import ManualClock
from yoi.testing.timers import ManualTimers
from yoi.types import Secret

TOKEN = "a-token-that-nobody-may-see"
FRESH = Opening(None, False)
BYE = says(told("stream_closed"), close=4502)


class Naps:
    """A sleep that takes no time and remembers how long it was asked to."""

    def __init__(self, clock):
        self.clock = clock
        self.taken = []

    async def __call__(self, seconds):
        self.taken.append(seconds)
        self.clock.advance(seconds)


def target(url, runtime="local"):
    return Target(Server(url, Secret("t", TOKEN)), Subject(SubjectKind.WORKER, "w", runtime))


def watching(url, rng=lambda: 0.5, limits=None, **rest):
    clock = ManualClock()
    rest.setdefault("sleep", Naps(clock))
    return Observation(
        target(url), FRESH, clock=clock, rng=rng, limits=Limits(**(limits or {})), **rest
    )


async def all_of(observation):
    async with observation:
        return [value async for value in observation]


def kinds(values):
    return [type(value) for value in values]


async def test_it_goes_on_where_it_was_and_shows_every_step():
    live = says(base(3, "a"), event(4, said("b")), abort=True)
    missed = [event(4, said("b")), event(5, said("c")), bookmark("c5")]
    after = says(resumed("abab.4"), *missed, told("stream_closed"), close=4502)
    async with scripted(live, after) as server:
        one = watching(server.url)
        values = await all_of(one)
    assert kinds(values) == [
        Snapshot, Event, Disconnected, Reconnected, Resumed, Event, CaughtUp, Ended
    ]  # fmt: skip
    assert values[2] == Disconnected("lost", "the connection was lost", 125)
    assert [entry["text"] for entry in one.view.snapshot().data.entries] == ["a", "b", "c"]
    assert (one.cursor, one.duplicates, one.connected) == ("c5", 1, False)
    assert server.paths == [
        "/api/runtimes/local/workers/w/events/ws",
        "/api/runtimes/local/workers/w/events/ws?cursor=abab.4",
    ]
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Sec-WebSocket-Extensions" not in server.requests[0].headers
    assert server.heard == [], "a watcher says nothing"


async def test_the_short_way_to_watch():
    async with scripted(says(base(1, "a"), told("stream_closed"), close=4502)) as server:
        where = Target.worker(server.url, "w", token=TOKEN)
        async with observe(where) as watch:
            assert kinds([value async for value in watch]) == [Snapshot, Ended]
            assert watch.subject == Subject(SubjectKind.WORKER, "w", "local")
        async with observe(where, cursor="mine", snapshot="always") as watch:
            await anext(watch)
    assert server.paths[-1].endswith("?cursor=mine&snapshot=always")


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 3000, 4001, 4002, 4004, 4099])
async def test_a_close_that_is_not_final_is_dialled_again(code):
    async with scripted(says(base(1), close=code), BYE) as server:
        values = await all_of(watching(server.url))
    assert kinds(values) == [Snapshot, Disconnected, Ended]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (4501, "observe.not_found"),
        (4503, "observe.refused"),
        (4504, "observe.cursor"),
        (4505, "observe.unauthorized"),
        (4999, "observe.refused"),
    ],
)
async def test_a_final_close_ends_with_an_error(code, error):
    async with scripted(says(close=code)) as server:
        one = watching(server.url)
        with pytest.raises(ObserveError) as caught:
            await all_of(one)
        assert caught.value.code == error
        with pytest.raises(StopAsyncIteration):
            await anext(one)
    assert len(server.paths) == 1


async def test_a_close_alone_ends_it_too():
    async with scripted(says(base(1), close=4502)) as server:
        assert kinds(await all_of(watching(server.url))) == [Snapshot, Ended]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, "observe.refused"),
        (302, "observe.refused"),
        (401, "observe.unauthorized"),
        (403, "observe.forbidden"),
        (404, "observe.not_found"),
        (426, "observe.refused"),
        (431, "observe.refused"),
    ],
)
async def test_a_refused_upgrade_is_final(status, error):
    body = b'{"code":"x","message":"no\\u001b[31m way"}'
    async with scripted(answer(status, body, Location="http://example.invalid/")) as server:
        with pytest.raises(ObserveError) as caught:
            await all_of(watching(server.url))
    assert caught.value.code == error
    assert "no\\x1b[31m way" in caught.value.message
    assert TOKEN not in repr(caught.value)


async def test_a_busy_server_is_asked_again_when_it_says_so():
    async with scripted(answer(503, b"{}", Retry_After="7"), answer(429), BYE) as server:
        one = watching(server.url)
        values = await all_of(one)
    assert values[:2] == [
        Disconnected("busy", "the server answered 503", 7125),
        Disconnected("busy", "the server answered 429", 250),
    ]


async def test_a_server_that_stops_says_how_long_to_wait_and_not_longer_than_reason():
    gone = says(told("shutdown", retry_after_ms=700), close=4001)
    for_ever = says(told("runtime_unavailable", retry_after_ms=10**12), close=4004)
    async with scripted(gone, for_ever, BYE) as server:
        one = watching(server.url)
        values = await all_of(one)
    assert kinds(values) == [Diagnostic, Disconnected, Diagnostic, Disconnected, Ended]
    assert (values[1].reason, values[1].retry_in_ms) == ("shutdown", 825)
    assert (values[3].reason, values[3].retry_in_ms) == ("runtime_unavailable", 300_250)


async def test_waiting_grows_until_something_useful_came():
    nothing = says(close=1011)
    useful = says(base(1), close=1011)
    async with scripted(nothing, nothing, nothing, useful, nothing, answer(503), BYE) as server:
        naps = Naps(ManualClock())
        values = await all_of(watching(server.url, rng=lambda: 1.0, sleep=naps))
    waits = [value.retry_in_ms for value in values if isinstance(value, Disconnected)]
    assert waits == [250, 500, 1000, 250, 500, 1000]


async def test_garbage_is_a_value_and_a_new_beginning_after_the_second_time():
    bad = says(resumed("abab.1"), b"\x00\xff", stay=True)
    async with scripted(says(base(1), "{"), bad, says(base(9), close=1000), BYE) as server:
        values = await all_of(watching(server.url, rng=lambda: 1.0))
    assert kinds(values)[:6] == [
        Snapshot, Disconnected, Reconnected, Resumed, Disconnected, Reconnected
    ]  # fmt: skip
    assert [v.reason for v in values if isinstance(v, Disconnected)][:2] == ["malformed_frame"] * 2
    assert kinds(values)[6:8] == [Resync, Snapshot]
    assert [v.retry_in_ms for v in values if isinstance(v, Disconnected)][:2] == [250, 500]
    assert server.paths[2].endswith("/ws")


async def test_a_frame_over_its_bound_is_a_fault():
    limits = {"observed_event_bytes": 1000, "observe_envelope_bytes": 1000}
    async with scripted(says(base(1), "x" * 3000, stay=True), BYE) as server:
        values = await all_of(watching(server.url, limits=limits))
    assert values[1].reason == "malformed_frame"
    assert "over its bound" in values[1].message


async def test_bytes_that_are_no_websocket_are_a_fault():
    async def rubbish(wire):
        await wire.send(base(1))
        wire.transport.write(b"\xff\xff\xff\xff")
        await wire.wait_closed()

    async with scripted(rubbish, BYE) as server:
        values = await all_of(watching(server.url))
    assert [values[1].reason, values[1].message] == [
        "malformed_frame",
        "bytes that are not WebSocket frames",
    ]


async def test_silence_is_noticed_and_only_while_somebody_listens():
    clock = ManualClock()
    timers = ManualTimers(clock)
    async with scripted(says(base(1), stay=True), BYE) as server:
        one = Observation(
            target(server.url),
            FRESH,
            clock=clock,
            sleep=Naps(clock),
            call_later=timers.call_later,
            rng=lambda: 0.5,
        )
        async with one:
            assert isinstance(await anext(one), Snapshot)
            timers.advance(100)  # the caller is busy; that is not the server's silence
            waiting = asyncio.create_task(anext(one))
            await asyncio.sleep(0)
            timers.advance(35.9)
            await asyncio.sleep(0)
            assert not waiting.done()
            timers.advance(0.2 + 36)
            assert (await waiting).reason == Why.SILENT
            assert isinstance(await anext(one), Ended)
    assert timers.pending == 0


async def test_a_server_that_never_answers_is_given_up():
    async with deaf() as port:
        one = watching(f"http://127.0.0.1:{port}", limits={"observe_open_ms": 30})
        async with one:
            assert (await anext(one)).reason == "timeout"


async def test_nobody_there_is_a_value_without_an_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with watching(f"http://127.0.0.1:{port}") as one:
            value = await anext(one)
    assert value.reason == "unreachable"
    assert value.message == "the server could not be reached: Connection refused"


async def test_a_server_that_selects_another_protocol_is_not_ours():
    async with scripted(says(stay=True), subprotocols=()) as server:
        with pytest.raises(ObserveError) as caught:
            await all_of(watching(server.url))
    assert caught.value.code == "observe.refused"


async def test_no_proxy_of_the_environment_is_used(monkeypatch):
    for name in ("http_proxy", "ws_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with scripted(BYE) as server:
        assert kinds(await all_of(watching(server.url))) == [Ended]


async def test_nothing_is_logged_and_no_repr_shows_token_or_address(caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("yoi.client.wire").setLevel(logging.DEBUG)
    where = None
    async with scripted(says(base(1), close=4001), BYE) as server:
        where = target(server.url)
        values = await all_of(watching(server.url))
        shown = caplog.text.replace("websockets.server", "")
        ours = [record for record in caplog.records if "client" in record.name]
    assert ours == []
    assert shown.count(TOKEN) == sum(
        TOKEN in record.getMessage() for record in caplog.records if "server" in record.name
    )
    everything = repr(values) + repr(where) + repr(where.server)
    assert TOKEN not in everything
    assert str(server.port) not in everything


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trusts(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_server_is_verified(authority, server_tls):
    async with scripted(BYE, tls=server_tls) as server:
        url = server.url.replace("http", "https")
        assert kinds(await all_of(watching(url, tls=trusts(authority)))) == [Ended]
        for tls in (trusts(trustme.CA()), None):
            with pytest.raises(ObserveError) as caught:
                await all_of(watching(url, tls=tls))
            assert caught.value.code == "observe.tls"


async def test_a_certificate_of_another_name_is_refused_without_naming_one(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    async with scripted(BYE, tls=context) as server:
        url = server.url.replace("http", "https")
        with pytest.raises(ObserveError) as caught:
            await all_of(watching(url, tls=trusts(authority)))
    assert caught.value.message == "the certificate is for another name"


async def test_a_certificate_that_fails_later_is_waited_out(authority, server_tls):
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(other)
    async with (
        scripted(says(base(1), close=1000), tls=server_tls) as good,
        scripted(BYE, tls=other) as bad,
    ):
        places = [good, bad]

        async def locate():
            return target((places.pop(0) if places else good).url.replace("http", "https"))

        async with watching(good.url, tls=trusts(authority), locate=locate) as one:
            values = [await anext(one) for _ in range(5)]
    assert kinds(values) == [Snapshot, Disconnected, Disconnected, Reconnected, Resync]
    assert values[2].reason == "tls"


async def test_plain_http_where_tls_is_expected_is_not_final():
    async with scripted(BYE) as server, watching(server.url.replace("http", "https")) as one:
        assert isinstance(await anext(one), Disconnected)


# servers that move


async def test_a_server_that_moved_is_found_again():
    async with scripted(says(base(1), close=4001)) as first, scripted(BYE) as second:
        places = [target(first.url), None, target(second.url)]

        async def locate():
            return places.pop(0)

        values = await all_of(watching("http://127.0.0.1:1", locate=locate))
    assert kinds(values) == [Snapshot, Disconnected, Disconnected, Ended]
    assert values[2].reason == Why.UNKNOWN_PLACE
    assert second.paths[0].endswith("cursor=abab.1")


async def test_another_token_is_asked_for_once():
    async def locate():
        return target(server.url)

    async with scripted(answer(401), BYE) as server:
        assert kinds(await all_of(watching(server.url, locate=locate))) == [Disconnected, Ended]
    async with scripted(answer(401)) as server:
        with pytest.raises(ObserveError) as caught:
            await all_of(watching(server.url, locate=locate))
    assert (caught.value.code, len(server.paths)) == ("observe.unauthorized", 2)


# callers


async def test_a_cancelled_wait_loses_nothing():
    goes_on = asyncio.Event()

    async def slow(wire):
        await wire.send(base(1))
        await goes_on.wait()
        await wire.send(event(2, said("b")))
        await wire.send(told("stream_closed"))
        await wire.close(4502)

    async with scripted(slow) as server, watching(server.url) as one:
        assert isinstance(await anext(one), Snapshot)
        for _ in range(3):
            waiting = asyncio.create_task(anext(one))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        goes_on.set()
        assert kinds([value async for value in one]) == [Event, Ended]
    assert len(server.paths) == 1


async def test_a_cancelled_pause_is_not_begun_again():
    clock, asked, begun = ManualClock(), [], asyncio.Event()

    async def sleep(seconds):
        asked.append(seconds)
        begun.set()
        if len(asked) == 1:
            clock.advance(0.1)
            await asyncio.Event().wait()

    async with scripted(says(base(1), close=1000), BYE) as server:
        one = Observation(target(server.url), FRESH, clock=clock, sleep=sleep, rng=lambda: 1.0)
        async with one:
            await anext(one)
            assert (await anext(one)).retry_in_ms == 250
            waiting = asyncio.create_task(anext(one))
            await begun.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert isinstance(await anext(one), Ended)
    assert asked == [0.25, pytest.approx(0.15)]


async def test_leaving_closes_the_socket_and_ends_the_iteration():
    async with scripted(says(base(1), stay=True)) as server:
        async with watching(server.url) as one:
            assert isinstance(await anext(one), Snapshot)
            assert one.connected
        await one.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(one)
    assert (one.connected, server.closes) == (False, [1000])


@pytest.mark.parametrize("moment", ["listening", "dialling", "pausing", "locating", "hanging up"])
async def test_somebody_else_may_close_it_at_any_moment(moment):
    reached, finished = asyncio.Event(), asyncio.Event()

    async def for_ever(*_):
        reached.set()
        await asyncio.Event().wait()

    async def hung(wire):
        wire.transport.pause_reading()
        await wire.send("{")
        reached.set()
        await finished.wait()
        wire.transport.abort()

    rest = {"pausing": {"sleep": for_ever}, "locating": {"locate": for_ever}}.get(moment, {})
    script = {"pausing": says(close=1000), "hanging up": hung}.get(moment, says(base(1), stay=True))
    async with scripted(script) as server, deaf() as port:
        url = f"http://127.0.0.1:{port}" if moment == "dialling" else server.url
        one = watching(url, **rest)

        async def read():
            async for _ in one:
                if moment == "listening":
                    reached.set()

        reading = asyncio.create_task(read())
        if moment == "dialling":
            await asyncio.sleep(0)
        else:
            await reached.wait()
        await one.aclose()
        await reading
        assert not one.connected
        finished.set()


async def test_who_cannot_use_an_event_begins_anew():
    script = says(base(1), event(2, said("b")), stay=True)
    async with scripted(script, BYE) as server, watching(server.url, view=NoView()) as one:
        await anext(one)
        await anext(one)
        one.start_over("it does not fit")
        gone = await anext(one)
    assert (gone.reason, gone.message) == ("started_over", "it does not fit")


async def test_a_runtime_is_watched_the_same_way():
    frames = [base(1, runtime=""), event(3, said("x"), runtime="")]
    async with scripted(says(*frames, stay=True), BYE) as server:
        one = Observation(target(server.url, ""), FRESH, sleep=Naps(ManualClock()), rng=lambda: 0.5)
        values = await all_of(one)
    assert kinds(values) == [Snapshot, Disconnected, Ended]
    assert values[1].reason == Why.GAP
    assert server.paths[0] == "/v1/workers/w/events/ws"
    assert isinstance(one.view, FoldedView)
