"""N6: the shape of a signature in manifests and grants; the review says what is chosen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import PermissionDenied, PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import Authority, PermissionSet, SecretUse, review
from yoi.permissions.places import Position
from yoi.permissions.pointers import JsonPointer
from yoi.permissions.signatures import NONCE_UNITS, SENT, TIME_UNITS

API = {"name": "api", "scheme": "https", "host": "api.example.com", "methods": ["GET", "POST"]}
PERMISSIONS = [
    {"kind": "connection", "name": "feed"},
    {"kind": "host_api", "api": "request"},
]
SIGN = {
    "algorithm": "hmac-sha256",
    "key": "base64",
    "of": "request",
    "methods": ["POST"],
    "parts": [{"timestamp": "ms"}, {"sent": "method"}, {"sent": "target"}, {"sent": "body"}],
    "form": "base64",
    "puts": [{"at": "/headers/x-time", "parts": [{"timestamp": "ms"}]}],
}
TRADE = {"name": "trade", "request": "api", "at": ["/headers/x-sign"], "sign": SIGN}
LOGIN = {
    "name": "trade",
    "connection": "feed",
    "at": ["/args/0/sign"],
    "sign": {
        "algorithm": "hmac-sha256",
        "key": "utf8",
        "of": "message",
        "parts": [{"timestamp": "s"}, "GET/users/self/verify"],
        "form": "base64",
        "puts": [{"at": "/args/0/timestamp", "parts": [{"timestamp": "s"}]}],
    },
}
JWT = {
    "name": "app",
    "request": "api",
    "at": [{"at": "/headers/authorization", "after": "Bearer "}],
    "sign": {
        "algorithm": "es256",
        "key": "pem",
        "of": "request",
        "methods": ["GET"],
        "jwt": {
            "lifetime_s": 120,
            "claims": {"iss": "me", "uri": [{"sent": "method"}, " ", {"sent": "host"}]},
            "header": {"kid": [{"secret": "kid"}], "nonce": [{"nonce": "us"}]},
        },
    },
}


def signed(**changes):
    return {**TRADE, "sign": {k: v for k, v in {**SIGN, **changes}.items() if v is not None}}


@pytest.mark.parametrize("table", [TRADE, LOGIN, JWT, signed(clock_offset_ms=-5)])
def test_a_signature_and_back(table):
    use = SecretUse.parse(table)
    assert SecretUse.parse(use.to_table()) == use
    assert use.covers(use)


@pytest.mark.parametrize(
    ("table", "at"),
    [
        (signed(algorithm="md5"), "secrets.sign.algorithm"),
        (signed(key="pem"), "secrets.sign.key"),
        (signed(algorithm="ed25519", key="utf8"), "secrets.sign.key"),
        (signed(algorithm="rs256", key="hex", parts=None, jwt={"lifetime_s": 1}), "secrets.sign.k"),
        (signed(parts=None), "secrets.sign.parts"),
        (signed(parts=[]), "secrets.sign.parts"),
        (signed(parts=["x"] * (LIMITS.sign_parts + 1)), "secrets.sign.parts"),
        (signed(parts=["x" * (LIMITS.sign_literal_chars + 1)]), "secrets.sign.parts[0]"),
        (signed(parts=[""]), "secrets.sign.parts[0]"),
        (signed(parts=[{}]), "secrets.sign.parts[0]"),
        (signed(parts=[1]), "secrets.sign.parts[0]"),
        (signed(parts=[{"timestamp": "h"}]), "secrets.sign.parts[0].timestamp"),
        (signed(parts=[{"timestamp": "s", "nonce": "s"}]), "secrets.sign.parts[0]"),
        (signed(parts=[{"timestamp": "s", "form": "hex"}]), "secrets.sign.parts[0].timestamp"),
        (signed(parts=[{"sent": "cookie"}]), "secrets.sign.parts[0].sent"),
        (signed(parts=[{"value": "x"}]), "secrets.sign.parts[0].value"),
        (signed(parts=[{"secret": "a b"}]), "secrets.sign.parts[0].secret"),
        (signed(parts=[{"sha256": []}]), "secrets.sign.parts[0].sha256"),
        (signed(parts=[{"sha256": [{"sha256": ["x"]}]}]), "secrets.sign.parts[0].sha256[0]"),
        (signed(parts=[{"sha256": ["x"], "form": "octal"}]), "secrets.sign.parts[0].form"),
        (signed(parts=[{"nonce": "s"}, {"nonce": "ms"}]), "secrets.sign"),
        (signed(form="raw"), "secrets.sign.form"),
        (signed(methods=None), "secrets.sign.methods"),
        (signed(methods=["BREW"]), "secrets.sign.methods[0]"),
        (signed(of="message"), "secrets.sign"),
        (signed(of="handshake", methods=None), "secrets.sign.of"),
        (signed(clock_offset_ms=3_600_001), "secrets.sign.clock_offset_ms"),
        (signed(jwt={"lifetime_s": 1}), "secrets.sign.parts"),
        (signed(puts=[{"at": "/headers/x-sign", "parts": ["x"]}]), "secrets.sign.puts"),
        (signed(puts=[{"at": "/path/0", "parts": ["x"]}]), "secrets.sign.puts[0].at"),
        (signed(puts=[{"at": "/basic/user", "parts": ["x"]}]), "secrets.sign.puts[0].at"),
        (signed(puts=[{"at": "/x", "parts": ["x"]}]), "secrets.sign.puts[0].at"),
        (signed(puts=[{"at": "/query/x", "parts": [{"sent": "body"}]}]), "secrets.sign.puts[0]"),
        (signed(puts=[{"at": "/query/x", "parts": ["x"], "number": True}]), "secrets.sign.puts[0]"),
        (signed(puts=[{"at": "/query/x", "parts": ["x"]}] * 2), "secrets.sign.puts"),
        ({**TRADE, "at": ["/headers/a", "/headers/b"]}, "secrets.at"),
        ({**TRADE, "at": [{"at": "/path/0", "after": ""}]}, "secrets.at"),
        ({**TRADE, "at": ["/basic/user"]}, "secrets.at"),
        ({**LOGIN, "sign": {**LOGIN["sign"], "parts": [{"sent": "body"}]}}, "secrets.sign.parts"),
        (
            {**JWT, "sign": {**JWT["sign"], "jwt": {"lifetime_s": 1, "claims": {"exp": 1}}}},
            "secrets.sign.jwt.claims.exp",
        ),
        (
            {**JWT, "sign": {**JWT["sign"], "jwt": {"lifetime_s": 1, "header": {"alg": "none"}}}},
            "secrets.sign.jwt.header.alg",
        ),
        (
            {**JWT, "sign": {**JWT["sign"], "jwt": {"lifetime_s": 1, "claims": {"a": {}}}}},
            "secrets.sign.jwt.claims.a",
        ),
        (
            {**JWT, "sign": {**JWT["sign"], "jwt": {"lifetime_s": LIMITS.jwt_lifetime_s + 1}}},
            "secrets.sign.jwt.lifetime_s",
        ),
    ],
)
def test_a_faulty_shape_is_refused_where_it_stands(table, at):
    with pytest.raises(PermissionMalformed) as caught:
        SecretUse.parse(table)
    assert caught.value.code == "permission.malformed"
    assert caught.value.fields["at"].startswith(at)


def sets(*uses):
    asked = PermissionSet.parse(PERMISSIONS, [], [API], list(uses))
    return asked, asked.granting({use["name"]: f"my-{use['name']}" for use in uses})


def test_a_key_that_signs_is_never_inserted():
    keys = Authority(*sets(TRADE))
    denied = keys.secret("trade", Position(JsonPointer.parse("/headers/x-sign")), request="api")
    assert not denied.allowed


@pytest.mark.parametrize(
    "other",
    [
        signed(parts=[{"sent": "body"}]),
        signed(algorithm="hmac-sha512"),
        signed(methods=["GET", "POST"]),
        signed(clock_offset_ms=1),
        {**TRADE, "at": ["/headers/x-other"]},
        {k: v for k, v in TRADE.items() if k != "sign"},
    ],
)
def test_a_grant_of_another_shape_signs_nothing(other):
    asked, _ = sets(TRADE)
    _, granted = sets(other)
    assert not granted.covers(asked)
    with pytest.raises(PermissionDenied) as caught:
        Authority(asked, granted).signing("trade", request="api")
    assert caught.value.code == "denied.not_granted"
    row = next(row for row in review(asked, granted).rows if row.kind == "secret")
    assert row.state.value == "denied"


def test_what_is_granted_signs():
    assert Authority(*sets(TRADE)).signing("trade", request="api").secret == "my-trade"
    with pytest.raises(PermissionDenied):
        Authority(*sets(TRADE)).signing("trade", connection="feed")
    with pytest.raises(PermissionDenied):
        Authority(*sets(TRADE)).signing("other", request="api")


def row_of(*uses):
    return next(row for row in review(*sets(*uses)).rows if row.kind == "secret")


def test_the_review_says_what_is_signed_and_what_the_plugin_chooses():
    assert row_of(TRADE).explanation == (
        "it may have POST requests to api.example.com signed with your key my-trade, which it "
        "never sees: hmac-sha256 over timestamp (ms), method, target, body; the signature goes "
        "into /headers/x-sign; the plugin chooses path and query, the body"
    )
    assert row_of(LOGIN).explanation.endswith("the plugin chooses nothing of it")
    assert not any("text of its own" in one for one in row_of(LOGIN).broad)
    chosen = signed(parts=[{"value": "/headers/x-text"}])
    assert "the plugin chooses the value at /headers/x-text" in row_of(chosen).explanation
    assert any("text of its own" in one for one in row_of(chosen).broad)
    kid = {"name": "kid", "request": "api", "at": ["/headers/x-kid"]}
    jwt = next(row for row in review(*sets(JWT, kid)).rows if "a JWT (es256)" in row.explanation)
    assert "good for 120 s" in jwt.explanation


def test_a_signature_in_a_url_is_no_secret_in_a_log():
    query = {**TRADE, "at": ["/query/signature"]}
    assert row_of(query).broad == ()


def test_before_a_grant_the_review_says_what_is_asked():
    asked = PermissionSet.parse(PERMISSIONS, [], [API], [TRADE])
    (row,) = [row for row in review(asked, PermissionSet()).rows if row.kind == "secret"]
    assert "it asks to have POST requests to api.example.com signed with a key" in row.explanation
    assert "--secret trade=STORE_NAME" in row.explanation


LEAF = st.one_of(
    st.text("abc\n\"'", min_size=1, max_size=4),
    st.sampled_from(TIME_UNITS).map(lambda unit: {"timestamp": unit}),
    st.sampled_from(SENT).map(lambda what: {"sent": what}),
    st.sampled_from(["/headers/a", "/body/b~0", "/query/c"]).map(lambda at: {"value": at}),
    st.sampled_from(NONCE_UNITS[:1]).map(lambda unit: {"nonce": unit}),
)
PARTS = st.lists(
    st.one_of(LEAF, st.lists(LEAF, min_size=1, max_size=3).map(lambda parts: {"sha256": parts})),
    min_size=1,
    max_size=5,
)


@given(PARTS)
def test_every_shape_is_written_as_it_was_read_and_its_choices_are_said(parts):
    use = SecretUse.parse(signed(parts=parts))
    assert SecretUse.parse(use.to_table()) == use
    written = str(parts)
    for word, said in (("/headers/a", "/headers/a"), ("'body'", "the body"), ("'query'", "the q")):
        assert (word in written) <= (said in row_of(signed(parts=parts)).explanation)
