"""W7, P4: where a socket that a plugin opens itself may lead, asked anew with each use."""

from types import SimpleNamespace

import pytest
from tests.runtime.desks import PULL, Desk, Host, having, target

from yoi.connections import DialTarget
from yoi.errors import PermissionDenied
from yoi.permissions import Authority, PermissionSet, Url
from yoi.permissions.connection_settings import Handshake
from yoi.runtime.pull_targets import DeclaredConnection, Opening, PullTargets
from yoi.testing.gateway import FakeGateway

STANDING = {"kind": "connection", "name": "feed"}
URL = Url.parse("ws://127.0.0.1:9/feed")


def opening(*permissions, granted=None):
    """Return an opening as the connection `feed` of a plugin that asks for `permissions`."""
    asked = having(*permissions, websocket=[target(9)])
    authority = Authority(asked, asked if granted is None else granted)
    settings = SimpleNamespace(url=URL, handshake=Handshake())
    feed = DeclaredConnection(settings, lambda url: authority.connection("feed", url))
    made = PullTargets(authority, None, {"feed": feed})
    return made.opening("", (), {}, {}, (), "feed"), authority


def test_as_a_connection_it_needs_the_keys_of_both():
    assert opening(PULL, STANDING)[0].decide(URL).allowed
    for lacks in (STANDING,), (PULL,):
        assert opening(*lacks)[0].decide(URL).code == "denied.not_requested"
        granted = having(*lacks, websocket=[target(9)])
        assert opening(PULL, STANDING, granted=granted)[0].decide(URL).code == "denied.not_granted"


def test_the_grants_in_force_then_decide():
    made, authority = opening(PULL, STANDING)
    authority.regrant(PermissionSet())
    assert made.decide(URL).code == "denied.not_granted"


async def test_what_is_dialled_is_judged_with_what_was_put_into_it():
    """A granted value may stand in the path, which then leads elsewhere."""
    host = Host()
    async with FakeGateway() as gateway:
        url = Url.parse(f"{gateway.url}here")
        filled = Url.parse(f"{gateway.url}elsewhere")
        authority = Authority(
            *[having(PULL, websocket=[target(gateway.port, path_prefixes=["/here"])])] * 2
        )
        good = Opening(url, Handshake(), authority.websocket, lambda: DialTarget(url))
        (await host.dialler.dial(good, "mine")).abort()
        with pytest.raises(PermissionDenied):
            await host.dialler.dial(
                Opening(url, Handshake(), authority.websocket, lambda: DialTarget(filled)), "mine"
            )


async def test_a_socket_is_closed_at_the_first_use_that_is_not_allowed():
    async with FakeGateway() as gateway:
        full = having(PULL, websocket=[target(gateway.port)])
        desk = Desk(full)
        handle = (await desk.ok("websocket.open", {"url": gateway.url}))["handle"]
        desk.authority.regrant(PermissionSet())
        assert await desk.code("websocket.send-text", handle, "x") == "denied.not_granted"
        assert await desk.code("websocket.status", handle) == "service.handle"
        assert (await (await gateway.accept()).closed())[0] == 1008
        await desk.end()
