"""P8: which headers a plugin may set. One list for manifests, handshakes and requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.connections import DialTarget, PreparedRequest
from yoi.errors import ManifestError, PermissionMalformed, RequestFailure
from yoi.packages import Manifest
from yoi.permissions import REQUEST_SCHEMES, SecretUse, Url
from yoi.permissions.headers import (
    CREDENTIAL_PARTS,
    CREDENTIAL_WORDS,
    NAMES,
    NOT_CREDENTIALS,
    PREFIXES,
    HeaderKind,
    kind_of,
)

NEVER = [
    "Host", "Connection", "Upgrade", "Transfer-Encoding", "TE", "Content-Length", "Proxy",
    "Proxy-Authorization", "Sec-WebSocket-Key", "Sec-Fetch-Site", "Set-Cookie", "Origin",
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-User", "X-Real-IP",
    "True-Client-IP", "X-Client-IP", "CF-Connecting-IP", "X-Remote-User", "Impersonate-User",
    "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Method-Override",
    "X-HTTP-Method", "X-Envoy-Original-Path",
    # Some servers fold these into the same variable.
    "X_Forwarded_For", "x.real.ip", "X_HTTP_METHOD_OVERRIDE",
]  # fmt: skip
CREDENTIALS = [
    "Authorization", "Cookie", "Private-Token", "X-Vault-Token", "X-Goog-Api-Key",
    "X-Amz-Security-Token", "X-API-Key", "Api-Key", "ApiKey", "X-Auth-Token", "X-Session-Id",
    "X-Client-Secret", "Ocp-Apim-Subscription-Key", "X-Access_Token", "X-Password", "X-JWT",
    "X-Hub-Signature",
]  # fmt: skip
PLAIN = [
    "User-Agent", "Accept", "Accept-Language", "Content-Type", "X-Client", "X-GitHub-Api-Version",
    "Idempotency-Key", "If-None-Match", "X-Request-Id", "X-Author", "Cache-Control", "Range",
    "X-Keyboard", "Traceparent",
]  # fmt: skip


def in_manifest(name):
    text = f"""
schema_version = 1
id = "a"
name = "A"
version = "0.1.0"
[runtime]
kind = "python"
runner = "1"
entry = "plugin:P"
[[ingresses]]
name = "events"
[[connections]]
name = "gateway"
ingress = "events"
url = "wss://gateway.example.com/ws"
headers = {{ "{name}" = "v" }}
"""
    try:
        Manifest.parse(text.encode())
    except ManifestError as exc:
        if exc.fields["at"] != f"connections[0].headers.{name}":
            pytest.fail(f"refused elsewhere: {exc}")
        raise


def on_handshake(name):
    DialTarget(Url.parse("wss://gateway.example.com/ws"), headers=((name, "v"),))


def inserted_on_handshake(name):
    DialTarget(Url.parse("wss://gateway.example.com/ws"), inserted=((name, "v"),))


def on_request(name, inserted=()):
    PreparedRequest(
        plugin="p",
        command_id="1",
        target="api",
        method="GET",
        url=Url.parse("https://api.example.com/", REQUEST_SCHEMES),
        headers=((name, "v"),),
        inserted_headers=frozenset(inserted),
    )


def inserted_on_request(name):
    on_request(name, {name.lower()})


def as_place(name):
    SecretUse.parse({"name": "s", "request": "api", "at": [f"/headers/{name.lower()}"]})


BY_PLUGIN = [in_manifest, on_handshake, on_request]
BY_SECRET = [inserted_on_handshake, inserted_on_request, as_place]
REFUSED = (ManifestError, ValueError, RequestFailure, PermissionMalformed)


@pytest.mark.parametrize("name", NEVER)
@pytest.mark.parametrize("setting", [*BY_PLUGIN, *BY_SECRET])
def test_what_is_the_host_s_or_a_proxy_s_is_set_by_nobody(setting, name):
    with pytest.raises(REFUSED):
        setting(name)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_credential_comes_only_from_a_secret(name):
    for setting in BY_PLUGIN:
        with pytest.raises(REFUSED):
            setting(name)
    for setting in BY_SECRET:
        setting(name)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("setting", [*BY_PLUGIN, *BY_SECRET])
def test_a_harmless_header_may_be_set(setting, name):
    setting(name)


def test_every_list_says_what_it_lists():
    """A name that an earlier rule takes away from its list would be a rule that is not in force."""
    for kind, names in NAMES.items():
        assert {kind_of(name) for name in names} == {kind}
    for kind, prefixes in PREFIXES.items():
        assert {kind_of(prefix + "zz") for prefix in prefixes} == {kind}
    words = [f"x-{word}" for word in (*CREDENTIAL_WORDS, *CREDENTIAL_PARTS)]
    assert {kind_of(word) for word in words} == {HeaderKind.CREDENTIAL}
    assert {kind_of(name) for name in NOT_CREDENTIALS} == {HeaderKind.PLAIN}


@given(st.sampled_from([*NEVER, *CREDENTIALS]), st.data())
def test_neither_case_nor_separators_get_a_name_through(name, data):
    changed = "".join(
        data.draw(st.sampled_from("-_."))
        if char in "-_."
        else data.draw(st.sampled_from([char.lower(), char.upper()]))
        for char in name
    )
    assert kind_of(changed) is kind_of(name) is not HeaderKind.PLAIN
