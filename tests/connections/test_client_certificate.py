"""N2: a client certificate by secret, presented to a server that demands one."""

import asyncio
import re
import ssl

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.connections.conftest import ALLOWED, QUICK, FixedResolver
from tests.connections.test_request_client import Server, prepared, reply

from yoi.connections import RequestClient, SocketConnector, client_certificate
from yoi.connections.client_certificate import ClientCertificate
from yoi.errors import SecretError
from yoi.testing import ManualClock
from yoi.testing.connector import MemoryConnector
from yoi.testing.gateway import FakeGateway

ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}
OURS, OTHERS = trustme.CA(), trustme.CA()


def pem_of(authority):
    return authority.issue_cert("bot@example.com").private_key_and_cert_chain_pem.bytes().decode()


def server_tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    OURS.issue_cert("gateway.example.com").configure_cert(context)
    OURS.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    # With 1.3 the refusal comes after the handshake, and a reset may overtake it.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def trusting():
    context = ssl.create_default_context()
    OURS.configure_trust(context)
    return context


def dialled(connect, gateway, certificate):
    return connect(
        f"wss://gateway.example.com:{gateway.port}/",
        connector=SocketConnector(limits=QUICK, tls=trusting),
        resolver=FixedResolver("127.0.0.1"),
        certificate=certificate,
        **ONCE,
    )


async def test_a_server_that_demands_a_certificate_is_given_it(connect):
    async with FakeGateway(tls=server_tls()) as gateway:
        _, sink = dialled(connect, gateway, lambda: ClientCertificate("bot", pem_of(OURS)))
        await sink.next("opened")


@pytest.mark.parametrize(
    ("authority", "said"), [(None, "may want a client certificate"), (OTHERS, "does not accept")]
)
async def test_what_the_server_misses_is_said_and_how_to_give_it(connect, authority, said):
    async with FakeGateway(tls=server_tls()) as gateway:
        made = None if authority is None else ClientCertificate("bot", pem_of(authority))
        _, sink = dialled(connect, gateway, lambda: made)
        _, error, _ = await sink.next("failed")
        assert error.code == "connection.tls"
        if "hung up" not in error.message:  # a reset may overtake what the server said
            assert said in error.message
            assert ("/tls/client" in error.hint) is (authority is None)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_request_presents_it_too(version):
    context = server_tls()
    context.minimum_version = context.maximum_version = version
    served = Server(reply(b"hello"))
    server = await asyncio.start_server(served._serve, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        use = RequestClient(FixedResolver("127.0.0.1"), ManualClock(), QUICK, tls=trusting)
        url = f"https://gateway.example.com:{port}/x"
        made = ClientCertificate("bot", pem_of(OURS))
        answer = await use.send(prepared(url, certificate=made), lambda *_: ALLOWED)
        assert (answer.ok, answer.body) == (True, "hello")
        refused = await use.send(prepared(url), lambda *_: ALLOWED)
        assert refused.error.code in ("request.tls", "request.lost")


def locked():
    cert = OURS.issue_cert("bot@example.com")
    key = load_pem_private_key(cert.private_key_pem.bytes(), None)
    sealed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")
    )
    return sealed.decode() + cert.cert_chain_pems[0].bytes().decode()


def mismatched():
    key = OURS.issue_cert("bot@example.com").private_key_pem.bytes()
    return key.decode() + OURS.issue_cert("b@example.com").cert_chain_pems[0].bytes().decode()


def without_key():
    return OURS.issue_cert("bot@example.com").cert_chain_pems[0].bytes().decode()


BAD = {
    "locked": (locked, "secret.certificate_locked"),
    "mismatched": (mismatched, "secret.certificate_key"),
    "without key": (without_key, "secret.certificate"),
    "garbage": (lambda: "x" * 9000, "secret.certificate"),
    "no text": (lambda: "\ud800" + pem_of(OURS)[30:], "secret.certificate"),
    "a zero": (lambda: "\0" + pem_of(OURS), "secret.certificate"),
    "empty": (lambda: "", "secret.certificate"),
    "cut": (lambda: pem_of(OURS)[:-200], "secret.certificate"),
    "broken inside": (lambda: re.sub("[A-Z]{3}", "!!!", pem_of(OURS)), "secret.certificate"),
}


@pytest.mark.parametrize("how", BAD)
@pytest.mark.parametrize("in_memory", [True, False])
def test_what_cannot_be_presented_is_named_and_shown_nowhere(how, in_memory, monkeypatch):
    make, code = BAD[how]
    if not in_memory:
        monkeypatch.delattr(client_certificate.os, "memfd_create", raising=False)
    pem = make()
    with pytest.raises(SecretError) as refused:
        ClientCertificate("bot", pem)
    error = refused.value
    assert (error.code, error.fields["name"]) == (code, "bot")
    assert "yoi secret set bot" in error.hint
    assert not any(line in str(error) for line in pem.splitlines() if len(line) > 20)


async def test_one_that_cannot_be_presented_fails_before_anything_is_dialled(connect):
    connector = MemoryConnector(ManualClock().monotonic)
    _, sink = connect(
        "wss://gateway.example.com/",
        connector=connector,
        certificate=lambda: ClientCertificate("bot", "garbage"),
        **ONCE,
    )
    _, error, retry = await sink.next("failed")
    assert (error.code, retry is None) == ("secret.certificate", False)
    assert connector._dials.empty()


def test_each_has_a_context_of_its_own_within_the_bound():
    connector = SocketConnector(limits=QUICK, tls=trusting)
    contexts = connector._ways.contexts
    contexts._most = 2
    made = [ClientCertificate("bot", pem_of(OURS)) for _ in range(3)]
    plain = contexts.of("a.example.com")
    found = [contexts.of("a.example.com", one) for one in made]
    assert len({id(one) for one in (plain, *found)}) == 4
    assert contexts.of("a.example.com", made[2]) is found[2]
    assert contexts.of("a.example.com", made[0]) is not found[0]
