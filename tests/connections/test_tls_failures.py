"""N2: an error says which certificate was wrong and how, and never nothing. Real TLS servers."""

import datetime
import ssl

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.connections.conftest import ALLOWED, QUICK, FixedResolver
from tests.connections.test_request_client import prepared
from tests.connections.tls_server import TlsServer

from yoi.connections import MachineNetwork, RequestClient, SocketConnector, Ways
from yoi.connections.client_certificate import ClientCertificate
from yoi.connections.target import DialTarget
from yoi.connections.tls_failures import Seen, tls_failure
from yoi.permissions import Url
from yoi.permissions.targets import host_pattern
from yoi.permissions.ways_out import Trusted, WaysOut
from yoi.testing import ManualClock

HOST = "home.example.com"
CA, OTHERS = trustme.CA(organization_name="Home"), trustme.CA(organization_name="Elsewhere")
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
ONCE = {"backoff_first_ms": 60_000, "backoff_max_ms": 60_000}


def context(issued):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(made)
    return made


def own(name, *, signs=None, since=-DAY, until=DAY):
    """Return (key, certificate) called `name`, signed by `signs` or else by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    title = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    by, by_key = (title, key) if signs is None else (signs[1].subject, signs[0])
    made = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + since)
        .not_valid_after(NOW + until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), False)
        .add_extension(x509.BasicConstraints(signs is None, None), True)
        .sign(by_key, hashes.SHA256())
    )
    return key, made


def presenting(tmp_path, *made):
    """Return a server's context with a chain, its own certificate first."""
    pem = serialization.Encoding.PEM
    key = made[0][0].private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "server.pem"
    file.write_bytes(key + b"".join(one.public_bytes(pem) for _, one in made))
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(file)
    return served


def only(version, ciphers="ALL:@SECLEVEL=0"):
    made = context(CA.issue_cert(HOST))
    made.set_ciphers(ciphers)
    made.minimum_version = made.maximum_version = version
    return made


def demanding(version):
    made = context(CA.issue_cert(HOST))
    CA.configure_trust(made)
    made.verify_mode = ssl.CERT_REQUIRED
    made.maximum_version = version
    return made


@pytest.fixture
def ca_file(tmp_path):
    file = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(file))
    return file


def ways(file):
    trusted = Trusted(host_pattern("*.example.com"), file)
    return Ways(MachineNetwork(WaysOut(authorities=(trusted,))), None, QUICK)


async def failure(connect, server, out, certificate=None):
    """Return the error of a connection, which a request must have too."""
    async with server:
        _, sink = connect(
            f"wss://{HOST}:{server.port}/",
            connector=SocketConnector(limits=QUICK, ways=out),
            resolver=FixedResolver("127.0.0.1"),
            certificate=lambda: certificate,
            **ONCE,
        )
        error = (await sink.next("failed"))[1]
        use = RequestClient(FixedResolver("127.0.0.1"), ManualClock(), QUICK, ways=out)
        asked = prepared(f"https://{HOST}:{server.port}/", certificate=certificate)
        answer = await use.send(asked, lambda *_: ALLOWED)
    assert error.code == "connection.tls"
    assert error.message.startswith(f"TLS with {HOST} failed: ")
    assert not error.message.endswith(": ")
    assert (answer.error.code, answer.error.message, answer.error.hint) == (
        "request.tls",
        error.message,
        error.hint,
    )
    return error


# -- the server's certificate ---------------------------------------------------------------------


async def test_an_unknown_authority_is_named_with_the_files_that_were_trusted(connect, ca_file):
    server = TlsServer(context(OTHERS.issue_cert(HOST, common_name="its name")))
    error = await failure(connect, server, ways(ca_file))
    assert "comes from an authority that is not trusted" in error.message
    assert f"its name for {HOST}, issued by " in error.message
    assert "Elsewhere" in error.message
    assert f"held to the system's authorities and those in {ca_file}" in error.message
    assert "[[network.authorities]] of host.toml" in error.hint
    assert error.fields["expected"] == HOST
    assert error.fields["subject"] == "its name"
    assert error.fields["names"] == HOST


async def test_a_certificate_that_signs_itself_is_called_so(connect, ca_file, tmp_path):
    server = TlsServer(presenting(tmp_path, own("lonely")))
    error = await failure(connect, server, ways(ca_file))
    assert "its certificate is signed by itself and by no authority: lonely for" in error.message
    assert error.fields["issuer"] == "lonely"


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [(-9 * DAY, -2 * DAY, "has expired"), (2 * DAY, 9 * DAY, "is not valid yet")],
)
async def test_a_certificate_out_of_its_time_is_told_with_its_days(
    connect, ca_file, since, until, words
):
    issued = CA.issue_cert(HOST, not_before=NOW + since, not_after=NOW + until)
    error = await failure(connect, TlsServer(context(issued)), ways(ca_file))
    days = [f"{NOW + one:%Y-%m-%d}" for one in (since, until)]
    assert f"its certificate {words}: " in error.message
    assert f"valid from {days[0]} to {days[1]}" in error.message
    assert [error.fields["valid_from"], error.fields["valid_until"]] == days
    assert "clock of this machine" in error.hint


