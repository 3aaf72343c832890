"""The URL of a listener, and that its own host is a name it answers to."""

from urllib.parse import urlsplit

import pytest

from yoi.serving.names import ListenerNames, url_of


@pytest.mark.parametrize(
    ("address", "port", "names", "url"),
    [
        ("127.0.0.1", 7717, (), "https://127.0.0.1:7717"),
        ("127.0.0.1", 7717, ("yoi.example.com",), "https://127.0.0.1:7717"),
        ("::1", 7717, (), "https://[::1]:7717"),
        ("10.1.2.3", 7718, (), "https://10.1.2.3:7718"),
        ("10.1.2.3", 7718, ("west.example.com", "w"), "https://west.example.com:7718"),
        ("0.0.0.0", 443, ("yoi.example.com",), "https://yoi.example.com"),
        ("0.0.0.0", 7717, ("yoi.example.com",), "https://yoi.example.com:7717"),
        ("::", 7717, ("yoi.example.com:8443",), "https://yoi.example.com:8443"),
    ],
)
def test_the_url_is_one_that_the_listener_answers_to(address, port, names, url):
    assert url_of(address, port, secure=True, names=names) == url
    hosts = ListenerNames.of(address, port, secure=True, names=names).hosts
    assert urlsplit(url).netloc in hosts


def test_a_plain_listener_is_plain():
    assert url_of("127.0.0.1", 7717, secure=False) == "http://127.0.0.1:7717"
