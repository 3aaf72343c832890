"""N2: proxies and authorities of the operator's, and what is said where a way out is missing."""

import asyncio
import base64
import contextlib
import dataclasses
import os
import socket
import ssl
from ipaddress import ip_address

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.connections.conftest import ALLOWED, QUICK, FixedResolver
from tests.connections.proxying import HttpProxy, SocksProxy
from tests.connections.raw import RawServer
from tests.connections.test_request_client import Server, prepared, reply

from yoi.connections import MachineNetwork, RequestClient, SocketConnector, SystemResolver, Ways
from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.lookups import Lookups
from yoi.connections.proxies import lead
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS
from yoi.permissions import Url
from yoi.permissions.targets import host_pattern
from yoi.permissions.ways_out import Proxy, Trusted, Unproxied, WaysOut
from yoi.testing import ManualClock
from yoi.testing.gateway import FakeGateway

PUBLIC = dataclasses.replace(ALLOWED, private_addresses=False)
ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}
FAR = "192.0.2.7"
LOGIN = "Basic " + base64.b64encode(b"me:secret").decode()


def ways(proxy=None, **more):
    parsed = None if proxy is None else Proxy.parse(proxy)
    return Ways(MachineNetwork(WaysOut(parsed, **more)), FixedResolver("127.0.0.1"), QUICK)


def through(connect, gateway, proxy, *, far=FAR, **more):
    return connect(
        f"ws://gateway.example.com:{gateway.port}/",
        connector=SocketConnector(limits=QUICK, ways=ways(proxy, **more)),
        resolver=FixedResolver(far),
        **ONCE,
    )


# -- who calls -----------------------------------------------------------------------------------


async def test_all_that_is_sent_carries_the_operators_user_agent_unless_another_is_set(
    connect,
):
    network = MachineNetwork(WaysOut(user_agent="acme/1 (+https://acme.example)"))
    calling = Ways(network, FixedResolver("127.0.0.1"), QUICK)
    asking = RequestClient(FixedResolver("127.0.0.1"), ManualClock(), QUICK, ways=calling)

    def agents(sent):
        return [value for name, value in sent if name.lower() == "user-agent"]

    async def asked(**changes):
        async with Server(reply()) as server:
            await asking.send(prepared(server.at("/"), **changes), lambda *_: ALLOWED)
            return agents(server.requests[0][1])

    async def dialled(**changes):
        connector = SocketConnector(limits=QUICK, ways=calling)
        async with FakeGateway() as gateway:
            connect(gateway.url, connector=connector, **changes)
            return agents((await gateway.accept()).headers)

    assert await asked() == ["acme/1 (+https://acme.example)"]
    assert await asked(headers=(("user-agent", "mine/1"),)) == ["mine/1"]
    assert await dialled() == ["acme/1 (+https://acme.example)"]
    assert await dialled(headers=(("User-Agent", "mine/1"),)) == ["mine/1"]
    # In force for the next one, as all of [network].
    network.settings = WaysOut()
    assert (await asked())[0].startswith("yoi/")
    assert (await dialled())[0].startswith("yoi/")


# -- proxies that do their work -------------------------------------------------------------------


@pytest.mark.parametrize("login", ["", "me:secret@"])
async def test_a_connection_goes_through_an_http_proxy_to_the_checked_address(connect, login):
    async with FakeGateway() as gateway, HttpProxy() as proxy:
        _, sink = through(connect, gateway, proxy.at(login))
        peer = await gateway.accept()
        assert (await sink.next("opened"))[3] == f"{FAR}:{gateway.port}"
        assert dict(peer.headers)["Host"] == f"gateway.example.com:{gateway.port}"
        lines = proxy.heads[0].split("\r\n")
        assert lines[0] == f"CONNECT {FAR}:{gateway.port} HTTP/1.1"
        assert (f"Proxy-Authorization: {LOGIN}" in lines) is bool(login)
        await peer.send("hello")
        assert (await sink.next("text"))[2] == "hello"


@pytest.mark.parametrize("far", [FAR, "2001:db8::7"])
@pytest.mark.parametrize("login", [None, (b"me", b"secret")])
async def test_a_connection_goes_through_a_socks_proxy(connect, far, login):
    async with FakeGateway() as gateway, SocksProxy(login) as proxy:
        _, sink = through(connect, gateway, proxy.at("me:secret@" if login else ""), far=far)
        await sink.next("opened")
        assert proxy.asked == [(far, gateway.port)]


