# ruff: noqa: RUF001 (look-alike characters are the point)
"""`Url` refuses what two readers could read as two URLs, and says what to write instead (P8)."""

import dataclasses
from ipaddress import IPv4Address, IPv6Address

import pytest

from yoi.errors import UrlRefused
from yoi.limits import LIMITS
from yoi.permissions import REQUEST_SCHEMES, Url

# (text, code, a word of the fix that the message must have)
REFUSED = [
    # userinfo
    ("wss://user@example.com/", "url.userinfo", "remove"),
    ("wss://user:pass@example.com/", "url.userinfo", "remove"),
    ("wss://@example.com/", "url.userinfo", "remove"),
    ("wss://:@example.com/", "url.userinfo", "remove"),
    ("wss://example.com@evil.test/", "url.userinfo", "remove"),
    ("wss://example.com:443@evil.test/", "url.userinfo", "remove"),
    ("wss://a@b@evil.test/", "url.userinfo", "remove"),
    ("wss://example.com%40evil.test/", "url.ambiguous", "without '%'"),
    # backslashes
    ("wss://example.com\\@evil.test/", "url.ambiguous", "write /"),
    ("wss://example.com\\.evil.test/", "url.ambiguous", "write /"),
    ("wss:\\\\example.com/", "url.ambiguous", "write /"),
    ("wss:/\\example.com/", "url.ambiguous", "write /"),
    ("wss://example.com/a\\..\\b", "url.ambiguous", "write /"),
    ("wss://example.com/?a=\\", "url.ambiguous", "%5C"),
    # slashes around the host
    ("wss:example.com", "url.ambiguous", "wss://host/path"),
    ("wss:/example.com", "url.ambiguous", "wss://host/path"),
    ("wss:///example.com", "url.ambiguous", "wss://host/path"),
    ("wss:////example.com", "url.ambiguous", "wss://host/path"),
    ("wss://", "url.ambiguous", "wss://host/path"),
    ("wss://?x", "url.ambiguous", "wss://host/path"),
    ("wss://#x", "url.ambiguous", "wss://host/path"),
    ("//example.com/", "url.malformed", "start it with"),
    ("example.com", "url.malformed", "start it with"),
    ("", "url.malformed", "start it with"),
    ("wss://example.com//evil.test/", "url.ambiguous", "one '/'"),
    # dots, encoded and not
    ("wss://example.com/a/../b", "url.ambiguous", "write /b"),
    ("wss://example.com/./b", "url.ambiguous", "write /b"),
    ("wss://example.com/a/..", "url.ambiguous", "write /"),
    ("wss://example.com/%2e%2e/b", "url.ambiguous", "write /b"),
    ("wss://example.com/a/.%2E/b", "url.ambiguous", "write /b"),
    ("wss://example.com/a/%252e%252e/b", "url.ambiguous", "segment"),
    ("wss://example.com/a/..;/b", "url.ambiguous", "remove it"),
    ("wss://example.com/a/..;x=1/b", "url.ambiguous", "remove it"),
    ("wss://example.com/a/%2e%2e;/b", "url.ambiguous", "remove it"),
    ("wss://example.com/a/\uff0e\uff0e/b", "url.ambiguous", "remove it"),
    ("wss://example.com/a/\u2025/b", "url.ambiguous", "remove it"),
    # encoded slashes and backslashes
    ("wss://example.com/v1/..%2fadmin", "url.ambiguous", "encoded slash"),
    ("wss://example.com/v1%2Fadmin", "url.ambiguous", "encoded slash"),
    ("wss://example.com/v1%252fadmin", "url.ambiguous", "encoded slash"),
    ("wss://example.com/v1%25252fadmin", "url.ambiguous", "encoded slash"),
    ("wss://example.com/v1%5cadmin", "url.ambiguous", "encoded slash"),
    ("wss://example.com/v1%c0%afadmin", "url.ambiguous", "UTF-8"),
    ("wss://example.com/v1\uff0fadmin", "url.ambiguous", "remove it"),
    ("wss://example.com/v1%ef%bc%8fadmin", "url.ambiguous", "remove it"),
    ("wss://example.com/a%00b", "url.ambiguous", "remove it"),
    ("wss://example.com/a%0d%0aHost:%20evil", "url.ambiguous", "remove it"),
    ("wss://example.com/a%250ab", "url.ambiguous", "remove it"),
    ("wss://example.com/100%", "url.ambiguous", "%25"),
    ("wss://example.com/%zz", "url.ambiguous", "%25"),
    # blanks and controls
    (" wss://example.com/", "url.ambiguous", "remove it"),
    ("wss://example.com/ ", "url.ambiguous", "remove it"),
    ("wss://exa\tmple.com/", "url.ambiguous", "remove it"),
    ("wss://example.com/\r\nHost: evil", "url.ambiguous", "remove it"),
    ("w\nss://example.com/", "url.ambiguous", "remove it"),
    ("wss://example.com/a b", "url.ambiguous", "%20"),
    ("wss://example.com\x00.evil.test/", "url.ambiguous", "remove it"),
    ("wss://example.com/\x7f", "url.ambiguous", "remove it"),
    ("wss://example.com/\ud800", "url.malformed", "surrogate"),
    # encoded and special characters in the host
    ("wss://ex%61mple.com/", "url.ambiguous", "without '%'"),
    ("wss://example.com%2f@evil.test/", "url.userinfo", "remove"),
    ("wss://example.com%00.evil.test/", "url.ambiguous", "without '%'"),
    ("wss://*.example.com/", "url.malformed", "a-z"),
    ("wss://exa$mple.com/", "url.malformed", "a-z"),
    ("wss://example.com,evil.test/", "url.malformed", "a-z"),
    ("wss://exa<mple.com/", "url.malformed", "valid host"),
    ("wss://-example.com/", "url.malformed", "'-'"),
    ("wss://example-.com/", "url.malformed", "'-'"),
    ("wss://" + "a" * 64 + ".com/", "url.malformed", "63"),
    ("wss://" + ".".join(["a" * 60] * 5) + "/", "url.malformed", "253"),
    # IDN
    ("wss://ｅxample.com/", "url.ambiguous", "write example.com"),
    ("wss://example。com/", "url.ambiguous", "write example.com"),
    ("wss://exam\u00adple.com/", "url.ambiguous", "write example.com"),
    ("wss://ex\u200bample.com/", "url.ambiguous", "write example.com"),
    ("wss://example.c℀m/", "url.malformed", "valid host"),
    ("wss://\u2488com/", "url.malformed", "valid host"),
    ("wss://ﬁsh.example/", "url.ambiguous", "write fish.example"),
    ("wss://①②⑦.⓪.⓪.①/", "url.ambiguous", "write 127.0.0.1"),
    ("wss://xn--a/", "url.malformed", "punycode"),
    ("wss://xn--/", "url.malformed", ""),
    ("wss://xn--example-.com/", "url.malformed", ""),
    ("wss://xn--a.example/", "url.malformed", "punycode"),
    # odd IPv4
    ("ws://2130706433/", "url.ambiguous", "write 127.0.0.1"),
    ("ws://0x7f000001/", "url.ambiguous", "write 127.0.0.1"),
    ("ws://0x7f.1/", "url.ambiguous", "write 127.0.0.1"),
    ("ws://0177.0.0.1/", "url.ambiguous", "write 127.0.0.1"),
    ("ws://127.1/", "url.ambiguous", "write 127.0.0.1"),
    ("ws://127.0.1/", "url.ambiguous", "write 127.0.0.1"),
    ("ws://127.0.0.01/", "url.ambiguous", "write 127.0.0.1"),
    ("ws://0/", "url.ambiguous", "write 0.0.0.0"),
    ("ws://1.2.3.4./", "url.ambiguous", "write 1.2.3.4"),
    ("ws://256.256.256.256/", "url.malformed", "valid host"),
    ("ws://1.2.3.4.5/", "url.malformed", "valid host"),
    ("ws://1.2.3.09/", "url.malformed", "valid host"),
    ("ws://4294967296/", "url.malformed", "valid host"),
    ("ws://example.0x/", "url.malformed", "valid host"),
    # odd IPv6
    ("ws://[::1/", "url.malformed", ""),
    ("ws://::1/", "url.malformed", "brackets"),
    ("ws://[::1]x/", "url.malformed", ""),
    ("ws://[fe80::1%25eth0]/", "url.ambiguous", "without '%'"),
    ("ws://[fe80::1%eth0]/", "url.ambiguous", "without '%'"),
    ("ws://[::1.2.3]/", "url.malformed", ""),
    ("ws://[::01.2.3.4]/", "url.malformed", ""),
    ("ws://[v1.x]/", "url.malformed", ""),
    ("ws://[]/", "url.malformed", ""),
    ("ws://[1:2:3:4:5:6:7:8:9]/", "url.malformed", ""),
    # trailing and empty dots
    ("wss://example.com./", "url.ambiguous", "write example.com"),
    ("wss://example.com../", "url.ambiguous", "write example.com"),
    ("wss://localhost./", "url.ambiguous", "write localhost"),
    ("wss://a..b/", "url.malformed", "a-z"),
    ("wss://.example.com/", "url.malformed", "a-z"),
    ("wss://./", "url.ambiguous", ""),
    # ports
    ("wss://example.com:/", "url.ambiguous", "1 to 65535"),
    ("wss://example.com:0443/", "url.ambiguous", "leading zeros"),
    ("wss://example.com:0/", "url.malformed", "1 to 65535"),
    ("wss://example.com:00/", "url.ambiguous", "1 to 65535"),
    ("wss://example.com:65536/", "url.malformed", "65535"),
    ("wss://example.com:4294967739/", "url.malformed", "65535"),
    ("wss://example.com:" + "9" * 5000 + "/", "url.malformed", "65535"),
    ("wss://example.com:-1/", "url.ambiguous", "1 to 65535"),
    ("wss://example.com:+443/", "url.ambiguous", "1 to 65535"),
    ("wss://example.com:4_43/", "url.ambiguous", "1 to 65535"),
    ("wss://example.com:443x/", "url.ambiguous", "1 to 65535"),
    ("wss://example.com:\uff14\uff14\uff13/", "url.ambiguous", "1 to 65535"),
    ("wss://example.com:80:443/", "url.malformed", "brackets"),
    # fragments
    ("wss://example.com/#x", "url.fragment", "%23"),
    ("wss://example.com/#", "url.fragment", "%23"),
    ("wss://example.com#@evil.test/", "url.fragment", "%23"),
    ("wss://example.com/?a#b", "url.fragment", "%23"),
    # schemes
    ("https://example.com/", "url.scheme", "wss://"),
    ("file:///etc/passwd", "url.scheme", "wss://"),
    ("javascript:alert(1)", "url.scheme", "wss://"),
    ("wss+unix://x/", "url.scheme", "wss://"),
    # size
    ("wss://example.com/" + "a" * LIMITS.url_chars, "url.too_long", "8192"),
    ("wss://example.com/" + "é" * (LIMITS.url_chars // 3), "url.too_long", "8192"),
    # not text
    (None, "url.malformed", "text"),
    (b"wss://example.com/", "url.malformed", "text"),
]


@pytest.mark.parametrize(("text", "code", "fix"), REFUSED, ids=lambda value: repr(value)[:60])
def test_refuses(text, code, fix):
    with pytest.raises(UrlRefused) as caught:
        Url.parse(text)
    assert caught.value.code == code
    assert fix in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 700


def test_a_refusal_never_prints_the_query():
    for text in ("wss://example.com/\\?token=s3cret", "wss://exa<mple/?token=s3cret"):
        with pytest.raises(UrlRefused) as caught:
            Url.parse(text)
        assert "s3cret" not in caught.value.message


ACCEPTED = [
    ("wss://example.com", "wss://example.com/"),
    ("WSS://EXAMPLE.com:443/A?b", "wss://example.com/A?b"),
    ("ws://example.com:80", "ws://example.com/"),
    ("ws://example.com:443/", "ws://example.com:443/"),
    ("wss://bücher.example/ws", "wss://xn--bcher-kva.example/ws"),
    ("wss://BÜCHER.example/ws", "wss://xn--bcher-kva.example/ws"),
    ("wss://xn--bcher-kva.example/ws", "wss://xn--bcher-kva.example/ws"),
    ("wss://faß.example/", "wss://xn--fa-hia.example/"),
    ("wss://例え.テスト/", "wss://xn--r8jz45g.xn--zckzah/"),
    ("ws://127.0.0.1:8080/x", "ws://127.0.0.1:8080/x"),
    ("ws://[::1]:9/x", "ws://[::1]:9/x"),
    ("ws://[0:0:0:0:0:0:0:1]/", "ws://[::1]/"),
    ("ws://[2001:DB8::A]/", "ws://[2001:db8::a]/"),
    ("ws://[::ffff:1.2.3.4]/", "ws://[::ffff:102:304]/"),
    ("wss://my_service:9000/", "wss://my_service:9000/"),
    ("wss://r3---sn-4g5e.example/", "wss://r3---sn-4g5e.example/"),
    ("wss://example.com/é", "wss://example.com/%C3%A9"),
    ("wss://example.com/a%20b;c=1/,:@!$&'()*+=~|", "wss://example.com/a%20b;c=1/,:@!$&'()*+=~|"),
    ("wss://example.com/a//b/", "wss://example.com/a//b/"),
    ("wss://example.com/...", "wss://example.com/..."),
    ("wss://example.com/.well-known/x", "wss://example.com/.well-known/x"),
    ("wss://example.com/?u=http://a@b/../%2f%00", "wss://example.com/?u=http://a@b/../%2f%00"),
    ("wss://example.com?", "wss://example.com/?"),
    ("wss://example.com?q", "wss://example.com/?q"),
]


@pytest.mark.parametrize(("text", "href"), ACCEPTED)
def test_accepts(text, href):
    assert Url.parse(text).href == href


def test_fields_for_the_dialler():
    url = Url.parse("wss://Gateway.Example.com:8443/ws/v1?token=x")
    assert (url.scheme, url.host, url.ip, url.port) == ("wss", "gateway.example.com", None, 8443)
    assert (url.path, url.query) == ("/ws/v1", "token=x")
    assert url.host_header == "gateway.example.com:8443"
    assert url.request_target == "/ws/v1?token=x"
    assert url.server_name == "gateway.example.com"
    assert url.secure


def test_literals_have_no_server_name():
    four, six = Url.parse("wss://192.0.2.7/"), Url.parse("ws://[2001:db8::1]:81/")
    assert (four.server_name, four.ip, four.host_header) == (
        None,
        IPv4Address("192.0.2.7"),
        "192.0.2.7",
    )
    assert (six.server_name, six.ip) == (None, IPv6Address("2001:db8::1"))
    assert (six.host, six.host_header, six.port) == ("2001:db8::1", "[2001:db8::1]:81", 81)
    assert (four.secure, six.secure) == (True, False)


def test_schemes_are_the_callers_choice():
    assert Url.parse("https://example.com/x", REQUEST_SCHEMES).port == 443
    with pytest.raises(UrlRefused) as caught:
        Url.parse("wss://example.com/", REQUEST_SCHEMES)
    assert caught.value.code == "url.scheme"


def test_display_shows_punycode_beside_unicode_and_no_query():
    url = Url.parse("wss://аррӏе.example/ws?token=secret")
    assert url.display == "wss://xn--80ak6aa92e.example (аррӏе.example)/ws?…"
    assert str(url) == url.display
    long = Url.parse("wss://example.com/" + "a" * 4000)
    assert len(long.display) < 400


def test_a_url_is_made_by_parse_only():
    url = Url.parse("wss://example.com/")
    with pytest.raises(dataclasses.FrozenInstanceError):
        url.host = "evil.test"
    with pytest.raises(TypeError):
        Url("wss://example.com/")
    with pytest.raises(TypeError):
        dataclasses.replace(url, host="evil.test")


def test_equality_is_the_href():
    assert Url.parse("WSS://example.com:443") == Url.parse("wss://example.com/")
    assert Url.parse("wss://example.com/a") != Url.parse("wss://example.com/A")
    assert len({Url.parse("wss://example.com"), Url.parse("wss://EXAMPLE.com/")}) == 1


def test_neither_str_nor_repr_shows_the_query():
    """W9: a captured socket URL carries its ticket there."""
    url = Url.parse("wss://wss.example.com/link?ticket=marked-0123456789")
    assert "marked" not in f"{url} {url!r} {[url]}"
    assert url.query == "ticket=marked-0123456789"
