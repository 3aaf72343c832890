"""Private keys with a public half: Ed25519, P-256 and RSA. Loaded when such a key is used first."""

from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from yoi.permissions.signatures import Algorithm
from yoi.secrets.key_faults import SEED_BYTES, wrong

_JWT_NAMES = {
    Algorithm.RS256: "RS256",
    Algorithm.ES256: "ES256",
    Algorithm.EDDSA: "EdDSA",
}
_LEAST_RSA_BITS = 2048


class PrivateKey:
    """A key of which others have the public half; a `SigningKey`."""

    def __init__(self, key: Any, algorithm: Algorithm) -> None:
        self._key, self._algorithm = key, algorithm

    def __repr__(self) -> str:
        return f"<{self._algorithm} key>"

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`."""
        made: bytes = self._key.sign(data)
        return made

    def token(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        """Return the JWT of `claims`."""
        name = _JWT_NAMES[self._algorithm]
        return jwt.encode(dict(claims), self._key, name, headers=dict(header))


def of_bytes(data: bytes, algorithm: Algorithm) -> PrivateKey:
    """Return the Ed25519 key with the seed `data`. Raises SignatureError (`signature.key`)."""
    # 64 bytes are a seed and the public key behind it, as libsodium writes them.
    if len(data) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise wrong(f"an {algorithm} key has {SEED_BYTES} bytes, and this one {len(data)}")
    key = Ed25519PrivateKey.from_private_bytes(data[:SEED_BYTES])
    if data[SEED_BYTES:] not in (b"", key.public_key().public_bytes_raw()):
        raise wrong("the second half of the key is not its public key")
    return PrivateKey(key, algorithm)


def of_pem(value: str, algorithm: Algorithm) -> PrivateKey:
    """Return the private key in PEM form. Raises SignatureError (`signature.key`)."""
    try:
        key = load_pem_private_key(value.encode(), password=None)
    except TypeError:
        raise wrong(
            "the key has a passphrase, which nobody could type",
            "openssl pkey -in KEY.pem -out PLAIN.pem; yoi secret set NAME --stdin < PLAIN.pem",
        ) from None
    except (ValueError, UnicodeEncodeError, UnsupportedAlgorithm):
        raise wrong("the key is no private key in PEM form") from None
    if algorithm in (Algorithm.ED25519, Algorithm.EDDSA):
        good, wanted = isinstance(key, Ed25519PrivateKey), "an Ed25519 key"
    elif algorithm is Algorithm.ES256:
        good = isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
        wanted = "a key of the curve P-256"
    else:
        good = isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_RSA_BITS
        wanted = f"an RSA key of at least {_LEAST_RSA_BITS} bits"
    if not good:
        raise wrong(f"{algorithm} needs {wanted}")
    return PrivateKey(key, algorithm)
