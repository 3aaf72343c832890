# ruff: noqa: RUF001 (look-alike characters are the point)
"""The URL that was authorised is the URL that is dialled (P8).

Every accepted URL is read again by readers that share no code with policy: the standard library's
URL parser, the websockets library's, the grammars of RFC 9112 and RFC 3986, the idna codec that
sockets use, and a TLS ClientHello as OpenSSL writes it. They must all name the same host, port and
path. Run over the Web Platform Tests corpora and over generated URLs.
"""

import contextlib
import json
import re
import ssl
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from ada_url import URL
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from websockets.uri import parse_uri

from yoi.errors import UrlRefused
from yoi.permissions import DEFAULT_PORTS, TargetKind, Url, UrlTarget

# RFC 9112 3.2.1 origin-form, with the extra characters that browsers send unencoded.
ORIGIN_FORM = re.compile(r"/(?!/)[!$-;=?-~]*\Z")
REG_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")
HOST_FIELD = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9._-]+)(?::([1-9][0-9]{0,4}))?\Z")


def check_agreement(url: Url) -> None:
    """Assert that every reading of `url` names the same host, port and path."""
    rebuilt = f"{url.scheme}://{url.host_header}{url.request_target}"
    assert rebuilt == url.href
    assert url.href.isascii()
    _standard_library(url)
    _websockets_library(url)
    _grammars(url)
    _whatwg_again(url)
    assert Url.parse(url.href, (url.scheme,)) == url


def _standard_library(url: Url) -> None:
    parts = urlsplit(url.href)
    assert parts.scheme == url.scheme
    assert parts.hostname == url.host
    assert (parts.port or DEFAULT_PORTS[url.scheme]) == url.port
    assert parts.path == url.path
    assert parts.query == url.query
    assert (parts.fragment, parts.username, parts.password) == ("", None, None)


def _websockets_library(url: Url) -> None:
    if url.scheme not in ("ws", "wss"):
        return
    read = parse_uri(url.href)
    assert (read.secure, read.host, read.port) == (url.secure, url.host, url.port)
    assert read.resource_name == url.path + (f"?{url.query}" if url.query else "")
    assert read.user_info is None


def _grammars(url: Url) -> None:
    request_line = f"GET {url.request_target} HTTP/1.1"
    assert len(request_line.split()) == 3
    target = request_line.split()[1]
    assert ORIGIN_FORM.match(target), target
    assert target.partition("?")[0] == url.path
    assert not {".", ".."} & set(url.path.split("/"))
    field = HOST_FIELD.match(url.host_header)
    assert field, url.host_header
    assert int(field[2] or DEFAULT_PORTS[url.scheme]) == url.port
    assert field[1].strip("[]") == url.host
    if url.ip is None:
        assert REG_NAME.match(url.host)
        assert url.server_name == url.host
        # Python's own IDNA codec, which ssl and socket use, leaves the name as it is.
        assert url.host.encode("idna") == url.host.encode("ascii")
        # A resolver that accepts inet_aton spellings must not see an address in a name.
        assert not re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", url.host.split(".")[-1])
    else:
        assert url.server_name is None
        assert str(url.ip) == url.host or IPv6Address(url.host) == url.ip
        kind = IPv6Address if ":" in url.host else IPv4Address
        assert kind(url.host) == url.ip


def _whatwg_again(url: Url) -> None:
    again = URL(url.href)
    assert again.href == url.href
    assert again.hostname.strip("[]") == url.host
    assert again.pathname == url.path


def client_hello(url: Url) -> bytes:
    """Return the first bytes OpenSSL would send to a server for `url`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    stream = context.wrap_bio(incoming, outgoing, server_hostname=url.host)
    with contextlib.suppress(ssl.SSLWantReadError):
        stream.do_handshake()
    return outgoing.read()


def sni(hello: bytes) -> str | None:
    """Return the server name in a ClientHello (RFC 8446 4.1.2, RFC 6066 3), or None."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2])
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at : at + 2])
    at += 2
    while at < end:
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == 0:
            return hello[at + 9 : at + 4 + size].decode("ascii")
        at += 4 + size
    return None


DATA = Path(__file__).parents[1] / "data" / "url"
ALL = tuple(DEFAULT_PORTS)


