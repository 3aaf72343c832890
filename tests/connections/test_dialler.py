"""P8: the URL that was authorised is the URL that is dialled, over real sockets and real TLS."""

import dataclasses
import ipaddress
import socket
import ssl

import pytest
import trustme
from tests.connections.conftest import ALLOWED, QUICK, FixedResolver, settings_for
from tests.connections.raw import RawServer

from yoi.connections import MachineNetwork, SocketConnector
from yoi.connections.resolver import pin
from yoi.errors import ConnectionFailure, PermissionDenied
from yoi.limits import LIMITS
from yoi.permissions import Decision, Url
from yoi.permissions.ways_out import WaysOut
from yoi.testing.gateway import FakeGateway

PUBLIC_ONLY = dataclasses.replace(ALLOWED, private_addresses=False)
ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def server_context(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trusting(authority):
    def make():
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    return SocketConnector(limits=QUICK, tls=make)


async def test_a_name_is_looked_up_once_and_the_answer_is_pinned(connect, monkeypatch):
    """No second lookup between the check and the connect: DNS rebinding has nothing to rebind."""
    async with FakeGateway() as gateway:
        resolver = FixedResolver("127.0.0.1")

        def forbidden(*args, **kwargs):
            raise AssertionError("a second lookup")

        monkeypatch.setattr(socket, "getaddrinfo", forbidden)
        _, sink = connect(f"ws://gateway.example.com:{gateway.port}/", resolver=resolver, **ONCE)
        peer = await gateway.accept()
        assert (await sink.next("opened"))[3] == f"127.0.0.1:{gateway.port}"
        assert resolver.asked == [("gateway.example.com", gateway.port)]
        assert dict(peer.headers)["Host"] == f"gateway.example.com:{gateway.port}"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1",
     "64:ff9b::7f00:1", "100.64.0.1", "0.0.0.0"],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_refused(connect, address):
    """Loopback, private, metadata, mapped and translated addresses: not one packet is sent."""
    _, sink = connect(
        "ws://gateway.example.com/",
        resolver=FixedResolver(address),
        authorise=lambda _: PUBLIC_ONLY,
        **ONCE,
    )
    _, error, retry = await sink.next("failed")
    assert isinstance(error, PermissionDenied)
    assert error.code == "denied.address"
    helps = address not in ("64:ff9b::7f00:1", "0.0.0.0")
    assert (error.hint is not None and 'addresses = "private"' in error.hint) is helps
    assert retry is not None


async def test_an_operator_may_call_the_range_of_a_routing_proxy_public():
    url, resolver = Url.parse("wss://example.com/"), FixedResolver("198.18.0.21", "10.0.0.1")
    with pytest.raises(PermissionDenied, match="routes by name") as denied:
        await pin(url, PUBLIC_ONLY, resolver, LIMITS)
    assert "assume_public" in denied.value.hint
    resolver.network.settings = WaysOut(assume_public=(ipaddress.ip_network("198.18.0.0/15"),))
    pinned = await pin(url, PUBLIC_ONLY, resolver, LIMITS)
    assert [str(ip) for ip in pinned] == ["198.18.0.21"]


async def test_of_mixed_answers_only_the_allowed_ones_are_kept_families_in_turn():
    resolver = FixedResolver(
        "10.0.0.1", "93.184.215.14", "93.184.215.15", "::1", "2606:2800::1", "127.0.0.1"
    )
    pinned = await pin(Url.parse("wss://example.com/"), PUBLIC_ONLY, resolver, LIMITS)
    assert [str(ip) for ip in pinned] == ["93.184.215.14", "2606:2800::1", "93.184.215.15"]


async def test_the_number_of_addresses_of_a_name_is_bounded():
    resolver = FixedResolver(*[f"93.184.{n // 256}.{n % 256}" for n in range(300)])
    pinned = await pin(Url.parse("wss://example.com/"), PUBLIC_ONLY, resolver, LIMITS)
    assert len(pinned) == LIMITS.name_addresses


async def test_an_address_literal_is_not_looked_up():
    resolver = FixedResolver("10.0.0.1")
    pinned = await pin(Url.parse("wss://93.184.215.14/"), PUBLIC_ONLY, resolver, LIMITS)
    assert pinned == (ipaddress.ip_address("93.184.215.14"),)
    assert resolver.asked == []


