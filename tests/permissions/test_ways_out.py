"""`[network]` of host.toml as values: what is parsed, what is refused, and what goes where."""

from ipaddress import ip_address

import pytest

from yoi.errors import UrlRefused
from yoi.permissions.ways_out import Proxy, ProxyKind, Unproxied, WaysOut


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
     "http://" + "u" * 256 + ":x@proxy.example:1", "http://a_b!.example:1"],
)  # fmt: skip
def test_what_is_no_proxy_is_refused(text):
    with pytest.raises((ValueError, UrlRefused)):
        Proxy.parse(text)


@pytest.mark.parametrize("text", ["http://x/", "10.0.0.0/99", "a b", "*.10.0.0.1"])
def test_what_names_no_host_or_network_is_refused(text):
    with pytest.raises((ValueError, UrlRefused)):
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
    ],
)
def test_what_goes_through_the_proxy(unless, host, address, through):
    proxy = Proxy.parse("http://proxy.example:3128")
    out = WaysOut(proxy, tuple(Unproxied.parse(one) for one in unless))
    assert out.proxy_for(host, ip_address(address)) is (proxy if through else None)
    assert WaysOut().proxy_for(host, ip_address(address)) is None
