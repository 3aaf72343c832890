"""What an authorization server's answers mean, and what a provider may be. No network."""

import base64
import contextlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import SecretError, YoiError
from yoi.limits import LIMITS
from yoi.secrets.authorize import (
    BrowserFlow,
    ClientAuth,
    DeviceFlow,
    Provider,
    Tokens,
    endpoint,
    tokens_of,
)
from yoi.types import Secret

TOKEN = endpoint("https://a.example.com/token", "token")
PAGE = endpoint("https://a.example.com/authorize?tenant=7", "page")
DEVICE = endpoint("https://a.example.com/device", "device")
BEGUN = {
    "device_code": "the-device-code",
    "user_code": "ABCD-EFGH",
    "verification_uri": "https://a.example.com/activate",
    "expires_in": 600,
    "interval": 5,
}


def provider(**more):
    return Provider(
        **{
            "token_url": TOKEN,
            "authorize_url": PAGE,
            "device_url": DEVICE,
            "client_id": "me",
            **more,
        }
    )


def begun(**more):
    flow = DeviceFlow(provider())
    flow.began(200, json.dumps({**BEGUN, **more}))
    return flow


def code_of(call, *arguments):
    with pytest.raises(YoiError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://a.example.com/token", "secret.flow_settings"),
        ("http://192.168.1.2/token", "secret.flow_settings"),
        ("ftp://a.example.com/token", "url.scheme"),
        ("https://me:pass@a.example.com/token", "url.userinfo"),
        ("https://a.example.com/token#x", "url.fragment"),
    ],
)
def test_an_endpoint_that_is_refused(url, code):
    assert code_of(endpoint, url, "token URL") == code


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:80"])
def test_http_is_for_this_machine(host):
    assert endpoint(f"http://{host}/token", "token URL").scheme == "http"


def test_the_page_keeps_its_own_query_and_gets_ours():
    flow = BrowserFlow(
        provider(scopes=("a", "b"), parameters={"access_type": "offline"}),
        "http://127.0.0.1:1/callback",
        "the-state",
    )
    asked = {key: value[0] for key, value in parse_qs(urlsplit(flow.url).query).items()}
    assert flow.url.startswith("https://a.example.com/authorize?tenant=7&")
    assert asked.pop("code_challenge")
    assert asked == {
        "tenant": "7",
        "response_type": "code",
        "client_id": "me",
        "redirect_uri": "http://127.0.0.1:1/callback",
        "scope": "a b",
        "state": "the-state",
        "code_challenge_method": "S256",
        "access_type": "offline",
    }
    body = parse_qs(flow.token_request("code=c&state=the-state").decode())
    assert (body["grant_type"], body["code"]) == (["authorization_code"], ["c"])
    assert len(body["code_verifier"][0]) == 64


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("code=c", "secret.flow_state"),
        ("code=c&state=other", "secret.flow_state"),
        ("", "secret.flow_state"),
        ("error=access_denied", "secret.flow_state"),
        ("error=access_denied&state=s", "secret.flow_denied"),
        ("error=server_error&state=s", "secret.flow_refused"),
        ("state=s", "secret.flow_answer"),
        ("code=c&code=d&state=s", "secret.flow_answer"),
    ],
)
def test_what_a_browser_may_not_bring(query, code):
    assert code_of(BrowserFlow(provider(), "http://127.0.0.1:1/", "s").token_request, query) == code


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, "{}", "secret.flow_answer"),
        (200, "", "secret.flow_answer"),
        (200, "null", "secret.flow_answer"),
        (200, "[]", "secret.flow_answer"),
        (200, '{"access_token": 5}', "secret.flow_answer"),
        (200, '{"access_token": " "}', "secret.flow_answer"),
        (200, '{"access_token": "a", "refresh_token": {}}', "secret.flow_answer"),
        (200, '{"access_token": "a", "expires_in": []}', "secret.flow_answer"),
        (500, '{"access_token": "a"}', "secret.flow_answer"),
        (502, "<html>bad gateway</html>", "secret.flow_answer"),
        (400, '{"error": "invalid_grant"}', "secret.flow_refused"),
        (200, '{"error": "bad_verification_code"}', "secret.flow_refused"),
        (400, '{"error": "access_denied"}', "secret.flow_denied"),
        (400, '{"error": "expired_token"}', "secret.flow_expired"),
        (400, '{"error": ["x"]}', "secret.flow_refused"),
    ],
)
def test_an_answer_without_a_token(status, body, code):
    assert code_of(tokens_of, status, body) == code