async def test_the_next_address_is_tried_when_one_does_not_answer(connect):
    async with FakeGateway() as gateway:
        url = f"ws://gateway.example.com:{gateway.port}/"
        _, sink = connect(url, resolver=FixedResolver("127.0.0.2", "127.0.0.1"), **ONCE)
        assert (await sink.next("opened"))[3] == f"127.0.0.1:{gateway.port}"


@pytest.mark.parametrize("problem", [OSError("no such host"), UnicodeError("label too long")])
async def test_a_name_that_does_not_resolve_is_a_dns_failure(connect, problem):
    class Failing:
        network = MachineNetwork()

        async def resolve(self, host, port):
            raise problem

    _, sink = connect("ws://gateway.example.com/", resolver=Failing(), **ONCE)
    assert (await sink.next("failed"))[1].code == "connection.dns"
    _, sink = connect("ws://gateway.example.com/", resolver=FixedResolver(), **ONCE)
    assert (await sink.next("failed"))[1].code == "connection.dns"


async def test_nobody_listening_is_refused(connect):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        _, sink = connect(f"ws://127.0.0.1:{port}/", **ONCE)
        error = (await sink.next("failed"))[1]
    assert error.code == "connection.refused"
    assert "127.0.0.1" in error.message


async def test_tls_with_the_right_name(connect, authority):
    """SNI and the certificate's name are the authorised host, though the address was pinned."""
    names = []
    context = server_context(authority, "gateway.example.com")
    context.sni_callback = lambda _, name, __: names.append(name)
    async with FakeGateway(tls=context, subprotocols=["v1"]) as gateway:
        host, sink = connect(
            f"wss://gateway.example.com:{gateway.port}/",
            connector=trusting(authority),
            resolver=FixedResolver("127.0.0.1"),
            subprotocols=("v2", "v1"),
            **ONCE,
        )
        peer = await gateway.accept()
        _, session, subprotocol, *_ = await sink.next("opened")
        assert subprotocol == "v1"
        assert names == ["gateway.example.com"]
        big = "ü" * 300_000
        await peer.send(big)
        assert (await sink.next("text"))[2] == big
        host.send_text(session, big)
        assert await peer.receive() == big


async def test_tls_with_another_hosts_certificate_is_refused(connect, authority):
    async with FakeGateway(tls=server_context(authority, "other.example.com")) as gateway:
        _, sink = connect(
            f"wss://gateway.example.com:{gateway.port}/",
            connector=trusting(authority),
            resolver=FixedResolver("127.0.0.1"),
            **ONCE,
        )
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.tls"
        assert "gateway.example.com" in error.message


async def test_tls_with_an_unknown_authority_is_refused(connect, authority):
    async with FakeGateway(tls=server_context(authority, "gateway.example.com")) as gateway:
        _, sink = connect(
            f"wss://gateway.example.com:{gateway.port}/",
            resolver=FixedResolver("127.0.0.1"),
            **ONCE,
        )
        assert (await sink.next("failed"))[1].code == "connection.tls"


async def test_tls_to_an_address_literal_is_held_to_the_address(connect, authority):
    """RFC 6066: no SNI for a literal, but the certificate must name the address."""
    async with FakeGateway(tls=server_context(authority, "127.0.0.1")) as gateway:
        _, sink = connect(gateway.url, connector=trusting(authority), **ONCE)
        await sink.next("opened")
    async with FakeGateway(tls=server_context(authority, "127.0.0.9")) as gateway:
        _, sink = connect(gateway.url, connector=trusting(authority), **ONCE)
        assert (await sink.next("failed"))[1].code == "connection.tls"


async def test_plain_text_where_tls_was_asked_for_is_refused(connect, authority):
    async with FakeGateway() as gateway:
        _, sink = connect(f"wss://127.0.0.1:{gateway.port}/", connector=trusting(authority), **ONCE)
        assert (await sink.next("failed"))[1].code == "connection.tls"


async def test_a_tls_handshake_that_never_comes_runs_out_of_time(connect):
    async def silent(reader, writer):
        await reader.read()

    limits = dataclasses.replace(QUICK, connect_ms=100)
    async with RawServer(silent) as server:
        url = f"wss://127.0.0.1:{server.port}/"
        _, sink = connect(url, connector=SocketConnector(limits=limits), limits=limits, **ONCE)
        assert (await sink.next("failed"))[1].code in ("connection.timeout", "connection.tls")


