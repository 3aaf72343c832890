"""Health says yes or no to anybody, figures only to who may see everything."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from tests.serving.streams import served

from yoi.core.observation import Framing
from yoi.limits import Limits
from yoi.serving.admission import Refused
from yoi.serving.answers import refusal
from yoi.serving.authenticator import Authenticator
from yoi.serving.health import Readiness, health_routes
from yoi.serving.metrics import Metrics, RuntimeFigures, UpstreamFigures
from yoi.serving.names import ListenerNames
from yoi.serving.principals import Principal, PrincipalKind, SubjectPattern, operator
from yoi.serving.watcher import Watching

HOST = ("host", "localhost:1")
WHO = {
    "metrics": Principal(name="prom", kind=PrincipalKind.METRICS),
    "operator": operator(),
    "one": Principal(
        name="x", kind=PrincipalKind.TOKEN, observe=(SubjectPattern.parse("worker/a"),)
    ),
}
NAMES = ListenerNames.of("127.0.0.1", 1, secure=False)


async def get(app, path, *headers, method="GET"):
    """Return status, headers and body of one request to an ASGI app."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in headers],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    answered = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(m.get("body", b"") for m in sent[1:])


class Written:
    """A transport that takes everything."""

    def __init__(self, channel, feed):
        self.channel = channel
        self.watcher = channel.enter(feed, Watching("x"), self)

    def write(self, data):
        pass

    def finish(self, code, *, abort):
        self.channel.leave(self.watcher)


class Listener:
    refused = {"unauthorized": 2, "forbidden_host": 1}
    open_sockets = 3


@pytest.fixture
def readiness():
    return Readiness()


@pytest.fixture
async def hub():
    async with served(Limits(observed_ring_events=4)) as everything:
        yield everything


@pytest.fixture
def app(readiness, hub):
    routes = health_routes(
        readiness, Metrics(hub.hub, Listener()), Authenticator(NAMES, WHO.get).admit
    )
    return Starlette(routes=routes)


async def test_a_living_process_says_so_to_anybody(app):
    status, headers, body = await get(app, "/healthz", ("host", "10.0.0.1"))
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert headers["cache-control"] == "no-store"


async def test_ready_when_every_check_passes(app, readiness):
    assert (await get(app, "/readyz"))[0] == 200
    state = {"journal": None, "tokens": None}
    for name in state:
        readiness.add(name, lambda name=name: state[name])
    status, _, body = await get(app, "/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True)
    state["tokens"] = "cannot read /home/someone/secret-place"
    status, _, body = await get(app, "/readyz")
    assert status == 503
    assert json.loads(body) == {"ready": False, "checks": {"journal": True, "tokens": False}}
    state["tokens"] = None
    assert (await get(app, "/readyz"))[0] == 200


async def test_why_is_for_the_log_and_once(readiness, capsys):
    state = ["disk full"]
    readiness.add("journal", lambda: state[0])
    assert readiness.look() == readiness.look() == {"journal": False}
    assert capsys.readouterr().out.count("disk full") == 1
    state[0] = None
    assert readiness.look() == {"journal": True}
    assert capsys.readouterr().out.count("ready again") == 1


async def test_a_check_that_breaks_is_one_that_fails(readiness):
    readiness.add("broken", lambda: 1 / 0)
    readiness.add("sound", lambda: None)
    assert readiness.look() == {"broken": False, "sound": True}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ([], 403, "forbidden_host"),
        ([HOST], 401, "unauthorized"),
        ([HOST, ("authorization", "Bearer nobody")], 401, "unauthorized"),
        ([HOST, ("authorization", "Bearer one")], 403, "forbidden"),
        ([HOST, ("authorization", "Bearer metrics"), ("origin", "http://e")], 403, None),
    ],
)
async def test_metrics_need_a_token_for_everything(app, headers, status, code):
    found, answered, body = await get(app, "/metrics", *headers)
    assert found == status
    assert b"yoi_" not in body
    if code is not None:
        assert json.loads(body)["code"] == code
    assert ("www-authenticate" in answered) == (status == 401)


@pytest.mark.parametrize("who", ["metrics", "operator"])
async def test_metrics_are_read(app, who):
    status, headers, body = await get(app, "/metrics", HOST, ("authorization", f"Bearer {who}"))
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert values(body)["yoi_open_sockets", ()] == 3


async def test_only_get(app):
    assert (await get(app, "/metrics", HOST, method="POST"))[0] == 405


def test_busy_says_when_to_come_back():
    response = refusal(Refused(503, "busy", "later"))
    assert response.headers["retry-after"] == "10"


# Figures


def values(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def by(key, value):
    return ((key, value),)


async def test_figures_are_what_happened(hub):
    metrics = Metrics(hub.hub, Listener())
    before = values(metrics.text())
    assert before["yoi_followers", ()] == 0
    channel = hub.hub.channel(hub.stream.subject)
    feed = channel.feed("", Framing.WEBSOCKET, lambda event: event)
    watcher = Written(channel, feed).watcher
    watcher.open("not one of ours at all", 0, snapshot_always=False)
    watcher = Written(channel, feed).watcher
    watcher.open(feed.cursor(99), 0, snapshot_always=False)
    for n in range(6):
        hub.say(f"word {n}")
    after = values(metrics.text())
    assert after["yoi_followers", ()] == 1
    assert after["yoi_followers_total", ()] == 2
    assert after["yoi_events_total", ()] - before["yoi_events_total", ()] == 6
    assert after["yoi_resyncs_total", by("reason", "cursor_future")] == 1
    assert after["yoi_closed_total", by("code", "cursor_malformed")] == 1
    assert after["yoi_ring_events", by("kind", "worker")] == 4
    assert after["yoi_ring_bytes", by("kind", "worker")] == hub.stream.ring_bytes
    assert after["yoi_streams", by("kind", "worker")] == 1
    assert after["yoi_streams", by("kind", "service")] == 0
    assert after["yoi_sent_bytes_total", ()] > 100
    assert after["yoi_refused_total", by("reason", "unauthorized")] == 2
    assert any(name == "process_resident_memory_bytes" for name, _ in after)


async def test_figures_of_a_lagging_client(hub):
    metrics = Metrics(hub.hub, Listener())
    channel = hub.hub.channel(hub.stream.subject)
    feed = channel.feed("", Framing.WEBSOCKET, lambda event: event)
    watcher = Written(channel, feed).watcher
    watcher.open(None, 0, snapshot_always=False)
    watcher.pause(0)
    for n in range(9):
        hub.say(f"word {n}")
    watcher.resume(1)
    assert values(metrics.text())["yoi_resyncs_total", by("reason", "lagged")] == 1


async def test_figures_of_upstreams(hub):
    figures = UpstreamFigures(
        states={"live": 2, "down": 1},
        events={"lost": 4},
        runtimes={"east": RuntimeFigures(up=True, reconnects=3), 'we"st\n': RuntimeFigures(False)},
    )
    found = values(Metrics(hub.hub, Listener(), lambda: figures).text())
    assert found["yoi_upstreams", by("state", "down")] == 1
    assert found["yoi_upstream_events_total", by("event", "lost")] == 4
    assert found["yoi_runtime_up", by("runtime_id", "east")] == 1
    assert found["yoi_runtime_up", by("runtime_id", 'we"st\n')] == 0
    assert found["yoi_runtime_reconnects_total", by("runtime_id", "east")] == 3


async def test_two_in_one_process_do_not_mix(hub):
    one, other = Metrics(hub.hub, Listener()), Metrics(hub.hub, Listener())
    assert values(one.text()).keys() == values(other.text()).keys()
