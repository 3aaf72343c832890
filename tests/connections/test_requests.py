"""Preparing a request: the URL of a command, its body, its repr."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.connections.requests import PreparedRequest, request_body, request_url, without_query
from yoi.errors import RequestFailure, UrlRefused
from yoi.limits import LIMITS
from yoi.permissions import Url
from yoi.permissions.url import REQUEST_SCHEMES


def test_a_command_makes_a_url_on_its_target():
    url = request_url("https", "api.example.com", None, "/v1/chat", {"q": "a b&c=d", "e": "é"})
    assert url.href == "https://api.example.com/v1/chat?q=a%20b%26c%3Dd&e=%C3%A9"
    assert request_url("http", "[::1]", 8080, "/", {}).href == "http://[::1]:8080/"


@pytest.mark.parametrize(
    "path",
    ["", "x", "@evil.example/", ":1/", ".evil.example/", "//evil.example", "/a?b", "/a#b", "\\x"],
)
def test_a_path_is_never_more_than_a_path(path):
    with pytest.raises((RequestFailure, UrlRefused)):
        request_url("https", "api.example.com", None, path, {})


@given(st.text(max_size=30), st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_no_path_or_query_reaches_another_host(path, query):
    try:
        url = request_url("https", "api.example.com", None, "/" + path, query)
    except (RequestFailure, UrlRefused):
        return
    assert (url.scheme, url.host, url.port) == ("https", "api.example.com", 443)
    assert without_query(url).href == url.href.partition("?")[0]


def test_bodies():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert request_body(None, None) == (None, None)
    assert request_body({"a": [1]}, None) == (b'{"a":[1]}', "application/json")
    assert request_body(None, "é") == ("é".encode(), "text/plain; charset=utf-8")
    for json, text, code in (
        (None, "x" * (LIMITS.request_body_bytes + 1), "request.too_large"),
        (None, "\ud800", "request.malformed"),
        ("\ud800", None, "request.malformed"),
        (deep, None, "request.malformed"),
    ):
        with pytest.raises(RequestFailure) as caught:
            request_body(json, text)
        assert caught.value.code == code


def test_a_repr_shows_no_value():
    """W9: the final request holds secrets."""
    request = PreparedRequest(
        plugin="p",
        command_id="1",
        target="api",
        method="POST",
        url=Url.parse("https://api.example.com/a?k=canary", REQUEST_SCHEMES),
        headers=(("authorization", "Bearer canary"),),
        inserted_headers=frozenset({"authorization"}),
        body=b"canary",
    )
    assert "canary" not in repr(request)
    assert request.carries_inserted