async def test_the_granted_size_is_the_bound(connect):
    """W8: a message of exactly the bound is delivered, one byte more is not."""
    async with FakeGateway() as gateway:
        allowed = Decision(allowed=True, private_addresses=True, max_message_bytes=70_000)
        _, sink = connect(gateway.url, authorise=lambda _: allowed, **ONCE)
        peer = await gateway.accept()
        await peer.send("x" * 70_000)
        assert (await sink.next("text"))[3] == 70_000
        await peer.send(["x" * 35_000, "x" * 35_000])
        assert (await sink.next("text"))[3] == 70_000
        await peer.send(["x" * 35_000, "x" * 35_001])
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.too_big"
        assert "max_message_bytes = 70001" in error.hint


async def test_what_is_sent_has_the_same_bound_and_the_refusal_its_key(connect):
    """W8, B6: nothing but the grant bounds one message, also beyond the write buffer's bytes."""
    async with FakeGateway() as gateway:
        allowed = Decision(allowed=True, private_addresses=True, max_message_bytes=9 << 20)
        connection, sink = connect(gateway.url, authorise=lambda _: allowed, **ONCE)
        peer = await gateway.accept()
        await sink.next("opened")
        connection.send_binary(None, bytes(9 << 20))
        assert len(await peer.receive()) == 9 << 20
        with pytest.raises(ConnectionFailure) as refused:
            connection.send_text(None, "x" * ((9 << 20) + 1))
        assert refused.value.code == "connection.too_big"
        assert "max_message_bytes = 9437185" in refused.value.hint
        connection.send_text(None, "the session goes on")
        assert await peer.receive() == "the session goes on"


@pytest.mark.parametrize(("size", "piece"), [(5 << 20, 4096), (1000 << 10, 512), (16 << 20, 512)])
async def test_a_large_message_may_come_in_many_fragments(connect, size, piece):
    async with FakeGateway() as gateway:
        allowed = Decision(allowed=True, private_addresses=True, max_message_bytes=16 << 20)
        _, sink = connect(gateway.url, authorise=lambda _: allowed, **ONCE)
        peer = await gateway.accept()
        await peer.send([b"x" * piece] * (size // piece))
        assert len((await sink.next("binary"))[2]) == size


BAD_SETTINGS = {
    "cookie": {"headers": (("Cookie", "a=b"),)},
    "authorization": {"headers": (("Authorization", "Bearer x"),)},
    "proxy": {"headers": (("Proxy-Thing", "x"),)},
    "sec": {"headers": (("Sec-WebSocket-Key", "x"),)},
    "host": {"headers": (("host", "elsewhere"),)},
    "injection": {"headers": (("X-A", "b\r\nHost: elsewhere"),)},
    "name": {"headers": (("X A", "b"),)},
    "unicode": {"headers": (("X-A", "ü"),)},
    "long": {"headers": (("X-A", "b" * 5000),)},
    "many": {"headers": tuple((f"X-{n}", "b") for n in range(100))},
    "protocol": {"subprotocols": ("a b",)},
    "protocols": {"subprotocols": tuple("abcdefghijk")},
    "twice": {"subprotocols": ("a", "a")},
    "origin": {"origin": "https://a\r\nX: y"},
    "ping": {"ping_ms": -1},
    "pong": {"pong_ms": 0},
    "backoff": {"backoff_first_ms": 10, "backoff_max_ms": 1},
    "fatal": {"fatal_close_codes": frozenset({12})},
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_settings_that_no_connection_may_have_are_refused(name):
    with pytest.raises(ValueError, match=r".+"):
        settings_for("ws://example.com/", **BAD_SETTINGS[name])


def test_an_origin_is_sent_only_where_declared():
    from yoi.connections import DialTarget
    from yoi.connections.handshake import new_protocol

    def request(**changes):
        settings = settings_for("wss://example.com/ws", **changes)
        protocol = new_protocol(settings.handshake, DialTarget(settings.url), 1, "me/1")
        return b"".join(protocol.data_to_send()).decode()

    assert "Origin" not in request()
    assert "\r\nOrigin: https://app.example.com\r\n" in request(origin="https://app.example.com")
    assert "\r\nUser-Agent: me/1\r\n" in request()
