"""A plugin renews what `yoi secret authorize` stored and sees no token; the server is Authlib's."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from tests.runtime.test_authorizing import BROWSER, Person, flow, provider, server

from yoi.connections import HttpAnswer, RequestClient
from yoi.connections.answers import BodyKind
from yoi.connections.resolver import SystemResolver
from yoi.core.captures import HandleTable
from yoi.errors import RequestFailure, SecretError
from yoi.permissions import Authority, PermissionSet
from yoi.protocol.session_commands import Request
from yoi.runtime.secret_injector import SecretInjector
from yoi.runtime.service_requests import ServiceRequests
from yoi.types import Secret, SystemClock

__all__ = ["server"]
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Store:
    """The operator's secrets, as the injector and a rotation see them."""

    values: dict[str, str] = field(default_factory=dict)

    def secret(self, name):
        return Secret(name, self.values[name]) if name in self.values else None

    def get(self, name):
        return Secret(name, self.values[name])

    async def replace(self, name, value):
        self.values[name] = value


def sets(url, rotating=True):
    """Return what the manifest asks for and what was granted."""
    at = urlsplit(url)
    target = {
        "name": "token",
        "scheme": "http",
        "host": at.hostname,
        "port": at.port,
        "methods": ["POST"],
        "path_prefixes": ["/token"],
        "captures": [
            {"name": "access", "at": "/access_token", "rotates": "chat"},
            {"name": "refresh", "at": "/refresh_token", "rotates": "renewal"},
        ],
    }
    uses = [
        {"name": "renewal", "request": "token", "at": ["/body/refresh_token"]},
        {"name": "chat", "request": "token", "at": ["/headers/authorization"]},
    ]
    names = {"renewal": "chat.refresh", "chat": "chat"}
    granted = [{**use, "secret": names[use["name"]]} for use in uses]
    api = [{"kind": "host_api", "api": "request"}]
    if not rotating:
        granted = granted[:1]
    return (
        PermissionSet.parse(api, [], [target], uses),
        PermissionSet.parse(api, [], [target], granted),
    )


def renewal(**more):
    body = {"grant_type": "refresh_token", "client_id": "desktop", "refresh_token": ""}
    return Request(
        **{
            "target": "token",
            "method": "POST",
            "path": "/token",
            "query": {},
            "headers": FORM,
            "json": body,
            "text": None,
            "insert": ({"at": "/body/refresh_token", "secret": "renewal"},),
            "capture": ("access", "refresh"),
            **more,
        }
    )


def service(url, store, send=None, rotating=True):
    authority = Authority(*sets(url, rotating), plugin="mine")
    injector = SecretInjector("mine", authority, store, HandleTable(), SystemClock())
    client = RequestClient(SystemResolver(), SystemClock())
    return ServiceRequests("mine", authority, injector, send or client.send, store)


async def test_what_was_authorized_is_renewed_and_stays_unseen(server):
    tokens = await flow(provider(server, ways=BROWSER), Person()).by_browser()
    store = Store({"chat": tokens.access, "chat.refresh": tokens.refresh})
    requests = service(server.url, store)
    for round_ in (1, 2):
        command = renewal()
        payload = await requests.carry_out(requests.prepare(command, "c1"), command.capture)
        assert payload["status"] == 200
        await server.until(lambda heard, told=round_: len(heard) > told)
        given = server.heard[round_]
        assert store.values == {
            "chat": given["access_token"],
            "chat.refresh": given["refresh_token"],
        }
        assert given["access_token"] not in str(payload)
        assert given["refresh_token"] not in str(payload)


async def test_what_cannot_be_captured_or_stored_is_told_to_plugin_and_operator():
    """N12: once when it begins, once when it is over, and in status meanwhile."""
    store, told = Store({"chat": "a", "chat.refresh": "b"}), []
    bodies = [{"access_token": "c"}, {"access_token": "c"}, {"access_token": 1}]
    bodies += [{"access_token": "c", "refresh_token": "d"}] * 2

    async def send(prepared, authorise):
        body = bodies.pop(0)
        return HttpAnswer(status=200, headers={}, body=body, body_kind=BodyKind.JSON)

    async def full(name, value):
        raise SecretError("secret.io", "no room")

    requests = service("http://127.0.0.1:1", store, send)
    requests.watch.tell = lambda change: told.append(change.code)
    prepared = requests.prepare(renewal(), "c1")
    heard = []
    for _ in range(5):
        payload = await requests.carry_out(prepared, ("access", "refresh"))
        heard.append(sorted(one["code"] for one in payload.get("capture_errors", {}).values()))
        (status,) = requests.watch.statuses()
        assert (status.code in heard[-1]) == bool(heard[-1])
        store.replace = full if len(bodies) == 1 else Store.replace.__get__(store)
    assert heard[:2] == [["capture.absent"]] * 2
    assert heard[2:] == [["capture.absent", "capture.type"], [], ["secret.io", "secret.io"]]
    assert told == ["capture.absent", None, "secret.io"]
    assert (status.requests, status.failed) == (5, 4)


async def test_a_rotation_that_was_not_granted_stores_nothing_and_gives_no_handle():
    async def send(prepared, authorise):
        body = {"access_token": "c", "refresh_token": "d"}
        return HttpAnswer(status=200, headers={}, body=body, body_kind=BodyKind.JSON)

    store = Store({"chat.refresh": "b"})
    requests = service("http://127.0.0.1:1", store, send, rotating=False)
    payload = await requests.carry_out(requests.prepare(renewal(), "c1"), ("access", "refresh"))
    assert payload["capture_errors"]["access"]["code"] == "denied.not_granted"
    assert "captured" not in payload
    assert store.values == {"chat.refresh": "d"}
    assert payload["body"] == {"access_token": None, "refresh_token": None}


@pytest.mark.parametrize("body", [["a"], {"a": 1}, {"a": {"b": "c"}}, {"a": "\ud800"}, "text"])
def test_a_form_is_an_object_of_texts(body):
    requests = service("http://127.0.0.1:1", Store())
    with pytest.raises(RequestFailure) as caught:
        requests.prepare(renewal(json=body, insert=()), "c1")
    assert caught.value.code == "request.malformed"


def test_a_form_is_encoded_as_browsers_do():
    requests = service("http://127.0.0.1:1", Store())
    sent = requests.prepare(renewal(json={"a": "b c&d=é", "e": ""}, insert=()), "c1")
    assert sent.body == b"a=b+c%26d%3D%C3%A9&e="
    assert [value for name, value in sent.headers if name.lower() == "content-type"] == [
        FORM["content-type"]
    ]
    # Without the header it is JSON, as ever.
    assert (
        requests.prepare(renewal(headers={}, json={"a": "b"}, insert=()), "c").body == b'{"a":"b"}'
    )