def test_answers_with_a_token():
    assert tokens_of(200, '{"access_token": "a", "expires_in": 60, "scope": "x y"}') == Tokens(
        "a", None, 60, ("x", "y")
    )
    # As GitHub answers where JSON is not asked for.
    assert tokens_of(200, "access_token=a&refresh_token=r&scope=&token_type=bearer") == Tokens(
        "a", "r", None, ()
    )


@given(st.integers(100, 599), st.text() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["access_token", "refresh_token", "error", "expires_in", "scope", "x"]),
        inner,
        max_size=4,
    ),
).map(json.dumps))  # fmt: skip
def test_any_answer_is_tokens_or_an_error_of_ours(status, text):
    for take in (
        lambda: tokens_of(status, text),
        lambda: DeviceFlow(provider()).began(status, text),
    ):
        with contextlib.suppress(YoiError):
            take()


def test_the_error_of_a_server_is_escaped_and_bounded():
    with pytest.raises(SecretError) as caught:
        tokens_of(
            400, json.dumps({"error": "x\x1b[2J", "error_description": "\x1b]0;" + "d" * 9999})
        )
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 400


def test_a_device_waits_longer_where_it_is_told_to():
    flow = begun()
    assert flow.heard(400, '{"error": "authorization_pending"}') is None
    assert flow.interval_s == 5
    for _ in range(20):
        assert flow.heard(400, '{"error": "slow_down"}') is None
    assert flow.interval_s == LIMITS.authorize_interval_s
    assert flow.heard(200, '{"access_token": "a"}') == Tokens("a", None, None, ())
    body = parse_qs(flow.poll_request().decode())
    assert body["device_code"] == ["the-device-code"]
    assert body["client_id"] == ["me"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"device_code": ""}, "secret.flow_answer"),
        ({"expires_in": 0}, "secret.flow_answer"),
        ({"interval": "soon"}, "secret.flow_answer"),
        ({"verification_uri": "http://phish.example.com/"}, "secret.flow_settings"),
        ({"verification_uri": "file:///etc/passwd"}, "url.scheme"),
        ({"verification_uri": ""}, "url.malformed"),
    ],
)
def test_a_device_answer_that_cannot_be_used(more, code):
    assert code_of(lambda: begun(**more)) == code


def test_the_times_of_a_device_are_bounded():
    flow = begun(expires_in=10**9, interval=-3)
    assert (flow.interval_s, flow.expires_in_s) == (1, LIMITS.authorize_ms // 1000)


@pytest.mark.parametrize(
    "more",
    [
        {"client_id": " "},
        {"client_auth": ClientAuth.BASIC},
        {"parameters": {"state": "mine"}},
        {"parameters": {"redirect_uri": "https://elsewhere.example.com"}},
        {"scopes": ("s",) * (LIMITS.authorize_options + 1)},
    ],
)
def test_a_provider_that_is_refused(more):
    assert code_of(lambda: provider(**more)) == "secret.flow_settings"


def test_a_client_secret_is_sent_and_never_shown():
    made = provider(client_secret=Secret("web", "canary-canary-canary"))
    assert b"canary-canary-canary" in DeviceFlow(made).first_request()
    assert "canary" not in repr(made)


def test_as_http_basic_the_secret_is_in_no_body_and_a_colon_stays_part_of_the_id():
    secret = Secret("web", "a b:c")
    made = provider(client_id="web:1", client_secret=secret, client_auth=ClientAuth.BASIC)
    ((name, value),) = made.headers
    assert (name, base64.b64decode(value.removeprefix("Basic "))) == (
        "Authorization",
        b"web%3A1:a+b%3Ac",
    )
    assert b"client_secret" not in DeviceFlow(made).first_request()
