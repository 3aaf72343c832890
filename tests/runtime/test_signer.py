"""N6: what is signed is what is sent, as exchanges publish it; the shape is the declared one."""

import base64
import hashlib
import json
from urllib.parse import parse_qsl, quote

import jwt as others
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.core.captures import HandleTable
from yoi.core.insertion import Layout
from yoi.core.redaction import MASK
from yoi.errors import PermissionDenied, SignatureError
from yoi.limits import LIMITS
from yoi.permissions import Authority, PermissionSet, Url
from yoi.permissions.signatures import Subject
from yoi.protocol.session_commands import parse_session_payload
from yoi.runtime.connection_commands import _target
from yoi.runtime.secret_injector import SecretInjector
from yoi.runtime.service_requests import ServiceRequests
from yoi.runtime.signer import Signable
from yoi.testing import ManualClock
from yoi.types import Secret

PERMISSIONS = [
    {"kind": "connection", "name": "feed"},
    {"kind": "host_api", "api": "request"},
]
FORM = {"content-type": "application/x-www-form-urlencoded"}


class At(ManualClock):
    """A clock at one moment."""

    def __init__(self, ms):
        super().__init__()
        self.ms = ms

    def wall_ms(self):
        return self.ms


class Numbers:
    def __init__(self, *numbers):
        self.left = list(numbers)

    def next(self, name, unit, now_ms):
        return self.left.pop(0)


class Store:
    def __init__(self, **values):
        self.values = {name: Secret(name, value) for name, value in values.items()}

    def secret(self, name):
        return self.values.get(name)

    def get(self, name):
        return self.values[name]


class Bench:
    """One plugin with its manifest, its grant, its keys and its clock."""

    def __init__(
        self, *uses, now_ms=1_700_000_000_000, numbers=(), methods=("GET", "POST"), **keys
    ):
        target = {
            "name": "api",
            "scheme": "https",
            "host": "api.example.com",
            "methods": list(methods),
        }
        asked = PermissionSet.parse(PERMISSIONS, [], [target], list(uses))
        granted = asked.granting({use["name"]: use["name"] for use in uses})
        self.authority = Authority(asked, granted, plugin="mine")
        self.clock = At(now_ms)
        self.store = Store(**keys)
        self.injector = SecretInjector(
            "mine", self.authority, self.store, HandleTable(), self.clock, Numbers(*numbers)
        )
        self.requests = ServiceRequests("mine", self.authority, self.injector, None, None)

    def prepare(self, method, path, **more):
        command = parse_session_payload(
            "request", {"target": "api", "method": method, "path": path, **more}
        )
        return self.requests.prepare(command, "c1")

    def message(self, key, document):
        return self.injector.signer.sign(
            key, Signable(Subject.MESSAGE, document, Layout.JSON, connection="feed")
        ).document


def signing(name, at, goal=None, **sign):
    return {"name": name, **(goal or {"request": "api"}), "at": [at], "sign": sign}


def header(sent, name):
    return next(value for given, value in sent.headers if given.lower() == name)


def test_kraken_a_nested_hash_a_base64_key_and_a_nonce_in_the_body():
    key = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    bench = Bench(
        signing(
            "key",
            "/headers/api-sign",
            algorithm="hmac-sha512",
            key="base64",
            of="request",
            methods=["POST"],
            parts=[{"sent": "path"}, {"sha256": [{"nonce": "ms"}, {"sent": "body"}]}],
            form="base64",
            puts=[{"at": "/body/nonce", "parts": [{"nonce": "ms"}]}],
        ),
        numbers=[1616492376594],
        key=key,
    )
    sent = bench.prepare(
        "POST",
        "/0/private/AddOrder",
        headers=FORM,
        json={
            "nonce": None,
            "ordertype": "limit",
            "pair": "XBTUSD",
            "price": "37500",
            "type": "buy",
            "volume": "1.25",
        },
        sign="key",
    )
    assert sent.body == (
        b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    )
    assert header(sent, "api-sign") == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )
    assert key not in repr(sent)
    assert "api-sign" in sent.inserted_headers


