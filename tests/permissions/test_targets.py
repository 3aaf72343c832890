"""Targets: exact, subdomains, any; default ports; whole segments (P5, P6)."""

import pytest

from yoi.errors import UrlRefused
from yoi.limits import LIMITS, MIB
from yoi.permissions import REQUEST_SCHEMES, TargetKind, Url, UrlTarget


def target(host="example.com", scheme="wss", **more):
    return UrlTarget.parse({"scheme": scheme, "host": host, **more})


def allows(rule, text):
    return rule.allows(Url.parse(text))


@pytest.mark.parametrize(
    ("host", "yes", "no"),
    [
        ("example.com", ["example.com", "EXAMPLE.com"], ["a.example.com", "xexample.com", "com"]),
        (
            "*.example.com",
            ["a.example.com", "a.b.example.com"],
            ["example.com", "xexample.com", "example.com.evil.test", "a-example.com"],
        ),
        ("*", ["example.com", "evil.test", "192.0.2.1", "[2001:db8::1]"], []),
        ("BÜCHER.example", ["bücher.example", "xn--bcher-kva.example"], ["bucher.example"]),
        ("*.bücher.example", ["a.xn--bcher-kva.example"], ["xn--bcher-kva.example"]),
        ("[0:0:0:0:0:0:0:1]", ["[::1]", "[0::1]"], ["127.0.0.1", "localhost", "[::2]"]),
        ("127.0.0.1", ["127.0.0.1"], ["[::ffff:127.0.0.1]", "localhost", "127.0.0.2"]),
    ],
)
def test_hosts(host, yes, no):
    rule = target(host)
    for name in yes:
        assert allows(rule, f"wss://{name}/"), name
    for name in no:
        assert not allows(rule, f"wss://{name}/"), name


@pytest.mark.parametrize(
    ("prefix", "yes", "no"),
    [
        ("/ws", ["/ws", "/ws/", "/ws/x", "/ws?q", "/ws//x"], ["/", "/wsx", "/WS", "/w", "/x/ws"]),
        ("/ws/", ["/ws/", "/ws/x"], ["/ws", "/wsx"]),
        ("/", ["/", "/x", "/x/y"], []),
        ("/a/b", ["/a/b", "/a/b/c"], ["/a", "/a/bc", "/a/c/b", "/a//b", "/a%62"]),
        ("/é", ["/é", "/%C3%A9/x"], ["/e"]),
        ("/a;v=1", ["/a;v=1", "/a;v=1/b"], ["/a", "/a;v=11"]),
    ],
)
def test_whole_segment_prefixes(prefix, yes, no):
    rule = target(path_prefixes=[prefix])
    for path in yes:
        assert allows(rule, f"wss://example.com{path}"), path
    for path in no:
        assert not allows(rule, f"wss://example.com{path}"), path


def test_a_missing_port_means_the_default_port():
    assert allows(target(), "wss://example.com:443/")
    assert not allows(target(), "wss://example.com:8443/")
    either = target(scheme="*")
    assert allows(either, "ws://example.com/")
    assert allows(either, "wss://example.com/")
    assert not allows(either, "ws://example.com:443/")
    assert not allows(either, "wss://example.com:80/")
    exact = target(scheme="*", port=8443)
    assert allows(exact, "ws://example.com:8443/")
    assert not allows(exact, "wss://example.com/")


def test_any_scheme_is_any_scheme_of_the_kind():
    web = Url.parse("https://example.com/", REQUEST_SCHEMES)
    assert not target("*", scheme="*").allows(web)
    request = UrlTarget.parse({"scheme": "*", "host": "*", "methods": ["GET"]}, TargetKind.REQUEST)
    assert request.allows(web, "GET")
    assert not request.allows(Url.parse("wss://example.com/"), "GET")


def test_requests_name_their_methods():
    rule = UrlTarget.parse(
        {"scheme": "https", "host": "example.com", "methods": ["post", "GET", "GET"]}, "request"
    )
    assert rule.methods == ("GET", "POST")
    url = Url.parse("https://example.com/x", REQUEST_SCHEMES)
    assert [rule.allows(url, method) for method in ("GET", "POST", "PUT", "")] == [
        True,
        True,
        False,
        False,
    ]


