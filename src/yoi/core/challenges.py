"""Challenges that make a request fresh: whoever sends one again, or late, is refused. Sans-I/O.

A process gives out challenges and remembers only those that were redeemed, for as long as they are
good: what it gives out costs it nothing, so nothing can be filled by asking for them.
"""

import hmac
from enum import Enum


class Verdict(Enum):
    """What a redeemed challenge is."""

    FRESH = "fresh"
    """Given out by this process not long ago, for this request, and redeemed for the first time."""
    STALE = "stale"
    """Too old, redeemed before, for another request, or never given out."""
    FULL = "full"
    """It may be fresh; as many as may be remembered were redeemed just now."""


class Challenges:
    """See the module docstring. `now_ms` is of one clock that never goes back."""

    def __init__(self, secret: bytes, valid_ms: int, most: int) -> None:
        """`secret` is random and of this process alone: another one redeems nothing of it."""
        self._secret = secret
        self._valid_ms = valid_ms
        self._most = most
        self._redeemed: dict[str, int] = {}
        """When the challenges were given out that were redeemed, by request."""

    def issue(self, request: str, now_ms: int) -> str:
        """Return a challenge for the request of this id."""
        return f"{now_ms}.{self._tag(request, now_ms)}"

    def redeem(self, request: str, challenge: str, now_ms: int) -> Verdict:
        """Return whether the request may be carried out now; it may be once."""
        self._forget(now_ms)
        written, _, tag = challenge.partition(".")
        if not (written.isascii() and written.isdecimal() and len(written) < 20):
            return Verdict.STALE
        made_ms = int(written)
        if not tag.isascii() or not hmac.compare_digest(tag, self._tag(request, made_ms)):
            return Verdict.STALE
        if now_ms - made_ms >= self._valid_ms or request in self._redeemed:
            return Verdict.STALE
        if len(self._redeemed) >= self._most:
            return Verdict.FULL
        self._redeemed[request] = made_ms
        return Verdict.FRESH

    def _forget(self, now_ms: int) -> None:
        """Forget what is too old to be redeemed again."""
        while self._redeemed:
            request = next(iter(self._redeemed))
            if now_ms - self._redeemed[request] < self._valid_ms:
                return
            del self._redeemed[request]

    def _tag(self, request: str, made_ms: int) -> str:
        said = f"{made_ms} {request}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, said, "sha256").hex()
