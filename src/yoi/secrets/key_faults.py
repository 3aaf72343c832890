"""What is said of a key that is another one than its signature declares."""

from yoi.errors import SignatureError

SEED_BYTES = 32
"""The length of an Ed25519 key without its public half."""


def wrong(why: str, hint: str | None = None) -> SignatureError:
    """Return the error of a key that is another than declared; `why` does not quote it."""
    return SignatureError("signature.key", why, hint=hint)