async def test_a_request_goes_through_the_proxy_too():
    async with Server(reply(b"hello")) as server, HttpProxy() as proxy:
        use = RequestClient(FixedResolver(FAR), ManualClock(), QUICK, ways=ways(proxy.at()))
        url = f"http://api.example.com:{server.port}/x"
        answer = await use.send(prepared(url), lambda *_: ALLOWED)
        assert (answer.ok, answer.body) == (True, "hello")
        assert proxy.heads[0].startswith(f"CONNECT {FAR}:{server.port} ")


@pytest.mark.parametrize("direct", ["gateway.example.com", "*.example.com", "127.0.0.0/8", ""])
async def test_what_needs_no_proxy_is_dialled_directly(connect, direct):
    """And loopback always: it would be the proxy's own."""
    async with FakeGateway() as gateway, HttpProxy() as proxy:
        not_through = (Unproxied.parse(direct),) if direct else ()
        _, sink = through(connect, gateway, proxy.at(), far="127.0.0.1", no_proxy=not_through)
        await sink.next("opened")
        assert proxy.heads == []


# -- proxies that look names up ------------------------------------------------------------------


def by_name(connect, gateway, proxy, *, host="gateway.example.com", no_proxy=(), **changes):
    """Connect by a proxy that gets names; whatever is looked up here leads nowhere."""
    network = MachineNetwork(
        WaysOut(
            Proxy.parse(proxy),
            tuple(Unproxied.parse(one) for one in no_proxy),
            proxy_resolves=True,
        )
    )
    resolver = FixedResolver("127.0.0.1")
    resolver.network = network
    _, sink = connect(
        f"ws://{host}:{gateway.port}/",
        connector=SocketConnector(limits=QUICK, ways=Ways(network, resolver, QUICK)),
        resolver=resolver,
        **ONCE,
        **changes,
    )
    return sink, resolver


