"""What the standard library does beyond its documents, and the TLS errors of ours rely on."""

import ssl

import pytest
import trustme


def test_a_refused_chain_can_be_read_below_the_public_object():
    """Public only from Python 3.13 on, and there without a way to read what is in it."""
    ca = trustme.CA()
    served, strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert("home.example.com").configure_cert(served)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = served.wrap_bio(there, back, server_side=True)
    client = strict.wrap_bio(back, there, server_hostname="home.example.com")
    for one in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            one.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError):
        client.do_handshake()
    (leaf,) = client._sslobj.get_unverified_chain()
    assert leaf.get_info()["subjectAltName"] == (("DNS", "home.example.com"),)


def test_a_context_makes_the_objects_that_it_is_told_to():
    made = []

    class Watched(ssl.SSLObject):
        @classmethod
        def _create(cls, incoming, *args, **more):
            made.append(incoming)
            return super()._create(incoming, *args, **more)

    context = ssl.create_default_context()
    context.sslobject_class = Watched
    incoming = ssl.MemoryBIO()
    assert isinstance(context.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="x"), Watched)
    assert made == [incoming]