def corpus(name):
    return [row for row in json.loads((DATA / name).read_text("utf-8")) if isinstance(row, dict)]


def parsed(text):
    try:
        return Url.parse(text, ALL)
    except UrlRefused:
        return None


@pytest.mark.parametrize(
    ("name", "at_least"), [("urltestdata.json", 60), ("ada_extra_urltestdata.json", 3)]
)
def test_whatwg_corpus(name, at_least):
    """Every input, as it stands and with its scheme made a WebSocket one."""
    accepted = 0
    for row in corpus(name):
        for scheme in ("", "wss", "ws", "https"):
            text = row["input"]
            if scheme:
                text, changed = re.subn(r"^[A-Za-z][A-Za-z0-9+.-]*:", f"{scheme}:", text)
                if not changed:
                    continue
            url = parsed(text)
            if url is None:
                continue
            accepted += 1
            check_agreement(url)
            if not scheme and not row.get("base"):
                assert not row.get("failure")
                assert url.href == row["href"]
    assert accepted >= at_least


@pytest.mark.parametrize(("name", "at_least"), [("toascii.json", 25), ("IdnaTestV2.json", 250)])
def test_idna_corpus(name, at_least):
    """A host that IDNA refuses is never accepted, and an accepted one has IDNA's ASCII form."""
    accepted = 0
    for row in corpus(name):
        if not row["input"]:
            continue
        url = parsed(f"wss://{row['input']}/x")
        if url is None or "/" in row["input"] or "?" in row["input"]:
            continue
        accepted += 1
        check_agreement(url)
        assert row["output"] is not None, row
        assert url.host == row["output"], row
    assert accepted >= at_least


def test_percent_encoding_corpus():
    for row in corpus("percent-encoding.json"):
        url = parsed(f"wss://example.com/?{row['input']}")
        if url is not None:
            check_agreement(url)
            assert url.query == row["output"]["utf-8"]


# Pieces that parsers are known to disagree about, beside ordinary ones.
HOSTS = st.sampled_from(
    [
        "example.com",
        "EXAMPLE.com",
        "evil.test",
        "a.b-c.d_e",
        "localhost",
        "127.0.0.1",
        "0x7f.1",
        "017700000001",
        "1.2.3",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0::1]",
        "bücher.example",
        "xn--bcher-kva.example",
        "xn--a",
        "ｅx.com",
        "example.com.",
        "a..b",
        "*",
        "*.example.com",
        "ex%61mple.com",
        "1e3",
        "0",
        "a.0",
        "a.0x",
    ]
)
PIECES = st.sampled_from(
    [
        ".",
        "..",
        "/",
        "//",
        "\\",
        "@",
        ":",
        "?",
        "#",
        "%",
        "%2f",
        "%2F",
        "%5c",
        "%2e",
        "%252e",
        ";",
        "&",
        "=",
        "[",
        "]",
        "|",
        "^",
        "`",
        "{",
        "}",
        "<",
        ">",
        '"',
        "'",
        "~",
        "\t",
        "\n",
        "\r",
        "\x00",
        "a",
        "ws",
        "admin",
        "v1",
        "。",
        "／",
        "．",
        "℀",
        "\xad",
        "\u200b",
        "\u202e",
        "é",
        "😀",
    ]
)
TAILS = st.lists(PIECES | st.text(max_size=3), max_size=6).map("".join)
PORTS = st.sampled_from(["", ":", ":80", ":443", ":0443", ":65535", ":65536", ":8443"])
URLS = st.builds(
    lambda scheme, slashes, before, host, mid, port, tail: (
        f"{scheme}:{slashes}{before}{host}{mid}{port}{tail}"
    ),
    st.sampled_from(["ws", "wss", "WSS", "http", "https"]),
    st.sampled_from(["//", "//", "//", "//", "/", "///", "", "/\\"]),
    st.just("") | st.just("") | TAILS,
    HOSTS,
    st.just("") | st.just("") | TAILS,
    PORTS,
    st.sampled_from(["", "/", "/ws", "/v1/x"]).flatmap(lambda start: TAILS.map(start.__add__)),
)
MANY = settings(max_examples=1000, suppress_health_check=[HealthCheck.filter_too_much])


@MANY
@given(URLS)
def test_generated_urls_agree(text):
    url = parsed(text)
    if url is not None:
        check_agreement(url)