async def test_of_a_chain_the_certificate_that_expired_is_named(connect, tmp_path):
    root = own("root")
    above = own("middle", signs=root, since=-9 * DAY, until=-2 * DAY)
    # A leaf that is good, below an authority that is not.
    pem, file = serialization.Encoding.PEM, tmp_path / "root.pem"
    file.write_bytes(root[1].public_bytes(pem))
    middle = (above[0], _as_authority(above, root))
    leaf = own("leaf", signs=middle)
    error = await failure(connect, TlsServer(presenting(tmp_path, leaf, middle)), ways(file))
    assert "a certificate above the server's has expired: middle" in error.message


def _as_authority(made, root):
    return (
        x509.CertificateBuilder()
        .subject_name(made[1].subject)
        .issuer_name(root[1].subject)
        .public_key(made[0].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made[1].not_valid_before_utc)
        .not_valid_after(made[1].not_valid_after_utc)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(root[0], hashes.SHA256())
    )


async def test_another_name_is_told_with_the_one_that_was_expected(connect, ca_file):
    names = [f"{n}.example.org" for n in "abcdef"]
    error = await failure(connect, TlsServer(context(CA.issue_cert(*names))), ways(ca_file))
    assert f"its certificate is for other names than {HOST}: " in error.message
    assert "for a.example.org, b.example.org, c.example.org, d.example.org and 2 more" in (
        error.message
    )
    assert "URL right" in error.hint


async def test_what_a_certificate_says_is_escaped_and_bounded(connect, ca_file, tmp_path):
    server = TlsServer(presenting(tmp_path, own("\x1b[2J\u202e" + "x" * 50)))
    error = await failure(connect, server, ways(ca_file))
    assert "\x1b" not in error.message
    assert "\u202e" not in error.message
    assert len(error.message) < 1000


@pytest.mark.parametrize("padding", [0, 30, 90, 110, 200])
async def test_a_certificate_that_repeats_a_secret_shows_no_part_of_it(padding):
    """A server knows what earlier handshakes carried, and may put it where errors show it."""
    token = "xoxb-0123456789-abcdefghijklmnop"
    told = {"commonName": "x" * padding + token}
    info = {
        "subject": ((("commonName", told["commonName"]),),),
        "issuer": ((("organizationName", told["commonName"]),),),
        "subjectAltName": (("DNS", told["commonName"]),),
    }
    fault = ssl.SSLCertVerificationError("refused")
    fault.verify_code, fault.verify_message = 18, "self-signed"
    fault.seen = Seen(b"", [info])
    target = DialTarget(
        Url.parse(f"wss://{HOST}/"), inserted=(("Authorization", f"Bearer {token}"),)
    )
    error = target.cleared(tls_failure(target.url, fault, None))
    shown = f"{error.message} {error.hint} {error.fields}"
    assert not any(token[at : at + 8] in shown for at in range(len(token) - 7))


# -- versions, ciphers, and what is no TLS --------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_a_server_with_old_versions_only_is_told_so(connect, ca_file):
    error = await failure(connect, TlsServer(only(ssl.TLSVersion.TLSv1_1)), ways(ca_file))
    assert "speaks only versions of TLS older than 1.2" in error.message
    assert "switch TLS 1.2 or 1.3 on" in error.hint


@pytest.mark.parametrize(("minor", "version"), [(1, "TLS 1.0"), (2, "TLS 1.1")])
async def test_a_server_that_answers_with_an_old_version_is_told_by_name(
    connect, ca_file, minor, version
):
    hello = bytes((3, minor)) + bytes(32) + b"\0" + b"\xc0\x13" + b"\0"
    message = b"\x02" + len(hello).to_bytes(3, "big") + hello
    record = bytes((22, 3, minor)) + len(message).to_bytes(2, "big") + message

    def answer(sock):
        sock.recv(65536)
        sock.sendall(record)

    error = await failure(connect, TlsServer(raw=answer), ways(ca_file))
    assert f"the server speaks at most {version}" in error.message


async def test_no_common_cipher_is_no_missing_client_certificate(connect, ca_file):
    server = TlsServer(only(ssl.TLSVersion.TLSv1_2, "AES128-SHA256:@SECLEVEL=0"))
    error = await failure(connect, server, ways(ca_file))
    assert "no cipher, curve or signature in common" in error.message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS at this port"),
        (b"220 mail.example.com ESMTP\r\n", "does not speak TLS at this port"),
        (b"", "hung up in the handshake"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "ALERT_INTERNAL_ERROR"),
    ],
)
async def test_what_is_no_tls_is_told(connect, ca_file, said, words):
    def answer(sock):
        sock.recv(65536)
        sock.sendall(said)

    error = await failure(connect, TlsServer(raw=answer), ways(ca_file))
    assert words in error.message


# -- the client's certificate ---------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_missing_is_asked_for(connect, ca_file, version):
    error = await failure(connect, TlsServer(demanding(version)), ways(ca_file))
    assert "it may want a client certificate" in error.message
    assert "/tls/client" in error.hint


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_not_accepted_is_told(connect, ca_file, version):
    pem = OTHERS.issue_cert("bot@example.com").private_key_and_cert_chain_pem.bytes().decode()
    server = TlsServer(demanding(version))
    error = await failure(connect, server, ways(ca_file), ClientCertificate("bot", pem))
    assert "does not accept the client certificate that was presented" in error.message
    assert "which authority it expects" in error.hint