BASE = {"scheme": "wss", "host": "example.com"}
REFUSED = [
    ("text", "websocket"),
    ([], "websocket"),
    ({}, "websocket.scheme"),
    ({"host": "example.com"}, "websocket.scheme"),
    ({**BASE, "hosts": []}, "websocket.hosts"),
    ({**BASE, 7: 1}, "websocket.7"),
    ({**BASE, "methods": ["GET"]}, "websocket.methods"),
    ({**BASE, "scheme": "https"}, "websocket.scheme"),
    ({**BASE, "scheme": "WSS "}, "websocket.scheme"),
    ({**BASE, "scheme": ""}, "websocket.scheme"),
    ({**BASE, "scheme": ["wss"]}, "websocket.scheme"),
    ({**BASE, "host": ""}, "websocket.host"),
    ({**BASE, "host": "* "}, "websocket.host"),
    ({**BASE, "host": "*.*.com"}, "websocket.host"),
    ({**BASE, "host": "*example.com"}, "websocket.host"),
    ({**BASE, "host": "a.*.com"}, "websocket.host"),
    ({**BASE, "host": "*."}, "websocket.host"),
    ({**BASE, "host": "*.127.0.0.1"}, "websocket.host"),
    ({**BASE, "host": "*.[::1]"}, "websocket.host"),
    ({**BASE, "host": "example.com."}, "websocket.host"),
    ({**BASE, "host": "example.com:443"}, "websocket.host"),
    ({**BASE, "host": "[::1]:443"}, "websocket.host"),
    ({**BASE, "host": "::1"}, "websocket.host"),
    ({**BASE, "host": "wss://example.com"}, "websocket.host"),
    ({**BASE, "host": "example.com/ws"}, "websocket.host"),
    ({**BASE, "host": "a@example.com"}, "websocket.host"),
    ({**BASE, "host": "example.com?x"}, "websocket.host"),
    ({**BASE, "host": "example.com#x"}, "websocket.host"),
    ({**BASE, "host": "exa mple.com"}, "websocket.host"),
    ({**BASE, "host": "ex%61mple.com"}, "websocket.host"),
    ({**BASE, "host": "0x7f.1"}, "websocket.host"),
    ({**BASE, "host": "ｅxample.com"}, "websocket.host"),  # noqa: RUF001
    ({**BASE, "host": "xn--a"}, "websocket.host"),
    ({**BASE, "host": "0.0.0.0"}, "websocket.host"),
    ({**BASE, "host": "[::]"}, "websocket.host"),
    ({**BASE, "host": "[ff02::1]"}, "websocket.host"),
    ({**BASE, "host": "[::ffff:0.0.0.0]"}, "websocket.host"),
    ({**BASE, "host": "255.255.255.255"}, "websocket.host"),
    ({**BASE, "host": "a" * 100_000}, "websocket.host"),
    ({**BASE, "port": 0}, "websocket.port"),
    ({**BASE, "port": 65536}, "websocket.port"),
    ({**BASE, "port": "443"}, "websocket.port"),
    ({**BASE, "port": True}, "websocket.port"),
    ({**BASE, "port": 443.0}, "websocket.port"),
    ({**BASE, "port": 10**5000}, "websocket.port"),
    ({**BASE, "path_prefixes": "/ws"}, "websocket.path_prefixes"),
    ({**BASE, "path_prefixes": [""]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["/a", "ws"]}, "websocket.path_prefixes[1]"),
    ({**BASE, "path_prefixes": ["/ws?x"]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["/ws#x"]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["//ws"]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["/a//b"]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["/a/../b"]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["/a%2fb"]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["/a\\b"]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": [7]}, "websocket.path_prefixes[0]"),
    ({**BASE, "path_prefixes": ["/a"] * 33}, "websocket.path_prefixes"),
    ({**BASE, "max_message_bytes": 0}, "websocket.max_message_bytes"),
    ({**BASE, "max_message_bytes": 16 * MIB + 1}, "websocket.max_message_bytes"),
    ({**BASE, "max_message_bytes": "1 MiB"}, "websocket.max_message_bytes"),
    ({**BASE, "addresses": "any"}, "websocket.addresses"),
    ({**BASE, "addresses": ["private"]}, "websocket.addresses"),
]


@pytest.mark.parametrize(("table", "at"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refuses(table, at):
    with pytest.raises(UrlRefused) as caught:
        UrlTarget.parse(table)
    assert caught.value.code == "url.target"
    assert caught.value.fields["at"] == at
    assert at in caught.value.message
    assert len(caught.value.message) < 700


@pytest.mark.parametrize("methods", [[], ["*"], ["CONNECT"], ["GET "], "GET", [1], ["\u017fEARCH"]])
def test_refuses_methods(methods):
    with pytest.raises(UrlRefused) as caught:
        UrlTarget.parse({"scheme": "https", "host": "a.test", "methods": methods}, "request")
    assert caught.value.code == "url.target"
    assert caught.value.fields["at"].startswith("request.methods")


@pytest.mark.parametrize(
    "table",
    [
        BASE,
        {**BASE, "port": 8443, "path_prefixes": ["/b", "/a", "/a"], "addresses": "private"},
        {"scheme": "*", "host": "*", "max_message_bytes": 4 * MIB},
        {"scheme": "ws", "host": "[::1]"},
        {"scheme": "wss", "host": "*.bücher.example", "addresses": "public"},
        {**BASE, "max_message_bytes": LIMITS.message_bytes},
    ],
)
def test_to_table_is_canonical(table):
    first = UrlTarget.parse(table)
    assert UrlTarget.parse(first.to_table()) == first
    assert UrlTarget.parse(first.to_table()).to_table() == first.to_table()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({**BASE, "path_prefixes": ["/ws"]}, []),
        (BASE, ["any path"]),
        ({**BASE, "path_prefixes": ["/"]}, ["any path"]),
        ({**BASE, "scheme": "*", "path_prefixes": ["/ws"]}, ["any scheme"]),
        ({**BASE, "host": "*", "path_prefixes": ["/ws"]}, ["any host"]),
        ({**BASE, "host": "*.example.com", "path_prefixes": ["/ws"]}, ["every subdomain"]),
        ({**BASE, "host": "*.com", "path_prefixes": ["/ws"]}, ["top-level domain"]),
        ({**BASE, "addresses": "private", "path_prefixes": ["/ws"]}, ["private networks"]),
        ({**BASE, "host": "localhost", "path_prefixes": ["/ws"]}, ["this machine"]),
        ({**BASE, "host": "10.0.0.1", "path_prefixes": ["/ws"]}, ["not public (private)"]),
        (
            {"scheme": "*", "host": "*", "addresses": "private"},
            ["any scheme", "any host", "any path", "private"],
        ),
    ],
)
def test_broad_access_is_named_in_words(table, words):
    reasons = UrlTarget.parse(table).broad
    assert len(reasons) == len(words)
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason


def test_labels_are_bounded_and_readable():
    assert (
        target("*.example.com", path_prefixes=["/ws", "/b"]).label == "wss://*.example.com /b /ws"
    )
    assert target("bücher.example").label == "wss://xn--bcher-kva.example (bücher.example) *"
    wide = target(scheme="*", host="[::1]", port=81, addresses="private", max_message_bytes=4 * MIB)
    assert wide.label == "*://[::1]:81 * (private addresses) (messages up to 4 MiB)"
    many = target(path_prefixes=[f"/{'x' * 500}{n}" for n in range(32)])
    assert len(many.label) <= 512


def test_a_target_that_may_be_asked_again_says_so():
    table = {
        "name": "api",
        "scheme": "https",
        "host": "api.example",
        "methods": ["POST"],
        "idempotent": True,
    }
    asked = UrlTarget.parse(table, "request")
    once = UrlTarget.parse({**table, "idempotent": False}, "request")
    assert asked.to_table() == table
    assert UrlTarget.parse(asked.to_table(), "request") == asked
    assert "idempotent" not in once.to_table()
    assert asked.covers(once)
    assert not once.covers(asked)
    assert "(asked again after a crash)" in asked.label
    assert "crash" not in once.label
    with pytest.raises(UrlRefused, match="beside idempotent"):
        UrlTarget.parse({key: table[key] for key in table if key != "name"}, "request")
