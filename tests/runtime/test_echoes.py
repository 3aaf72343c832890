"""K3: what servers give back is masked on every way to a guest or a person, and bytes are whole."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from tests.connections.conftest import settings_for
from tests.runtime.desks import REQUEST, Desk, having

from yoi.connections.background_work import BackgroundWork
from yoi.core.captures import Captured, HandleTable
from yoi.core.deferred import DeferredCalls
from yoi.core.ingress_account import IngressPolicy
from yoi.core.ingress_queue import IngressQueue
from yoi.core.redaction import MASK, Masker
from yoi.core.repeats import Repeats
from yoi.limits import LIMITS, Limits
from yoi.permissions import Authority, PermissionSet
from yoi.permissions.connection_settings import Deliver, OnFull
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.runtime.connection_adapter import ConnectionAdapter
from yoi.runtime.echoes import Echoes, credential_parts
from yoi.runtime.intake import MemoryIntake
from yoi.runtime.ledger import Ledger
from yoi.runtime.masked_sink import MaskedSink
from yoi.runtime.secret_injector import SecretInjector
from yoi.testing import ManualClock
from yoi.testing.http_server import HttpAnswer, HttpServer
from yoi.types import Secret, SessionId

VALUE = 'key-AbC/12"34+56=e78zz'
TICKET = "THE-PATH-IS-THE-SECRET-0123456789"
SESSION = SessionId("s1")


class Store:
    """A secret store whose one secret can be rotated."""

    def __init__(self, value=VALUE):
        self.rotate(value)

    def rotate(self, value):
        self.held = Secret("stored", value)

    def get(self, name):
        return self.held

    def secret(self, name):
        return self.held if name == "stored" else None


def injector(store):
    secrets = [{"name": "bot", "connection": "gateway", "at": ["/token"]}]
    asked = PermissionSet.parse([{"kind": "connection", "name": "gateway"}], [], [], secrets)
    clock = ManualClock()
    granted = asked.granting({"bot": "stored"})
    authority = Authority(asked, granted, plugin="p")
    return SecretInjector("p", authority, store, HandleTable(), clock)


def test_a_rotated_value_stays_masked_and_the_new_one_is():
    store = Store()
    made = injector(store)
    before = made.masker()
    assert made.masker() is before
    store.rotate("the-new-value-0123456789")
    assert made.masker() is not before
    assert made.masker().text(f"{VALUE} the-new-value-0123456789") == f"{MASK} {MASK}"


def test_a_value_that_was_inserted_and_rotated_in_between_is_masked():
    store = Store()
    made = injector(store)
    insert = ({"at": "/token", "secret": "bot"},)
    assert made.fill({"token": None}, insert, connection="gateway").document == {"token": VALUE}
    store.rotate("the-new-value-0123456789")
    assert made.masker().text(VALUE) == MASK


def test_captured_values_are_masked_and_numbers_are_not():
    made = injector(Store())
    made.hide(Captured("socket", f"wss://example.com/link/{TICKET}/?ticket=t%2Fabcdefghijklmn&v=1"))
    made.hide(Captured("token", "an-access-token-of-some-length"))
    made.hide(Captured("number", 12345678901234567890))
    mask = made.masker().text
    assert mask(f"no /link/{TICKET}/") == f"no /link/{MASK}/"
    assert mask("t/abcdefghijklmn, t%2fabcdefghijklmn") == f"{MASK}, {MASK}"
    assert mask("an-access-token-of-some-length") == MASK
    assert mask("v=1 link 12345678901234567890") == "v=1 link 12345678901234567890"


def test_a_url_without_long_parts_is_masked_by_its_path_and_query():
    assert credential_parts("wss://example.com/a/short-one/b?c=1", 16) == ["/a/short-one/b", "c=1"]
    assert credential_parts("no url", 16) == ["no url"]
    assert credential_parts("wss://example.com/%ff%ff%ff%ff%ff%ff", 16) == ["%ff%ff%ff%ff%ff%ff"]


def test_what_is_remembered_is_bounded_and_the_current_ones_stay():
    echoes = Echoes(Limits(mask_remembered=2))
    current = [Secret("now", "the-current-value-01")]
    for number in range(5):
        echoes.remember(f"an-earlier-value-{number}")
    echoes.remember("short")
    masked = echoes.masker(current).text(
        "the-current-value-01 " + " ".join(f"an-earlier-value-{number}" for number in range(5))
    )
    assert masked.count(MASK) <= 3
    assert masked.startswith(MASK)
    assert masked.endswith(MASK)
    assert "current" not in repr(echoes)


# -- HTTP -----------------------------------------------------------------------------------------


def answer(request):
    if request.path == "/json":
        return HttpAnswer.of_json({"you sent": [VALUE], VALUE: json.dumps({"a": VALUE})}, 401)
    if request.path == "/head":
        return HttpAnswer(b"ok", 200, {"x-echo": VALUE, "content-type": "text/plain"})
    if request.path == "/text":
        return HttpAnswer(f"<p>{quote(VALUE)}".encode(), 200, {"content-type": "text/html"})
    if request.path == "/bytes":
        headers = {"content-type": "a/b", "x-echo": VALUE}
        return HttpAnswer(b"\x00\x01" + VALUE.encode() + b"\xff", 200, headers)
    if request.path == "/ticket":
        return HttpAnswer.of_json({"ticket": TICKET, "again": [TICKET]})
    if request.path == "/other-bytes":
        return HttpAnswer(b"\x00\x01\xff", 200, {"content-type": "a/b"})
    return HttpAnswer(b"", 302, {"location": f"http://127.0.0.1:1/{quote(VALUE, safe='')}"})


@pytest.fixture
async def asking() -> AsyncIterator[Desk]:
    async with HttpServer(answer) as server:
        target = {"scheme": "http", "host": "127.0.0.1", "port": server.port, "methods": ["GET"]}
        desk = Desk(having(REQUEST, request=[{**target, "name": "api"}]))
        desk.holds(VALUE)
        yield desk
        await desk.end()


async def told(desk, path):
    return await desk.ask("request.request", {"method": "GET", "target": "api", "path": path})


async def test_bodies_headers_and_refusals_of_requests_are_masked(asking):
    got = (await told(asking, "/json"))["ok"]
    assert got["body"] == {"you sent": [MASK], MASK: json.dumps({"a": MASK})}
    got = (await told(asking, "/head"))["ok"]
    assert (got["headers"]["x-echo"], got["body"]) == (MASK, "ok")
    assert (await told(asking, "/text"))["ok"]["body"] == f"<p>{MASK}"
    got = (await told(asking, "/bytes"))["ok"]
    assert (got["body"], got["body_kind"], got["headers"]["x-echo"]) == (None, "withheld", MASK)
    refused = (await told(asking, "/redirect"))["error"]
    assert refused["code"] == "request.redirect"
    assert "AbC" not in json.dumps(refused)
    assert "AbC" not in repr(asking.refused)


async def test_bytes_of_an_answer_come_whole_or_not_at_all(asking):
    got = (await told(asking, "/bytes"))["ok"]
    assert (got["status"], got["body"], got["body_kind"]) == (200, None, "withheld")
    got = (await told(asking, "/other-bytes"))["ok"]
    assert base64.b64decode(got["body"]) == b"\x00\x01\xff"


# -- connections ----------------------------------------------------------------------------------


def adapter(masker):
    clock = ManualClock()
    heard = []
    queue = IngressQueue([IngressPolicy("events", OnFull.PAUSE, 8, 8_000)], LIMITS)
    ledger = Ledger("p", clock, heard.append, LIMITS, masker)
    kinds = frozenset({Deliver.TEXT, Deliver.BINARY, Deliver.GAP})
    made = settings_for("wss://gateway.example.com/ws", deliver=kinds)
    intake = MemoryIntake(queue, Repeats({}), clock)
    adapter = ConnectionAdapter(made, queue, intake, ledger, clock, lambda: None, DeferredCalls())
    loop = asyncio.get_running_loop()
    return (
        MaskedSink(adapter, masker, BackgroundWork(), loop, "x", pytest.fail),
        adapter,
        queue,
        heard,
    )


async def test_a_binary_frame_that_repeats_a_secret_is_left_out_and_told_as_a_gap():
    made, told, queue, heard = adapter(lambda: Masker([Secret("bot", VALUE)]))
    made.binary(SESSION, b"\x16\x00\x00\x00" + VALUE.encode())
    made.binary(SESSION, b"\x01\x02")
    taken = queue.take(8, 8_000)
    assert [event.kind for event in taken] == [EventKind.GAP, EventKind.BINARY]
    gap, frame = taken
    assert (gap.payload["why"], gap.payload["count"]) == ("withheld", 1)
    assert frame.data == b"\x01\x02"
    assert [entry.code for entry in heard] == ["notice.binary_withheld", "notice.gap"]
    assert told.binary_ignored == 1


async def test_a_capture_is_masked_from_the_next_frame_of_an_open_session_on():
    echoes = Echoes()
    made, _, queue, _ = adapter(lambda: echoes.masker(()))
    made.text(SESSION, f"a {TICKET}", 40)
    echoes.remember_captured(TICKET)
    made.text(SESSION, f"b {TICKET}", 40)
    frames = [event.text for event in queue.take(8, 8_000) if isinstance(event, TextFrame)]
    assert frames == [f"a {TICKET}", f"b {MASK}"]


async def test_what_a_request_captures_is_masked_in_its_answer_and_in_open_sessions():
    async with HttpServer(answer) as server:
        target = {"scheme": "http", "host": "127.0.0.1", "port": server.port, "methods": ["GET"]}
        captures = [{"name": "ticket", "at": "/ticket"}]
        desk = Desk(having(REQUEST, request=[{**target, "name": "api", "captures": captures}]))
        made, _, queue, _ = adapter(desk.masker)
        made.text(SESSION, f"a {TICKET}", 40)
        ask = {"method": "GET", "target": "api", "path": "/ticket"}
        got = await desk.ok("request.request", ask)
        made.text(SESSION, f"b {TICKET}", 40)
        await desk.end()
    assert got["body"]["again"] == [MASK]
    assert TICKET not in json.dumps(got)
    assert set(got["captured"]) == {"ticket"}
    frames = [event.text for event in queue.take(8, 8_000) if isinstance(event, TextFrame)]
    assert frames == [f"a {TICKET}", f"b {MASK}"]


async def test_whatever_is_noted_is_masked_before_it_is_cut():
    made, _, _, heard = adapter(lambda: Masker([Secret("bot", VALUE)]))
    filler = "x" * (LIMITS.message_chars - 10)
    made.notice("notice.watch", f"{filler}{VALUE}", {"why": [VALUE], "n": 1})
    (entry,) = heard
    assert "AbC" not in entry.message
    assert "key-" not in entry.message
    assert entry.fields == {"why": [MASK], "n": 1}