@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
async def test_a_proxy_that_resolves_is_given_the_name_and_nothing_is_looked_up(connect, kind):
    async with FakeGateway() as gateway, kind() as proxy:
        sink, resolver = by_name(connect, gateway, proxy.at(), authorise=lambda _: PUBLIC)
        opened = await sink.next("opened")
        where = f"gateway.example.com:{gateway.port}"
        assert opened[3] == f"{where}, wherever the proxy leads"
        if kind is HttpProxy:
            assert proxy.heads[0].startswith(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n")
        else:
            assert proxy.asked == [("gateway.example.com", gateway.port)]
        assert resolver.asked == []
        peer = await gateway.accept()
        assert dict(peer.headers)["Host"] == where


async def test_a_request_by_name_goes_the_same_way():
    async with Server(reply(b"hello")) as server, HttpProxy() as proxy:
        network = MachineNetwork(WaysOut(Proxy.parse(proxy.at()), proxy_resolves=True))
        resolver = FixedResolver()
        resolver.network = network
        out = Ways(network, resolver, QUICK)
        use = RequestClient(resolver, ManualClock(), QUICK, ways=out)
        url = f"http://api.example.com:{server.port}/x"
        answer = await use.send(prepared(url), lambda *_: PUBLIC)
        assert (answer.ok, answer.body) == (True, "hello")
        assert proxy.heads[0].startswith(f"CONNECT api.example.com:{server.port} ")


@pytest.mark.parametrize(
    ("host", "no_proxy"),
    [
        ("gateway.example.com", ["*.example.com"]),
        ("gateway.example.com", ["*"]),
        ("localhost", []),
        ("gateway.localhost", []),
        ("127.0.0.1", []),
    ],
)
async def test_what_a_proxy_would_take_for_its_own_or_is_not_for_it_is_dialled(
    connect, host, no_proxy
):
    async with FakeGateway() as gateway, HttpProxy() as proxy:
        sink, _ = by_name(connect, gateway, proxy.at(), host=host, no_proxy=no_proxy)
        assert (await sink.next("opened"))[3] == f"127.0.0.1:{gateway.port}"
        assert proxy.heads == []


@pytest.mark.parametrize(
    "host", ["gateway", "gateway.local", "metadata.google.internal", "x.home.arpa"]
)
async def test_a_private_name_is_handed_over_where_both_sides_say_private_only(connect, host):
    async with FakeGateway() as gateway, HttpProxy() as proxy:
        refused, _ = by_name(connect, gateway, proxy.at(), host=host, authorise=lambda _: PUBLIC)
        error = (await refused.next("failed"))[1]
        assert (error.code, proxy.heads) == ("denied.address", [])
        assert 'addresses = "private"' in error.hint
        sink, _ = by_name(connect, gateway, proxy.at(), host=host)
        await sink.next("opened")


@pytest.mark.parametrize("literal", ["10.0.0.1", "169.254.169.254", "[fd00::1]"])
async def test_addresses_written_as_such_are_judged_all_the_same(connect, literal):
    async with FakeGateway() as gateway, HttpProxy() as proxy:
        sink, _ = by_name(connect, gateway, proxy.at(), host=literal, authorise=lambda _: PUBLIC)
        assert (await sink.next("failed"))[1].code == "denied.address"
        assert proxy.heads == []


async def test_a_name_that_fails_here_says_that_the_proxy_might_know_it(connect):
    def nothing(host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    network = MachineNetwork(WaysOut(Proxy.parse("http://proxy.example:3128")))
    resolver = SystemResolver(QUICK, lookups=Lookups(QUICK, nothing), network=network)
    _, sink = connect("wss://gateway.example.com/", resolver=resolver.of("p"), **ONCE)
    error = (await sink.next("failed"))[1]
    assert error.code == "connection.dns"
    assert "proxy_resolves = true in [network] of host.toml" in error.hint


# -- settings that change -------------------------------------------------------------------------


async def test_the_next_dial_goes_by_the_settings_that_are_in_force_then(connect):
    async with FakeGateway() as gateway, HttpProxy() as proxy:
        network = MachineNetwork()
        resolver = FixedResolver("127.0.0.1")
        resolver.network = network
        _, sink = connect(
            f"ws://gateway.example.com:{gateway.port}/",
            connector=SocketConnector(limits=QUICK, ways=Ways(network, resolver, QUICK)),
            resolver=resolver,
        )
        await sink.next("opened")
        network.settings = WaysOut(Proxy.parse(proxy.at()), proxy_resolves=True)
        assert proxy.heads == []
        await (await gateway.accept()).close()
        await sink.next("opened")
        assert proxy.heads[0].startswith("CONNECT gateway.example.com:")


# -- proxies that do not --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "problem", "words"),
    [
        (
            b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n",
            "credentials",
            "asks for credentials",
        ),
        (b"HTTP/1.1 403 x\r\n\r\n", "refused", "answered 403"),
        (b"HTTP/1.0 502 x\r\n\r\n", "refused", "answered 502"),
        (b"HTTP/1.1 200 x\r\n\r\nand more", "protocol", "sends data of its own"),
        (b"220 mail.example.com\r\n", "protocol", "does not answer as an HTTP proxy"),
        (b"\x05\x00", "protocol", "does not answer as an HTTP proxy"),
        (b"HTTP/1.1 200 x\r\nx: " + b"y" * 20_000, "protocol", "answers with more than"),
        (b"", "lost", "hung up"),
    ],
)
async def test_an_http_proxy_that_lies_or_refuses_is_named(connect, answer, problem, words):
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with FakeGateway() as gateway, RawServer(script) as proxy:
        _, sink = through(connect, gateway, f"http://127.0.0.1:{proxy.port}")
        error = (await sink.next("failed"))[1]
        assert error.code == f"connection.proxy_{problem}"
        assert words in error.message
        assert f"http://127.0.0.1:{proxy.port}" in error.message
        assert "[network] of host.toml" in error.hint


@pytest.mark.parametrize(
    ("proxy", "login", "problem", "words"),
    [
        (SocksProxy((b"me", b"secret")), "", "credentials", "asks for credentials"),
        (SocksProxy((b"me", b"secret")), "me:wrong@", "credentials", "refuses the credentials"),
        (SocksProxy(refuse=5), "", "refused", "the connection was refused"),
        (SocksProxy(refuse=99), "", "refused", "failure 99"),
        (SocksProxy(bound=b"\x09"), "", "protocol", "does not answer as a SOCKS 5 proxy"),
    ],
)
async def test_a_socks_proxy_that_refuses_is_named(connect, proxy, login, problem, words):
    async with FakeGateway() as gateway, proxy:
        _, sink = through(connect, gateway, proxy.at(login))
        error = (await sink.next("failed"))[1]
        assert error.code == f"connection.proxy_{problem}"
        assert words in error.message
        assert proxy.at() in error.message
        assert "[network] of host.toml" in error.hint
        assert "secret" not in error.message + error.hint
        assert "wrong" not in error.message + error.hint


@pytest.mark.parametrize(
    ("kind", "said"),
    [("http", b""), ("http", b"HTTP/1.1 200 OK\r\nX: "), ("socks5", b""), ("socks5", b"\x05\x00")],
)
async def test_a_proxy_that_never_answers_is_named(connect, kind, said):
    """Nor one that begins to: no byte of an answer buys it time."""

    async def silent(reader, writer):
        writer.write(said)
        await reader.read()

    limits = dataclasses.replace(QUICK, proxy_ms=100)
    async with FakeGateway() as gateway, RawServer(silent) as proxy:
        place = f"{kind}://127.0.0.1:{proxy.port}"
        network = MachineNetwork(WaysOut(Proxy.parse(place)))
        _, sink = connect(
            gateway.url.replace("127.0.0.1", "gateway.example.com"),
            connector=SocketConnector(limits=limits, ways=Ways(network, FixedResolver(), limits)),
            resolver=FixedResolver(FAR, "192.0.2.8"),
            **ONCE,
        )
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.proxy_silent"
        assert f"the proxy {place} did not answer within 100 ms" in error.message
        assert "[network] of host.toml" in error.hint


async def test_a_request_names_the_proxy_like_a_connection():
    async with HttpProxy(b"HTTP/1.1 407 x\r\n\r\n") as proxy:
        use = RequestClient(FixedResolver(FAR), ManualClock(), QUICK, ways=ways(proxy.at()))
        answer = await use.send(prepared("http://api.example.com/x"), lambda *_: ALLOWED)
        assert answer.error.code == "request.proxy_credentials"
        assert proxy.at() in answer.error.message
        assert "http://USER:PASSWORD@127.0.0.1" in answer.error.hint


async def test_a_proxy_that_is_not_there_is_named(connect):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with FakeGateway() as gateway:
            _, sink = through(connect, gateway, place)
            error = (await sink.next("failed"))[1]
    assert error.code == "connection.proxy"
    assert f"the proxy {place} could not be reached" in error.message


@settings(max_examples=60)
@given(st.sampled_from(["http", "socks5"]), st.binary(max_size=300))
def test_whatever_a_proxy_says_is_an_end_with_a_code(kind, said):
    async def run():
        mine, theirs = socket.socketpair()
        with mine, theirs:
            mine.setblocking(False)
            theirs.sendall(said)
            theirs.shutdown(socket.SHUT_WR)
            proxy = Proxy.parse(f"{kind}://me:secret@proxy.example:1")
            with contextlib.suppress(ConnectionFailure):
                await lead(mine, proxy, ip_address(FAR), 443, LIMITS)

    asyncio.run(run())


# -- authorities ----------------------------------------------------------------------------------


def secure(authority, **changes):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("home.example.com").configure_cert(context)
    for name, value in changes.items():
        setattr(context, name, value)
    return context


def at_home(connect, gateway, out, host="home.example.com"):
    return connect(
        f"wss://{host}:{gateway.port}/",
        connector=SocketConnector(limits=QUICK, ways=out),
        resolver=FixedResolver("127.0.0.1"),
        backoff_first_ms=1,
        backoff_max_ms=1,
    )


def trusting(file, hosts="*.example.com"):
    return Ways(
        MachineNetwork(WaysOut(authorities=(Trusted(host_pattern(hosts), file),))), None, QUICK
    )


async def test_an_authority_of_the_operators_is_trusted_for_its_hosts_and_read_again(
    connect, tmp_path
):
    file, ours, other = tmp_path / "ca.pem", trustme.CA(), trustme.CA()
    other.cert_pem.write_to_path(str(file))
    async with FakeGateway(tls=secure(ours)) as gateway:
        _, sink = at_home(connect, gateway, trusting(file))
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.tls"
        assert "comes from an authority that is not trusted" in error.message
        assert "[[network.authorities]]" in error.hint
        ours.cert_pem.write_to_path(str(file))
        await sink.next("opened")
        _, elsewhere = at_home(connect, gateway, trusting(file, "*.home.arpa"))
        assert (await elsewhere.next("failed"))[1].code == "connection.tls"


@pytest.mark.parametrize("presents", [False, True])
async def test_a_context_is_made_anew_for_a_changed_file_and_few_are_kept(tmp_path, presents):
    file, authority = tmp_path / "ca.pem", trustme.CA()
    file.write_bytes(trustme.CA().cert_pem.bytes())
    pem = authority.issue_cert("bot@example.com").private_key_and_cert_chain_pem.bytes().decode()
    certificate = ClientCertificate("bot", pem) if presents else None
    each = tuple(
        Trusted(host_pattern(f"{name}.example.com"), tmp_path / f"{name}.pem") for name in "abc"
    )
    for one in each:
        one.file.write_bytes(authority.cert_pem.bytes())
    home = Trusted(host_pattern("home.example.com"), file)
    limits = dataclasses.replace(QUICK, certificate_contexts=2)
    contexts = Ways(MachineNetwork(WaysOut(authorities=(home, *each))), None, limits).contexts
    before = contexts.of("home.example.com", certificate)
    assert contexts.of("home.example.com", certificate) is before
    file.write_bytes(authority.cert_pem.bytes() + trustme.CA().cert_pem.bytes())
    after = contexts.of("home.example.com", certificate)
    assert after is not before
    for name in "abc":
        contexts.of(f"{name}.example.com", certificate)
    assert contexts.of("home.example.com", certificate) is not after


async def test_the_systems_authorities_stay_trusted_beside_it(tmp_path):
    file = tmp_path / "ca.pem"
    # Bundles have names in any script between the certificates.
    file.write_bytes("# Büro\n".encode() + trustme.CA().cert_pem.bytes() + b"\xff\n")
    plain = Ways(limits=QUICK).contexts.of("home.example.com")
    more = trusting(file).contexts.of("home.example.com")
    assert more.cert_store_stats()["x509_ca"] == plain.cert_store_stats()["x509_ca"] + 1
    assert more.verify_mode is ssl.CERT_REQUIRED
    assert more.check_hostname


def _pipe(file):
    os.mkfifo(file, 0o600)


def _writable(file):
    trustme.CA().cert_pem.write_to_path(str(file))
    file.chmod(0o666)


BROKEN = b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: None, "it is not there"),
        (lambda file: file.write_bytes(b""), "it has no certificate"),
        (lambda file: file.write_bytes(b"not a certificate"), "it has no certificate"),
        (lambda file: file.write_bytes(BROKEN), "cannot be read"),
        (lambda file: file.mkdir(), "not a regular file"),
        (_pipe, "not a regular file"),
        (_writable, "can be written by other accounts"),
        (lambda file: file.write_bytes(b"x" * (LIMITS.authorities_bytes + 1)), "is over"),
    ],
)
async def test_a_file_without_authorities_is_named(connect, tmp_path, make, words):
    file = tmp_path / "ca.pem"
    make(file)
    async with FakeGateway(tls=secure(trustme.CA())) as gateway:
        _, sink = at_home(connect, gateway, trusting(file))
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.authorities"
        assert "ca.pem cannot be used" in error.message
        assert words in error.message
        assert "[[network.authorities]] in host.toml" in error.hint


# -- the environment ------------------------------------------------------------------------------


async def test_a_proxy_of_the_environment_is_named_and_not_used(connect, monkeypatch):
    async with HttpProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.at())
        network = MachineNetwork()
        hint = network.hint()
        assert "HTTPS_PROXY is set and not used" in hint
        assert str(proxy.port) not in hint

        def nothing(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        resolver = SystemResolver(QUICK, lookups=Lookups(QUICK, nothing), network=network)
        _, sink = connect("wss://gateway.example.com/", resolver=resolver.of("p"), **ONCE)
        error = (await sink.next("failed"))[1]
        assert (error.code, error.hint) == ("connection.dns", hint)
        assert error.message.endswith("Name or service not known")
        assert proxy.heads == []
    assert MachineNetwork(WaysOut(Proxy.parse("http://x.example:1"))).hint() is None
    assert MachineNetwork().hint({}) is None
    assert Url.parse("wss://gateway.example.com/").host == "gateway.example.com"
