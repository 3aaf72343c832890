"""Certificates: what cannot be used says so, and a TLS handshake really happens."""

import asyncio
import ssl

import pytest
import trustme

from yoi.errors import ServingError
from yoi.limits import Limits
from yoi.serving.listeners import TlsFiles
from yoi.serving.tls import (
    client_context,
    keep_certificate,
    load_certificate,
    server_context,
)


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def files(tmp_path, authority):
    return issue(authority, tmp_path, "server")


@pytest.fixture
def ca(tmp_path, authority):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def issue(authority, folder, name):
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    issued.private_key_pem.write_to_path(folder / f"{name}.key")
    return TlsFiles(folder / f"{name}.pem", folder / f"{name}.key")


async def shake_hands(context, client):
    """Return the server certificate's serial number as the client saw it."""
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="localhost"
        )
        seen = writer.get_extra_info("peercert")["serialNumber"]
        writer.close()
        await writer.wait_closed()
        return seen


async def test_a_client_that_trusts_the_authority_is_served(files, ca):
    context = server_context(files)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert await shake_hands(context, client_context(ca))


async def test_a_client_verifies(files):
    with pytest.raises(ssl.SSLCertVerificationError):
        await shake_hands(server_context(files), client_context(None))
    assert client_context(None).verify_mode is ssl.CERT_REQUIRED
    assert client_context(None).check_hostname


async def test_an_old_version_is_refused(files, ca):
    old = client_context(ca)
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await shake_hands(server_context(files), old)


async def test_a_renewed_certificate_is_taken_without_a_restart(files, ca, authority, tmp_path):
    context = server_context(files)
    before = await shake_hands(context, client_context(ca))
    load_certificate(context, issue(authority, tmp_path, "renewed"))
    assert await shake_hands(context, client_context(ca)) != before


async def test_a_bad_renewal_leaves_the_old_one(files, ca, authority, tmp_path):
    context = server_context(files)
    before = await shake_hands(context, client_context(ca))
    other = issue(authority, tmp_path, "other")
    with pytest.raises(ServingError):
        load_certificate(context, TlsFiles(other.certificate, files.key))
    assert await shake_hands(context, client_context(ca)) == before


async def test_files_that_change_are_taken(files, ca, authority, tmp_path):
    context = server_context(files)
    before = await shake_hands(context, client_context(ca))
    taken = asyncio.Queue()
    tried = context.load_cert_chain

    class Watched:
        """The context, telling when something was loaded into it."""

        def load_cert_chain(self, *arguments, **options):
            tried(*arguments, **options)
            taken.put_nowait(True)

    keeping = asyncio.create_task(
        keep_certificate(Watched(), files, Limits(certificate_check_ms=1))
    )
    await asyncio.sleep(0)  # it has looked
    files.certificate.write_text("half written")
    renewed = issue(authority, tmp_path, "renewed")
    renewed.key.replace(files.key)
    renewed.certificate.replace(files.certificate)
    async with asyncio.timeout(10):
        await taken.get()
    assert await shake_hands(context, client_context(ca)) != before
    keeping.cancel()


async def test_a_changed_certificate_that_is_no_good_is_told(files, monkeypatch):
    told = asyncio.Queue()
    monkeypatch.setattr(
        "yoi.serving.tls._log.error", lambda event, **fields: told.put_nowait(fields["code"])
    )
    keeping = asyncio.create_task(
        keep_certificate(server_context(files), files, Limits(certificate_check_ms=1))
    )
    await asyncio.sleep(0)
    files.key.write_text("junk")
    async with asyncio.timeout(10):
        assert await told.get() == "serving.tls"
    assert not keeping.done()
    keeping.cancel()


def test_what_cannot_be_used_says_why(files, authority, tmp_path):
    (tmp_path / "junk").write_text("not PEM")
    other = issue(authority, tmp_path, "other")
    for wrong in (
        TlsFiles(tmp_path / "absent", files.key),
        TlsFiles(files.certificate, tmp_path / "absent"),
        TlsFiles(tmp_path / "junk", files.key),
        TlsFiles(files.certificate, tmp_path / "junk"),
        TlsFiles(files.certificate, other.key),
    ):
        with pytest.raises(ServingError) as caught:
            server_context(wrong)
        assert caught.value.code == "serving.tls"
        assert str(wrong.certificate) in caught.value.message
    for wrong in (tmp_path / "absent", tmp_path / "junk"):
        with pytest.raises(ServingError) as caught:
            client_context(wrong)
        assert caught.value.code == "serving.tls"


def test_an_encrypted_key_does_not_ask_on_the_terminal(files, tmp_path):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    (tmp_path / "locked.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    with pytest.raises(ServingError, match="nobody to ask"):
        server_context(TlsFiles(files.certificate, tmp_path / "locked.key"))
