"""Our own address table, and which address a URL may be dialled at (P8)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.permissions import AddressClass as Is
from yoi.permissions import Url, address_decision, assumable, classify, may_dial

TABLE = [
    ("8.8.8.8", Is.PUBLIC),
    ("1.1.1.1", Is.PUBLIC),
    ("0.0.0.0", Is.UNSPECIFIED),
    ("0.1.2.3", Is.THIS_NETWORK),
    ("10.255.255.255", Is.PRIVATE),
    ("11.0.0.0", Is.PUBLIC),
    ("100.63.255.255", Is.PUBLIC),
    ("100.64.0.0", Is.SHARED),
    ("100.127.255.255", Is.SHARED),
    ("100.128.0.0", Is.PUBLIC),
    ("100.100.100.200", Is.METADATA),
    ("127.0.0.1", Is.LOOPBACK),
    ("127.255.255.255", Is.LOOPBACK),
    ("168.63.129.16", Is.METADATA),
    ("168.63.129.17", Is.PUBLIC),
    ("169.254.1.1", Is.LINK_LOCAL),
    ("169.254.169.254", Is.METADATA),
    ("169.254.170.2", Is.METADATA),
    ("172.15.255.255", Is.PUBLIC),
    ("172.16.0.0", Is.PRIVATE),
    ("172.31.255.255", Is.PRIVATE),
    ("172.32.0.0", Is.PUBLIC),
    ("192.0.0.1", Is.RESERVED),
    ("192.0.0.192", Is.METADATA),
    ("192.0.2.1", Is.DOCUMENTATION),
    ("192.88.99.1", Is.SIX_TO_FOUR),
    ("192.168.1.1", Is.PRIVATE),
    ("198.18.0.1", Is.BENCHMARKING),
    ("198.19.255.255", Is.BENCHMARKING),
    ("198.51.100.1", Is.DOCUMENTATION),
    ("203.0.113.1", Is.DOCUMENTATION),
    ("223.255.255.255", Is.PUBLIC),
    ("224.0.0.1", Is.MULTICAST),
    ("239.255.255.255", Is.MULTICAST),
    ("240.0.0.1", Is.RESERVED),
    ("255.255.255.255", Is.BROADCAST),
    ("2606:4700::1111", Is.PUBLIC),
    ("::", Is.UNSPECIFIED),
    ("::1", Is.LOOPBACK),
    ("::2", Is.IPV4_COMPATIBLE),
    ("::127.0.0.1", Is.IPV4_COMPATIBLE),
    ("::ffff:8.8.8.8", Is.IPV4_MAPPED),
    ("::ffff:127.0.0.1", Is.IPV4_MAPPED),
    ("::ffff:0:127.0.0.1", Is.IPV4_TRANSLATED),
    ("64:ff9b::7f00:1", Is.NAT64),
    ("64:ff9b::a9fe:a9fe", Is.NAT64),
    ("64:ff9b::a00:1", Is.NAT64),
    ("64:ff9b::a29f:8ae8", Is.PUBLIC),
    ("64:ff9b:1::a29f:8ae8", Is.NAT64),
    ("64:ff9b:1::1", Is.NAT64),
    ("100::1", Is.DISCARD),
    ("2001::1", Is.TEREDO),
    ("2001:1::1", Is.RESERVED),
    ("2001:2::1", Is.BENCHMARKING),
    ("2001:10::1", Is.ORCHID),
    ("2001:20::1", Is.ORCHID),
    ("2001:db8::1", Is.DOCUMENTATION),
    ("2001:4860:4860::8888", Is.PUBLIC),
    ("2002:7f00:1::", Is.SIX_TO_FOUR),
    ("3fff::1", Is.DOCUMENTATION),
    ("4000::1", Is.RESERVED),
    ("5f00::1", Is.RESERVED),
    ("fc00::1", Is.UNIQUE_LOCAL),
    ("fdff::1", Is.UNIQUE_LOCAL),
    ("fd00:ec2::254", Is.METADATA),
    ("fd20:ce::254", Is.METADATA),
    ("fe80::1", Is.LINK_LOCAL),
    ("fe80::1%eth0", Is.LINK_LOCAL),
    ("fec0::1", Is.SITE_LOCAL),
    ("ff02::1", Is.MULTICAST),
]
NAME = Url.parse("wss://example.com/")


@pytest.mark.parametrize(("text", "kind"), TABLE)
def test_classify(text, kind):
    assert classify(ip_address(text)) is kind


NEVER = {Is.UNSPECIFIED, Is.MULTICAST, Is.BROADCAST, Is.DISCARD}


@pytest.mark.parametrize(("text", "kind"), TABLE)
def test_a_name_reaches_only_public_addresses_unless_both_said_so(text, kind):
    ip = ip_address(text)
    assert may_dial(ip, NAME, False) is (kind is Is.PUBLIC)
    translated = kind is Is.NAT64 and ip in ip_network("64:ff9b::/96")
    assert may_dial(ip, NAME, True) is (kind not in NEVER and not translated)
    for private in (True, False):
        assert address_decision(ip, NAME, private).allowed is may_dial(ip, NAME, private)


@pytest.mark.parametrize(
    "text", ["::ffff:0.0.0.0", "::ffff:224.0.0.1", "64:ff9b::ffff:ffff", "::ffff:0:0.0.0.0"]
)
def test_an_undialable_ipv4_address_stays_so_inside_ipv6(text):
    assert not may_dial(ip_address(text), NAME, True)


def test_a_literal_reaches_itself_only():
    url = Url.parse("ws://127.0.0.1/")
    assert may_dial(ip_address("127.0.0.1"), url, True)
    assert not may_dial(ip_address("127.0.0.1"), url, False)
    assert not may_dial(ip_address("127.0.0.2"), url, True)
    assert not may_dial(ip_address("8.8.8.8"), url, True)
    assert not may_dial(ip_address("::ffff:127.0.0.1"), url, True)


def test_localhost_reaches_loopback_only():
    url = Url.parse("ws://localhost/")
    assert may_dial(ip_address("::1"), url, True)
    assert not may_dial(ip_address("::1"), url, False)
    assert not may_dial(ip_address("10.0.0.1"), url, True)
    assert not may_dial(ip_address("8.8.8.8"), url, True)


def test_an_address_denial_names_the_key_to_write():
    decision = address_decision(ip_address("169.254.169.254"), NAME, False)
    assert decision.code == "denied.address"
    assert "cloud metadata" in decision.message
    assert 'addresses = "private"' in decision.hint
    assert address_decision(ip_address("224.0.0.1"), NAME, True).hint is None


@given(st.integers(0, 2**32 - 1))
def test_an_address_inside_64_ff9b_is_dialled_only_if_the_ipv4_address_is_public(number):
    """RFC 6052: a resolver on an IPv6-only network answers so for every IPv4 host."""
    public = classify(IPv4Address(number)) is Is.PUBLIC
    inside = IPv6Address(int(IPv6Address("64:ff9b::")) + number)
    for private in (False, True):
        assert may_dial(inside, NAME, private) is public


ROUTED = (ip_network("198.18.0.0/15"), ip_network("fc00::/18"))


@pytest.mark.parametrize(("text", "kind"), [*TABLE, ("198.18.0.21", Is.BENCHMARKING)])
def test_a_network_that_is_assumed_public_opens_itself_to_names_only(text, kind):
    ip = ip_address(text)
    inside = any(ip in network for network in ROUTED)
    opened = inside and kind not in (Is.METADATA, *NEVER)
    assert may_dial(ip, NAME, False, ROUTED) is (opened or kind is Is.PUBLIC)
    if kind is not Is.PUBLIC and "%" not in text:
        literal = Url.parse(f"wss://[{text}]/" if ":" in text else f"wss://{text}/")
        assert not may_dial(ip, literal, False, ROUTED)
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    if kind in (Is.METADATA, Is.LOOPBACK, Is.LINK_LOCAL, *NEVER):
        assert not may_dial(ip, NAME, False, everything)


@pytest.mark.parametrize(
    ("network", "fits"),
    [
        ("198.18.0.0/15", True),
        ("fc00::/18", True),
        ("10.0.0.0/8", True),
        ("100.64.0.0/10", True),
        ("127.0.0.0/8", False),
        ("169.254.0.0/16", False),
        ("0.0.0.0/0", False),
        ("8.8.8.0/24", False),
        ("64:ff9b::/96", False),
    ],
)
def test_which_networks_can_be_assumed_public(network, fits):
    assert assumable(ip_network(network)) is fits


def test_a_denial_of_a_routed_address_names_the_setting():
    decision = address_decision(ip_address("198.18.0.21"), NAME, False)
    assert "routes by name" in decision.message
    assert 'assume_public = ["198.18.0.0/15"]' in decision.hint
    assert "addresses" not in decision.hint
