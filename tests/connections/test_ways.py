"""N2: proxies and authorities of the operator's, and what is said where a way out is missing."""

import asyncio
import base64
import contextlib
import dataclasses
import socket
import ssl
from ipaddress import ip_address

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.connections.conftest import ALLOWED, QUICK, FixedResolver
from tests.connections.raw import RawServer
from tests.connections.test_request_client import Server, prepared, reply

from yoi.connections import RequestClient, SocketConnector, SystemResolver, Ways
from yoi.connections.lookups import Lookups
from yoi.connections.proxies import lead
from yoi.connections.ways import unused_proxy_hint
from yoi.errors import ConnectionFailure
from yoi.limits import LIMITS
from yoi.permissions import Url
from yoi.permissions.targets import host_pattern
from yoi.permissions.ways_out import Proxy, Trusted, Unproxied, WaysOut
from yoi.testing import ManualClock
from yoi.testing.gateway import FakeGateway

ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}
FAR = "192.0.2.7"
LOGIN = "Basic " + base64.b64encode(b"me:secret").decode()


async def join(reader, writer, port):
    """Carry bytes between the client and a server of this machine."""
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source, sink):
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(carry(reader, back), carry(there, writer))


class HttpProxy(RawServer):
    """Leads from any address to the same port of this machine, as CONNECT asks."""

    def __init__(self, answer=b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"):
        super().__init__(self._lead)
        self.answer = answer
        self.heads = []

    async def _lead(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.answer)
        await writer.drain()
        if b" 200 " in self.answer:
            await join(reader, writer, int(head.split()[1].rpartition(":")[2]))
        writer.close()

    def at(self, login=""):
        return f"http://{login}127.0.0.1:{self.port}"


class SocksProxy(RawServer):
    """The same by SOCKS 5; `login` is what it wants, `refuse` what it answers."""

    def __init__(self, login=None, refuse=0, bound=b"\x01\0\0\0\0\0\0"):
        super().__init__(self._lead)
        self.login, self.refuse, self.bound = login, refuse, bound
        self.asked = []

    async def _lead(self, reader, writer):
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 0 if self.login is None else 2
        writer.write(bytes((5, wanted if wanted in methods else 255)))
        if wanted == 2 and 2 in methods:
            _, size = await reader.readexactly(2)
            user = await reader.readexactly(size)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(bytes((1, 0 if (user, password) == self.login else 1)))
        head = await reader.readexactly(4)
        packed = await reader.readexactly(4 if head[3] == 1 else 16)
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append((str(ip_address(packed)), port))
        writer.write(bytes((5, self.refuse, 0)) + self.bound)
        if not self.refuse:
            await join(reader, writer, port)
        writer.close()

    def at(self, login=""):
        return f"socks5://{login}127.0.0.1:{self.port}"


def ways(proxy=None, **more):
    parsed = None if proxy is None else Proxy.parse(proxy)
    return Ways(WaysOut(parsed, **more), FixedResolver("127.0.0.1"), QUICK)


def through(connect, gateway, proxy, *, far=FAR, **more):
    return connect(
        f"ws://gateway.example.com:{gateway.port}/",
        connector=SocketConnector(limits=QUICK, ways=ways(proxy, **more)),
        resolver=FixedResolver(far),
        **ONCE,
    )


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


# -- proxies that do not --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n", "asks for credentials"),
        (b"HTTP/1.1 403 x\r\n\r\n", "answered 403"),
        (b"HTTP/1.1 200 x\r\n\r\nand more", "sends data of its own"),
        (b"220 mail.example.com\r\n", "does not answer as an HTTP proxy"),
        (b"HTTP/1.1 200 x\r\nx: " + b"y" * 20_000, "answers with more than"),
        (b"", "hung up"),
    ],
)
async def test_an_http_proxy_that_lies_or_refuses_is_named(connect, answer, words):
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with FakeGateway() as gateway, RawServer(script) as proxy:
        _, sink = through(connect, gateway, f"http://127.0.0.1:{proxy.port}")
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.proxy"
        assert words in error.message
        assert "[network]" in error.hint


@pytest.mark.parametrize(
    ("proxy", "login", "words"),
    [
        (SocksProxy((b"me", b"secret")), "", "asks for credentials"),
        (SocksProxy((b"me", b"secret")), "me:wrong@", "refuses the credentials"),
        (SocksProxy(refuse=5), "", "the connection was refused"),
        (SocksProxy(refuse=99), "", "failure 99"),
        (SocksProxy(bound=b"\x09"), "", "does not answer as a SOCKS 5 proxy"),
    ],
)
async def test_a_socks_proxy_that_refuses_is_named(connect, proxy, login, words):
    async with FakeGateway() as gateway, proxy:
        _, sink = through(connect, gateway, proxy.at(login))
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.proxy"
        assert words in error.message
        assert "secret" not in error.message + error.hint
        assert "wrong" not in error.message + error.hint


