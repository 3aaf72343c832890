"""`[network]` of host.toml as values: what is parsed, what is refused, and what goes where."""

from ipaddress import ip_address

import pytest

from yoi.errors import UrlRefused
from yoi.permissions import Url
from yoi.permissions.ways_out import Proxy, ProxyKind, Unproxied, WaysOut, is_private_name


def test_a_proxy_shows_its_place_and_no_credentials():
    made = Proxy.parse("socks5://me:p%40ss@proxy.example:1080")
    assert (made.kind, made.user, made.password) == (ProxyKind.SOCKS5, "me", "p@ss")
    assert made.where == "socks5://proxy.example:1080"
    assert "p@ss" not in repr(made)
    assert "me" not in made.where
    assert Proxy.parse("http://[2001:db8::1]:3128/").where == "http://[2001:db8::1]:3128"


@pytest.mark.parametrize(
    "text",
    ["", "proxy.example:3128", "https://proxy.example:3128", "http://proxy.example", "http://:1",
     "http://proxy.example:3128/x", "http://proxy.example:3128?x", "http://proxy.example:99999",
     "http://a:b:c@[::1", "socks4://proxy.example:1", "http://us%3aer:x@proxy.example:1",
     "http://" + "u" * 256 + ":x@proxy.example:1", "http://a_b!.example:1", "http://*:3128", "http://:secret@proxy.example:3128",
     "http://*.example:3128", "http://proxy.example:0", "http://proxy.example:65536",
     "http://[fe80::1%25eth0]:3128", "http://proxy.example.:3128",
     "http://" + ".".join(["a" * 63] * 4) + ":3128"],
)  # fmt: skip
def test_what_is_no_proxy_is_refused(text):
    with pytest.raises((ValueError, UrlRefused)):
        Proxy.parse(text)


def test_a_proxy_that_resolves_is_written_by_its_key():
    with pytest.raises(ValueError, match="proxy_resolves = true"):
        Proxy.parse("socks5h://proxy.example:1080")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://x/", "must be a host"),
        ("10.0.0.0/99", "a network such as"),
        ("10.0.0.1/8", "no bits beyond its length"),
        ("a b", "."),
        ("*.10.0.0.1", "no subdomains"),
        (".example.com", r'is written "\*\.example\.com"'),
        ("example.com:8080", "names a port"),
        ("fe80::1%eth0", "has a zone"),
        ("[::1", "names a port"),
        ("example.com.", "ends with a dot"),
        (".".join(["a" * 63] * 4), "longer than 253"),
        ("", "."),
    ],
)
def test_what_names_no_host_or_network_is_refused(text, words):
    with pytest.raises((ValueError, UrlRefused), match=words):
        Unproxied.parse(text)


@pytest.mark.parametrize(
    ("unless", "host", "address", "through"),
    [
        ((), "gateway.example.com", "192.0.2.1", True),
        ((), "localhost", "127.0.0.1", False),
        ((), "localhost", "::1", False),
        (("*.home.arpa",), "lamp.home.arpa", "192.168.1.2", False),
        (("*.home.arpa",), "home.arpa", "192.168.1.2", True),
        (("192.168.0.0/16",), "lamp.example", "192.168.1.2", False),
        (("192.168.0.0/16",), "lamp.example", "2001:db8::1", True),
        (("192.168.1.2",), "lamp.example", "192.168.1.2", False),
        (("2001:db8::1",), "lamp.example", "2001:db8::1", False),
        (("[2001:db8::1]",), "lamp.example", "2001:db8::1", False),
        (("BÜCHER.example",), "xn--bcher-kva.example", "192.0.2.1", False),
        (("*",), "lamp.example", "192.0.2.1", False),
    ],
)
def test_what_goes_through_the_proxy(unless, host, address, through):
    proxy = Proxy.parse("http://proxy.example:3128")
    out = WaysOut(proxy, tuple(Unproxied.parse(one) for one in unless))
    assert out.proxy_for(host, ip_address(address)) is (proxy if through else None)
    assert WaysOut().proxy_for(host, ip_address(address)) is None


@pytest.mark.parametrize(
    ("url", "unless", "handed"),
    [
        ("wss://gateway.example.com/", (), True),
        ("wss://nas/", (), True),
        ("wss://gateway.example.com/", ("*.example.com",), False),
        ("wss://gateway.example.com/", ("192.0.2.0/24",), True),
        ("wss://192.0.2.1/", (), False),
        ("wss://[2001:db8::1]/", (), False),
        ("wss://localhost/", (), False),
        ("wss://x.localhost/", (), False),
    ],
)
def test_which_names_the_proxy_looks_up(url, unless, handed):
    proxy = Proxy.parse("http://proxy.example:3128")
    excepted = tuple(Unproxied.parse(one) for one in unless)
    assert WaysOut(proxy, excepted, proxy_resolves=True).hands_over(Url.parse(url)) is handed
    assert not WaysOut(proxy, excepted).hands_over(Url.parse(url))


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("nas", True),
        ("nas.local", True),
        ("local", True),
        ("metadata.google.internal", True),
        ("lamp.home.arpa", True),
        ("example.com", False),
        ("local.example", False),
        ("notlocal.com", False),
    ],
)
def test_which_names_mean_something_on_one_network_only(name, private):
    assert is_private_name(name) is private
