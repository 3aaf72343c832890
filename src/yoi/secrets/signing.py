"""`SigningKey`: a key of the operator's, read once, and what it signs."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Protocol

from yoi.errors import SignatureError
from yoi.permissions.signatures import Algorithm, Form, KeyEncoding
from yoi.secrets.key_faults import SEED_BYTES, wrong

_HASHES = {
    Algorithm.HMAC_SHA256: "sha256",
    Algorithm.HMAC_SHA384: "sha384",
    Algorithm.HMAC_SHA512: "sha512",
}
_LEAST_BYTES = {Algorithm.HS256: 32}
_LEAST_HMAC_BYTES = 1


class SigningKey(Protocol):
    """Signs bytes, or makes a JWT, with one key. Its repr shows nothing of the key."""

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`."""
        ...

    def token(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        """Return the JWT of `claims`, with `header` beside `alg` and `typ`."""
        ...


class _Hmac:
    def __init__(self, key: bytes, algorithm: Algorithm) -> None:
        self._key, self._algorithm = key, algorithm

    def __repr__(self) -> str:
        return f"<{self._algorithm} key>"

    def sign(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, _HASHES[self._algorithm])

    def token(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        import jwt  # a host whose plugins sign nothing does without

        return jwt.encode(dict(claims), self._key, "HS256", headers=dict(header))


def signing_key(value: str, encoding: KeyEncoding, algorithm: Algorithm) -> SigningKey:
    """Return the key that `value`, a secret, writes.

    Raises SignatureError (`signature.key`) for one of another kind, encoding or length, and for a
    PEM key with a passphrase; no message quotes it.
    """
    asymmetric = algorithm in (Algorithm.ED25519, Algorithm.EDDSA)
    if encoding is KeyEncoding.PEM or asymmetric:
        from yoi.secrets.private_keys import of_bytes, of_pem

        if encoding is KeyEncoding.PEM:
            return of_pem(value, algorithm)
        return of_bytes(_bytes(value, encoding), algorithm)
    data = _bytes(value, encoding)
    least = _LEAST_BYTES.get(algorithm, _LEAST_HMAC_BYTES)
    if len(data) < least:
        raise wrong(f"an {algorithm} key has at least {least} bytes, and this one {len(data)}")
    return _Hmac(data, algorithm)


def other_spellings(value: str, encoding: KeyEncoding) -> tuple[str, ...]:
    """Return other ways to write the private key in `value`, for the masker; else nothing.

    Of a key that is plain text, the masker knows every spelling already.
    """
    if encoding is KeyEncoding.UTF8:
        return ()
    if encoding is KeyEncoding.PEM:
        body = "".join(line for line in value.split("\n") if line and not line.startswith("-----"))
        try:
            data = base64.b64decode(body, validate=True)
        except (ValueError, binascii.Error):
            return ()
        # The end of PKCS 8 is the key of some kinds by itself.
        end = data[-SEED_BYTES:].hex()
        return (body, data.hex(), data.hex().upper(), end, end.upper())
    try:
        data = _bytes(value, encoding)
    except SignatureError:
        return ()
    return (data.hex(), data.hex().upper(), base64.b64encode(data).decode())


def digest(algorithm: str, data: bytes) -> bytes:
    """Return the digest of `data`; `algorithm` is `sha256` or `sha512`."""
    return hashlib.new(algorithm, data).digest()


def in_form(data: bytes, form: Form) -> bytes:
    """Return `data` as `form` writes it; base64url without padding (RFC 7515 2)."""
    if form is Form.HEX:
        return data.hex().encode()
    if form is Form.BASE64:
        return base64.b64encode(data)
    if form is Form.BASE64URL:
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    return data


def _bytes(value: str, encoding: KeyEncoding) -> bytes:
    if encoding is KeyEncoding.UTF8:
        return value.encode("utf-8", "surrogatepass")
    try:
        if encoding is KeyEncoding.HEX:
            return bytes.fromhex(value)
        plain = value.strip().replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise wrong(f"the key is not written in {encoding}") from None