async def test_a_proxy_that_never_answers_is_bounded_in_time(connect):
    async def silent(reader, writer):
        await reader.read()

    limits = dataclasses.replace(QUICK, connect_ms=100)
    async with FakeGateway() as gateway, RawServer(silent) as proxy:
        out = Ways(WaysOut(Proxy.parse(f"http://127.0.0.1:{proxy.port}")), FixedResolver(), limits)
        _, sink = connect(
            gateway.url.replace("127.0.0.1", "gateway.example.com"),
            connector=SocketConnector(limits=limits, ways=out),
            resolver=FixedResolver(FAR),
            **ONCE,
        )
        error = (await sink.next("failed"))[1]
        assert (error.code, "no answer in time" in error.message) == ("connection.refused", True)


async def test_a_proxy_that_is_not_there_is_named(connect):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with FakeGateway() as gateway:
            _, sink = through(connect, gateway, place)
            error = (await sink.next("failed"))[1]
    assert error.code == "connection.proxy"
    assert f"the proxy {place} could not be reached" in error.message


@settings(max_examples=60, deadline=None)
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
    return Ways(WaysOut(authorities=(Trusted(host_pattern(hosts), file),)), None, QUICK)


async def test_an_authority_of_the_operators_is_trusted_for_its_hosts_and_read_again(
    connect, tmp_path
):
    file, ours, other = tmp_path / "ca.pem", trustme.CA(), trustme.CA()
    other.cert_pem.write_to_path(str(file))
    async with FakeGateway(tls=secure(ours)) as gateway:
        _, sink = at_home(connect, gateway, trusting(file))
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.tls"
        assert "certificate is not accepted" in error.message
        assert "[[network.authorities]]" in error.hint
        ours.cert_pem.write_to_path(str(file))
        await sink.next("opened")
        _, elsewhere = at_home(connect, gateway, trusting(file, "*.home.arpa"))
        assert (await elsewhere.next("failed"))[1].code == "connection.tls"


async def test_the_systems_authorities_stay_trusted_beside_it(tmp_path):
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    plain = Ways(limits=QUICK).contexts.of("home.example.com")
    more = trusting(file).contexts.of("home.example.com")
    assert more.cert_store_stats()["x509_ca"] == plain.cert_store_stats()["x509_ca"] + 1
    assert more.verify_mode is ssl.CERT_REQUIRED
    assert more.check_hostname


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "no certificate"), (b"not a certificate", "no certificate")],
)
async def test_a_file_without_authorities_is_named(connect, tmp_path, content, words):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    async with FakeGateway(tls=secure(trustme.CA())) as gateway:
        _, sink = at_home(connect, gateway, trusting(file))
        error = (await sink.next("failed"))[1]
        assert error.code == "connection.tls"
        assert "ca.pem cannot be used" in error.message
        assert words in error.message


async def test_an_error_says_which_fault_the_certificate_has(connect, tmp_path):
    ours, file = trustme.CA(), tmp_path / "ca.pem"
    ours.cert_pem.write_to_path(str(file))
    async with FakeGateway(tls=secure(ours)) as gateway:
        _, sink = at_home(connect, gateway, trusting(file), host="other.example.com")
        error = (await sink.next("failed"))[1]
        assert "Hostname mismatch" in error.message
        assert error.hint is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_said_in_words(connect, tmp_path):
    old = secure(trustme.CA())
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with FakeGateway(tls=old) as gateway:
        _, sink = at_home(connect, gateway, Ways(limits=QUICK))
        error = (await sink.next("failed"))[1]
        assert "older than 1.2" in error.message


async def test_no_tls_at_all_is_said_in_words(connect):
    async with FakeGateway() as gateway:
        _, sink = at_home(connect, gateway, Ways(limits=QUICK))
        assert "TLS" in (await sink.next("failed"))[1].message.partition("failed: ")[2]


# -- the environment ------------------------------------------------------------------------------


async def test_a_proxy_of_the_environment_is_named_and_not_used(connect, monkeypatch):
    async with HttpProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.at())
        hint = unused_proxy_hint(WaysOut())
        assert "HTTPS_PROXY is set and not used" in hint
        assert str(proxy.port) not in hint

        def nothing(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        resolver = SystemResolver(QUICK, lookups=Lookups(QUICK, nothing), hint=hint)
        _, sink = connect("wss://gateway.example.com/", resolver=resolver.of("p"), **ONCE)
        error = (await sink.next("failed"))[1]
        assert (error.code, error.hint) == ("connection.dns", hint)
        assert error.message.endswith("Name or service not known")
        assert proxy.heads == []
    assert unused_proxy_hint(WaysOut(Proxy.parse("http://x.example:1"))) is None
    assert unused_proxy_hint(WaysOut(), {}) is None
    assert Url.parse("wss://gateway.example.com/").host == "gateway.example.com"
