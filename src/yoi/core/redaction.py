"""`Masker`: hides granted secrets that a server echoes, before a guest sees them. A courtesy.

It finds a value as it is, as it stands in JSON, and percent-encoded; not in pieces, in base64 or
in other disguises. What keeps secrets from guests is that they are never given to them.
"""

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from yoi.limits import LIMITS, Limits
from yoi.types import Secret


class Masker:
    """Masks the values of `secrets`; immutable, so that a rotation makes a new one.

    Values below `mask_min_chars` are left alone: they may be ordinary words.
    """

    __slots__ = ("_bytes", "_texts")

    def __init__(self, secrets: Iterable[Secret], limits: Limits = LIMITS) -> None:
        masks: dict[str, str] = {}
        for secret in secrets:
            value = secret.reveal()
            if len(value) >= limits.mask_min_chars:
                # The name is a safe id: the mask fits into JSON and URLs as it is.
                for form in _forms(value):
                    masks.setdefault(form, f"[secret {secret.name}]")
        # Longest first: a value that holds another is masked whole.
        ordered = sorted(masks.items(), key=lambda pair: (-len(pair[0]), pair[0]))
        self._texts = tuple(ordered)
        self._bytes = tuple((form.encode(), mask.encode()) for form, mask in ordered)

    def __repr__(self) -> str:
        return f"<Masker of {len(self._texts)} forms>"

    def __bool__(self) -> bool:
        return bool(self._texts)

    def text(self, text: str) -> str:
        """Return `text` with each known value replaced; the same object where there is none."""
        for form, mask in self._texts:
            if form in text:
                text = text.replace(form, mask)
        return text

    def data(self, data: bytes) -> bytes:
        """Return `data` likewise, for values as UTF-8."""
        for form, mask in self._bytes:
            if form in data:
                data = data.replace(form, mask)
        return data


def _forms(value: str) -> set[str]:
    """Return how `value` may stand in a text: JSON has three ways to write one."""
    ascii_json = json.dumps(value)[1:-1]
    unicode_json = json.dumps(value, ensure_ascii=False)[1:-1]
    escaped = {value, ascii_json, unicode_json, quote(value, safe=""), quote_plus(value)}
    return escaped | {form.replace("/", "\\/") for form in (ascii_json, unicode_json)}