def test_binance_the_query_as_sent_and_the_signature_behind_it():
    bench = Bench(
        signing(
            "key",
            "/query/signature",
            algorithm="hmac-sha256",
            key="utf8",
            of="request",
            methods=["POST"],
            parts=[{"sent": "query"}, {"sent": "body"}],
            puts=[{"at": "/query/timestamp", "parts": [{"timestamp": "ms"}]}],
        ),
        now_ms=1499827319559,
        key="NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    )
    query = {
        # A placeholder of the signature is no part of what is signed, wherever it stands.
        "signature": "",
        "symbol": "LTCBTC",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "1",
        "price": "0.1",
        "recvWindow": "5000",
    }
    sent = bench.prepare("POST", "/api/v3/order", query=query, sign="key")
    assert sent.url.query == (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
        "&timestamp=1499827319559"
        "&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    )
    assert sent.inserted_elsewhere


def test_deribit_lines_in_a_message():
    bench = Bench(
        signing(
            "key",
            "/params/signature",
            {"connection": "feed"},
            algorithm="hmac-sha256",
            key="utf8",
            of="message",
            parts=[{"timestamp": "ms"}, "\n", {"value": "/params/nonce"}, "\n"],
            puts=[
                {"at": "/params/timestamp", "parts": [{"timestamp": "ms"}], "number": True},
            ],
        ),
        now_ms=1576074319000,
        key="AMANDASECRECT",
    )
    made = bench.message("key", {"method": "public/auth", "params": {"nonce": "1iqt2wls"}})
    assert made["params"] == {
        "nonce": "1iqt2wls",
        "timestamp": 1576074319000,
        "signature": "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1",
    }


def test_gate_a_digest_in_hex_and_lines():
    bench = Bench(
        signing(
            "key",
            "/headers/sign",
            algorithm="hmac-sha512",
            key="utf8",
            of="request",
            methods=["GET"],
            parts=[
                {"sent": "method"},
                "\n",
                {"sent": "path"},
                "\n",
                {"sent": "query"},
                "\n",
                {"sha512": [{"sent": "body"}], "form": "hex"},
                "\n",
                {"timestamp": "s"},
            ],
            puts=[{"at": "/headers/timestamp", "parts": [{"timestamp": "s"}]}],
        ),
        now_ms=1541993715_000,
        key="secret",
    )
    sent = bench.prepare(
        "GET",
        "/api/v4/futures/orders",
        query={"contract": "BTC_USD", "status": "finished", "limit": "50"},
        sign="key",
    )
    assert header(sent, "timestamp") == "1541993715"
    assert header(sent, "sign") == (
        "55f84ea195d6fe57ce62464daaa7c3c02fa9d1dde954e4c898289c9a2407a3d6fb3faf24deff16790d726b66ac"
        "9f74526668b13bd01029199cc4fcc522418b8a"
    )


def test_a_jwt_bound_to_the_request_with_a_key_id_of_the_operators():
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    bench = Bench(
        signing(
            "key",
            {"at": "/headers/authorization", "after": "Bearer "},
            algorithm="es256",
            key="pem",
            of="request",
            methods=["GET"],
            jwt={
                "lifetime_s": 120,
                "claims": {
                    "iss": "cdp",
                    "sub": [{"secret": "id"}],
                    "uri": [{"sent": "method"}, " ", {"sent": "host"}, {"sent": "path"}],
                },
                "header": {"kid": [{"secret": "id"}], "nonce": [{"nonce": "us"}]},
            },
            clock_offset_ms=5_000,
        ),
        {"name": "id", "request": "api", "at": ["/headers/x-id"]},
        now_ms=4_000_000_000_000,
        numbers=[7],
        key=pem,
        id="organizations/1/apiKeys/2",
    )
    sent = bench.prepare("GET", "/api/v3/accounts", query={"a": "b"}, sign="key")
    token = header(sent, "authorization").removeprefix("Bearer ")
    claims = others.decode(
        token, key.public_key(), ["ES256"], options={"verify_nbf": False, "verify_iat": False}
    )
    assert claims == {
        "iss": "cdp",
        "sub": "organizations/1/apiKeys/2",
        "uri": "GET api.example.com/api/v3/accounts",
        "iat": 4_000_000_005,
        "nbf": 4_000_000_005,
        "exp": 4_000_000_125,
    }
    assert others.get_unverified_header(token)["kid"] == "organizations/1/apiKeys/2"
    assert others.get_unverified_header(token)["nonce"] == "7"


def test_a_handshake_is_signed_anew_for_each_dial():
    bench = Bench(
        signing(
            "key",
            "/query/sig",
            {"connection": "feed"},
            algorithm="hmac-sha256",
            key="utf8",
            of="handshake",
            parts=[{"sent": "method"}, {"sent": "host"}, {"sent": "target"}],
            puts=[{"at": "/query/t", "parts": [{"timestamp": "ms"}]}],
        ),
        key="k" * 32,
    )
    command = parse_session_payload("websocket_open", {"connection": "feed", "sign": "key"})
    first = _target(command, Url.parse("wss://feed.example.com/ws?v=1"), bench.injector)
    bench.clock.ms += 1
    second = first.again()
    assert dict(parse_qsl(first.url.query)).keys() == {"v", "t", "sig"}
    assert first.url.query != second.url.query
    assert second.url.query.startswith("v=1&t=1700000000001&sig=")


ORDER = signing(
    "key",
    "/headers/x-sign",
    algorithm="hmac-sha256",
    key="utf8",
    of="request",
    methods=["POST"],
    parts=[
        {"timestamp": "ms"},
        {"sent": "target"},
        {"value": "/headers/x-window"},
        {"sent": "body"},
    ],
)


@pytest.mark.parametrize(
    ("method", "more", "error", "code"),
    [
        ("GET", {"headers": {"x-window": "5"}}, PermissionDenied, "denied.secret_place"),
        ("POST", {}, SignatureError, "signature.value"),
        ("POST", {"sign": "other"}, PermissionDenied, "denied.not_requested"),
        ("POST", {"headers": {"x-window": "5"}, "text": "é" * 524_288}, None, ""),
    ],
)
def test_what_does_not_fit_the_shape_is_not_sent(method, more, error, code):
    bench = Bench(ORDER, key="k" * 32)
    if error is None:
        assert header(bench.prepare(method, "/x", **{"sign": "key", **more}), "x-sign")
        return
    with pytest.raises(error) as caught:
        bench.prepare(method, "/x", **{"sign": "key", **more})
    assert caught.value.code == code


def test_too_much_is_refused_before_it_is_signed():
    use = signing(
        "key",
        "/sig",
        {"connection": "feed"},
        algorithm="hmac-sha256",
        key="utf8",
        of="message",
        parts=[{"value": "/a"}] * 3,
    )
    with pytest.raises(SignatureError) as caught:
        Bench(use, key="k" * 32).message("key", {"a": "x" * (LIMITS.signed_bytes // 2)})
    assert caught.value.code == "signature.too_large"


@pytest.mark.parametrize("value", [None, {}, []])
def test_a_value_that_is_no_text_is_not_signed(value):
    use = signing(
        "key",
        "/sig",
        {"connection": "feed"},
        algorithm="hmac-sha256",
        key="utf8",
        of="message",
        parts=[{"value": "/a"}],
    )
    bench = Bench(use, key="k" * 32)
    with pytest.raises(SignatureError) as caught:
        bench.message("key", {"a": value})
    assert caught.value.code == "signature.value"
    with pytest.raises(SignatureError):
        bench.message("key", ["no", "object"])


def test_a_clock_an_hour_off_is_said_once_and_asked_again():
    bench = Bench(ORDER, key="k" * 32)
    bench.injector.signer.heard_clock("api", bench.clock.ms + 3_600_000)
    with pytest.raises(SignatureError) as caught:
        bench.prepare("POST", "/x", headers={"x-window": "5"}, sign="key")
    assert caught.value.code == "signature.clock"
    assert caught.value.fields["skew_ms"] == 3_600_000
    assert header(bench.prepare("POST", "/x", headers={"x-window": "5"}, sign="key"), "x-sign")


def test_a_key_is_masked_however_it_is_spelled():
    raw = bytes(range(7, 47))
    use = {**ORDER, "sign": {**ORDER["sign"], "key": "base64"}}
    bench = Bench(use, key=base64.b64encode(raw).decode())
    bench.prepare("POST", "/x", headers={"x-window": "5"}, sign="key")
    mask = bench.injector.masker().text
    for spelling in (raw.hex(), raw.hex().upper(), base64.urlsafe_b64encode(raw).decode()):
        assert mask(f"it is {spelling}!") == f"it is {MASK}!"


def test_a_pem_key_is_masked_without_its_lines():
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    sign = {"algorithm": "es256", "key": "pem", "of": "request", "methods": ["POST"]}
    bench = Bench(signing("key", "/headers/x-jwt", **sign, jwt={"lifetime_s": 5}), key=pem)
    bench.prepare("POST", "/x", sign="key")
    body = "".join(pem.split("\n")[1:-2])
    mask = bench.injector.masker().text
    assert mask(body) == MASK
    assert mask(f"{base64.b64decode(body).hex()}") == MASK


def test_a_rotated_key_signs_from_then_on():
    bench = Bench(ORDER, key="k" * 32)
    first = bench.prepare("POST", "/x", headers={"x-window": "5"}, sign="key")
    bench.store.values["key"] = Secret("key", "n" * 32)
    second = bench.prepare("POST", "/x", headers={"x-window": "5"}, sign="key")
    assert header(first, "x-sign") != header(second, "x-sign")


TEXT = st.text(max_size=20).filter(lambda text: not any(0xD800 <= ord(c) <= 0xDFFF for c in text))


@given(
    body=st.dictionaries(TEXT, st.one_of(TEXT, st.integers(-(2**53), 2**53), st.none())),
    query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=3),
)
def test_a_guest_chooses_only_what_stands_in_the_request(body, query):
    seen = []

    class Key:
        def sign(self, data):
            seen.append(data)
            return b""

    bench = Bench(ORDER, key="k" * 32)
    bench.injector.signer._key = lambda *_: Key()
    sent = bench.prepare(
        "POST", "/x", query=query, json=body, headers={"x-window": "5"}, sign="key"
    )
    search = f"?{sent.url.query}" if sent.url.query else ""
    assert seen == [f"1700000000000/x{search}5".encode() + sent.body]
    assert json.loads(sent.body) == body


LEAVES = st.one_of(
    st.text("ab:\n", min_size=1, max_size=3),
    st.sampled_from([{"timestamp": "ms"}, {"timestamp": "iso"}, {"nonce": "ms"}]),
    st.sampled_from([{"sent": what} for what in ("method", "path", "query", "target", "body")]),
    st.sampled_from([{"value": "/headers/x-window"}, {"value": "/body/a"}, {"secret": "id"}]),
)
SHAPES = st.lists(
    st.one_of(LEAVES, st.lists(LEAVES, min_size=1, max_size=3).map(lambda one: {"sha256": one})),
    min_size=1,
    max_size=5,
)


def declared(parts, sent, document):
    """Return what a reader of the manifest would expect to be signed."""
    made = b""
    for part in parts:
        if isinstance(part, str):
            made += part.encode()
            continue
        [(kind, what)] = part.items()
        made += {
            "timestamp": lambda unit: {"ms": b"1700000000000", "iso": b"2023-11-14T22:13:20.000Z"}[
                unit
            ],
            "nonce": lambda _: b"7",
            "sent": lambda what: {
                "method": b"POST",
                "path": sent.url.path.encode(),
                "query": sent.url.query.encode(),
                "target": sent.url.request_target.encode(),
                "body": sent.body,
            }[what],
            "value": lambda at: document[at].encode(),
            "secret": lambda _: b"key-id",
            "sha256": lambda inner: hashlib.sha256(declared(inner, sent, document)).digest(),
        }[kind](what)
    return made


@settings(max_examples=60)
@given(
    parts=SHAPES,
    path=st.text("abé ~", max_size=5),
    query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=3),
    a=TEXT,
    window=st.text("0123456789", min_size=1),
)
def test_no_combination_of_parts_signs_anything_but_the_declared_shape(
    parts, path, query, a, window
):
    seen = []

    class Key:
        def sign(self, data):
            seen.append(data)
            return b""

    use = signing(
        "key",
        "/headers/x-sign",
        algorithm="hmac-sha256",
        key="utf8",
        of="request",
        methods=["POST"],
        parts=parts,
    )
    known = {"name": "id", "request": "api", "at": ["/headers/x-id"]}
    bench = Bench(use, known, numbers=[7], key="k" * 32, id="key-id")
    bench.injector.signer._key = lambda *_: Key()
    sent = bench.prepare(
        "POST",
        "/" + quote(path, safe=""),
        query=query,
        json={"a": a},
        headers={"x-window": window},
        sign="key",
    )
    document = {"/headers/x-window": window, "/body/a": a}
    assert seen == [declared(parts, sent, document)]
