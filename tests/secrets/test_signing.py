"""N6: keys of the operator's, against published vectors; what is no such key is refused."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from yoi.errors import SignatureError
from yoi.permissions.signatures import Algorithm, Form, KeyEncoding
from yoi.secrets.signing import in_form, signing_key


def pem(key, locked=False):
    how = BestAvailableEncryption(b"word") if locked else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


def test_rfc_7515_a1_hmac():
    key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    signed = (
        b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        b"cnVlfQ"
    )
    made = signing_key(key, KeyEncoding.BASE64, Algorithm.HMAC_SHA256).sign(signed)
    assert in_form(made, Form.BASE64URL) == b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@pytest.mark.parametrize(
    ("seed", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
            "f9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
            "f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76098"
            "4dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_rfc_8032_7_1(seed, message, signature):
    made = signing_key(seed, KeyEncoding.HEX, Algorithm.ED25519).sign(bytes.fromhex(message))
    assert made.hex() == signature


def test_a_seed_with_its_public_key_is_the_same_key():
    key = ed25519.Ed25519PrivateKey.generate()
    seed, public = key.private_bytes_raw(), key.public_key().public_bytes_raw()
    both = signing_key(base64.b64encode(seed + public).decode(), KeyEncoding.BASE64, "ed25519")
    assert both.sign(b"x") == key.sign(b"x")
    with pytest.raises(SignatureError):
        signing_key((seed + seed).hex(), KeyEncoding.HEX, Algorithm.ED25519)


@pytest.mark.parametrize(
    ("algorithm", "key", "name"),
    [
        (Algorithm.RS256, rsa.generate_private_key(65537, 2048), "RS256"),
        (Algorithm.ES256, ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (Algorithm.EDDSA, ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
)
def test_a_token_is_one_that_others_accept(algorithm, key, name):
    made = signing_key(pem(key), KeyEncoding.PEM, algorithm).token(
        {"iss": "me", "exp": 4_000_000_000}, {"kid": "k1"}
    )
    assert jwt.decode(made, key.public_key(), [name])["iss"] == "me"
    head = json.loads(base64.urlsafe_b64decode(made.split(".")[0] + "=="))
    assert head == {"alg": name, "typ": "JWT", "kid": "k1"}


RSA = rsa.generate_private_key(65537, 2048)
SMALL = rsa.generate_private_key(65537, 1024)
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("value", "encoding", "algorithm"),
    [
        ("", KeyEncoding.UTF8, Algorithm.HMAC_SHA256),
        ("short", KeyEncoding.UTF8, Algorithm.HS256),
        ("not hex", KeyEncoding.HEX, Algorithm.HMAC_SHA256),
        ("a b*c", KeyEncoding.BASE64, Algorithm.HMAC_SHA512),
        ("é", KeyEncoding.BASE64, Algorithm.HMAC_SHA512),
        ("00" * 31, KeyEncoding.HEX, Algorithm.ED25519),
        ("00" * 33, KeyEncoding.HEX, Algorithm.EDDSA),
        ("no pem", KeyEncoding.PEM, Algorithm.RS256),
        ("\ud800", KeyEncoding.PEM, Algorithm.RS256),
        (pem(RSA, locked=True), KeyEncoding.PEM, Algorithm.RS256),
        (pem(SMALL), KeyEncoding.PEM, Algorithm.RS256),
        (pem(P384), KeyEncoding.PEM, Algorithm.ES256),
        (pem(RSA), KeyEncoding.PEM, Algorithm.ES256),
        (pem(RSA), KeyEncoding.PEM, Algorithm.EDDSA),
        (pem(ED), KeyEncoding.PEM, Algorithm.RS256),
    ],
)
def test_what_is_no_such_key_is_refused_and_not_quoted(value, encoding, algorithm):
    with pytest.raises(SignatureError) as caught:
        signing_key(value, encoding, algorithm)
    assert caught.value.code == "signature.key"
    assert not value or value not in str(caught.value)


def test_no_repr_shows_a_key():
    key = signing_key("x" * 40, KeyEncoding.UTF8, Algorithm.HMAC_SHA256)
    assert repr(key) == "<hmac-sha256 key>"
    assert repr(signing_key(pem(RSA), KeyEncoding.PEM, Algorithm.RS256)) == "<rs256 key>"
