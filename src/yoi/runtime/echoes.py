"""`Echoes`: the values that servers of one service may give back, and what masks them."""

from collections import deque
from collections.abc import Sequence
from urllib.parse import unquote

from yoi.core.redaction import NOTHING, Masker
from yoi.errors import UrlRefused
from yoi.limits import LIMITS, Limits
from yoi.permissions import Url
from yoi.types import Secret


class Echoes:
    """Remembers what was inserted or captured, also after it was replaced; bounded, oldest out."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._remembered: deque[Secret] = deque(maxlen=limits.mask_remembered)
        self._current: Sequence[Secret | None] = ()
        self._masker: Masker | None = NOTHING
        self.any = False
        """Whether there was ever something to mask."""

    def __repr__(self) -> str:
        return f"<Echoes of {len(self._remembered)}>"

    def remember(self, value: str) -> None:
        """Mask `value` from now on; one that is too short to be masked is not kept."""
        if len(value) < self._limits.mask_min_chars:
            return
        if all(known.reveal() != value for known in self._remembered):
            self.any = True
            self._remembered.append(Secret("", value))
            self._masker = None

    def remember_captured(self, value: str | int | float) -> None:
        """Mask a captured value; of a URL, the parts that may be the credential in it.

        A number is no text that could be told from others.
        """
        if isinstance(value, str):
            for part in credential_parts(value, self._limits.mask_min_chars):
                self.remember(part)

    def masker(self, current: Sequence[Secret | None]) -> Masker:
        """Return what hides `current`, the secrets as they are now, and all that is remembered."""
        if current != self._current:
            # Secrets compare by identity, so that each rotation is noticed.
            self._current = current
            self._masker = None
            for secret in current:
                if secret is not None:
                    self.remember(secret.reveal())
        if self._masker is None:
            self._masker = Masker([*filter(None, current), *self._remembered])
        return self._masker


def credential_parts(text: str, least: int) -> list[str]:
    """Return what to mask of a captured value: itself, or a URL's parts of `least` characters.

    They are the segments of its path and the values of its query; where none is that long, the path
    and the query as they are.
    """
    try:
        url = Url.parse(text)
    except UrlRefused:
        return [text]
    pairs = [pair.partition("=")[2] or pair for pair in url.query.split("&")]
    parts = [*url.path.split("/"), *pairs]
    long = [part for part in parts if len(part) >= least] or [url.path, url.query]
    return [_decoded(part) for part in long]


def _decoded(part: str) -> str:
    """Return what `part` encodes, which the mask finds however it is encoded again."""
    plain = unquote(part)
    return part if "\ufffd" in plain else plain