TARGETS = st.fixed_dictionaries(
    {
        "scheme": st.sampled_from(["ws", "wss", "*"]),
        "host": st.sampled_from(
            [
                "example.com",
                "*.example.com",
                "*",
                "[::1]",
                "127.0.0.1",
                "b\u00fccher.example",
                "*.test",
            ]
        ),
    },
    optional={
        "port": st.sampled_from([80, 443, 8443]),
        "path_prefixes": st.lists(
            st.sampled_from(["/ws", "/v1/", "/v1/x", "/", "/a/b"]), max_size=3
        ),
    },
)


ORDINARY = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["ws", "wss"]),
    st.sampled_from(
        [
            "example.com",
            "a.EXAMPLE.com",
            "a.b.example.com",
            "xexample.com",
            "example.com.test",
            "[0::1]",
            "127.0.0.1",
            "xn--bcher-kva.example",
            "evil.test",
        ]
    ),
    st.sampled_from(["", ":80", ":443", ":8443"]),
    st.sampled_from(
        [
            "",
            "/",
            "/ws",
            "/ws/",
            "/wsx",
            "/v1",
            "/v1/",
            "/v1/x/y",
            "/a/b",
            "/a/bc",
            "/a//b",
            "/ws?/v1",
        ]
    )
    | st.text("/wsv1xab?;.", max_size=8).map("/".__add__),
)


def oracle(table, url):
    """Decide from the bytes that would be sent, with the standard library only."""
    line = f"GET {url.request_target} HTTP/1.1"
    field = HOST_FIELD.match(url.host_header)
    name, port = field[1], int(field[2] or {"ws": 80, "wss": 443}[url.scheme])
    wanted = table["host"].encode("idna").decode() if not table["host"].isascii() else table["host"]
    hosts = wanted == "*" or name == wanted
    if wanted.startswith("*."):
        hosts = name.split(".")[-len(wanted.split(".")) + 1 :] == wanted.split(".")[1:]
        hosts = hosts and name.count(".") >= wanted.count(".") and url.server_name == name
    segments = line.split(" ")[1].split("?")[0].split("/")[1:]
    paths = not table.get("path_prefixes")
    for prefix in table.get("path_prefixes", []):
        first = prefix.split("/")[1:]
        if first[-1] == "":
            paths = paths or (
                len(segments) >= len(first) and segments[: len(first) - 1] == first[:-1]
            )
        else:
            paths = paths or segments[: len(first)] == first
    return (
        table["scheme"] in ("*", url.scheme)
        and hosts
        and port == table.get("port", {"ws": 80, "wss": 443}[url.scheme])
        and paths
    )


@MANY
@given(TARGETS, ORDINARY | ORDINARY | URLS)
def test_nothing_is_allowed_that_the_wire_would_not_be(table, text):
    """P8: what `allows` says of the URL, it says of request line, Host header and SNI."""
    url = parsed(text)
    assume(url is not None and url.scheme in ("ws", "wss"))
    assert UrlTarget.parse(table, TargetKind.WEBSOCKET).allows(url) is oracle(table, url)


NAMES = [
    "wss://example.com/",
    "wss://GATEWAY.example.com:8443/ws",
    "wss://b\u00fccher.example/",
    "wss://a_b.example/",
    "wss://xn--r8jz45g.xn--zckzah/",
]


@pytest.mark.parametrize("text", NAMES)
def test_sni_is_the_authorised_host(text):
    url = Url.parse(text)
    assert sni(client_hello(url)) == url.host == url.server_name


@pytest.mark.parametrize("text", ["wss://192.0.2.1/", "wss://[2001:db8::1]/"])
def test_literals_send_no_sni(text):
    url = Url.parse(text)
    assert sni(client_hello(url)) is None
    assert url.server_name is None


def handshake(url, certified):
    """Run a TLS handshake in memory with a server certified for `certified`."""
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(certified).configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=url.host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.version()


@pytest.mark.parametrize(
    "text", ["wss://gateway.example.com/", "wss://b\u00fccher.example/", "wss://[2001:db8::1]/"]
)
def test_certificate_name_is_the_authorised_host(text):
    url = Url.parse(text)
    assert handshake(url, url.host)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(url, "evil.test")
