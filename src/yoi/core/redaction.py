"""`Masker`: hides the secrets that a server echoes, wherever what it sent goes from here.

The forms that are found are those of `yoi.core.secret_forms`, no others. What keeps secrets from
guests is that they are never given to them; this is for servers that give them back.
"""

from collections.abc import Generator, Iterable
from typing import Any, Protocol, TypeVar

import msgspec

from yoi.core.secret_forms import forms, literal
from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits

Json = Any
T = TypeVar("T")
_CHEAP = 1024 * 1024
"""Characters times forms that are looked through in about a millisecond, whatever they are."""
MASK = "[masked]"
"""It fits into JSON as it is, and says nothing about whose or which secret it was."""


class Value(Protocol):
    """A secret that shows itself only when asked to."""

    def reveal(self) -> str:
        """Return the value itself."""
        ...


class Masker:
    """Masks the values of `secrets`; immutable, so that a rotation makes a new one.

    Values below `mask_min_chars` are left alone: they may be ordinary words.
    """

    __slots__ = ("_forms", "_literal", "_values")

    def __init__(self, secrets: Iterable[Value], limits: Limits = LIMITS) -> None:
        values = {secret.reveal() for secret in secrets}
        long = [value for value in values if len(value) >= limits.mask_min_chars]
        # Longest first: a value that holds another is masked whole.
        long.sort(key=lambda value: (-len(value), value))
        self._values = len(long)
        self._literal = tuple({word for value in long for word in literal(value)})
        self._forms = tuple((form.anchor, form) for value in long for form in forms(value))

    def __repr__(self) -> str:
        return f"<Masker of {self._values} values>"

    def __bool__(self) -> bool:
        return bool(self._forms)

    def cheap(self, size: int) -> bool:
        """Return whether a message of `size` bytes is masked in about a millisecond."""
        return size * len(self._forms) <= _CHEAP

    def text(self, text: str) -> str:
        """Return `text` with each known value replaced; the same object where there is none."""
        for anchor, form in self._forms:
            if anchor in text:
                text = finished(form.masking(text, MASK))
        return text

    def masking(self, text: str) -> Generator[None, None, str]:
        """Return what `text` does; stops after each millisecond or so of work."""
        for _, form in self._forms:
            text = yield from form.masking(text, MASK)
        return text

    def found_in(self, data: bytes) -> bool:
        """Return whether `data` holds a known value: bytes are passed on whole or not at all."""
        return finished(self.finding(data))

    def finding(self, data: bytes) -> Generator[None, None, bool]:
        """Return what `found_in` does; stops after each millisecond or so of work."""
        if not self._forms:
            return False
        text = data.decode("latin-1")
        for _, form in self._forms:
            for span in form.found(text):
                if span is not None:
                    return True
                yield
        return False

    def document(self, document: Json) -> Json:
        """Return JSON data with each known value in its texts and names replaced."""
        if not self._forms:
            return document
        written = msgspec.json.encode(document).decode()
        if self.text(written) is written:
            return document
        try:
            return self._masked(document)
        except RecursionError:
            return MASK

    def begun(self, text: str) -> int:
        """Return how many of the last characters of `text` may begin a value that goes on after it.

        Only spellings are known here that are always the same: the value itself, and its Base64
        and hexadecimal digits.
        """
        most = 0
        for word in self._literal:
            for size in range(min(len(text), len(word) - 1), most, -1):
                if text.endswith(word[:size]):
                    most = size
                    break
        return most

    def ended(self, text: str) -> int:
        """Return how many of the last characters of `text` are a value that may go on after it.

        The last sign of a Base64 spelling, and its padding, may follow.
        """
        most = 0
        for anchor, form in self._forms:
            if anchor in text:
                for span in form.found(text):
                    if span is not None and span[1] == len(text):
                        most = max(most, len(text) - span[0])
        return most

    def error(self, error: YoiError) -> YoiError:
        """Return `error`, or the same without the known values in its words and fields."""
        if not self._forms:
            return error
        hint = None if error.hint is None else self.text(error.hint)
        fields = {name: self._masked(value) for name, value in error.fields.items()}
        message = self.text(error.message)
        if (message, hint, fields) == (error.message, error.hint, error.fields):
            return error
        return type(error)(error.code, message, hint=hint, **fields)

    def _masked(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._masked(name): self._masked(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(one) for one in value]
        if isinstance(value, int) and self.text(str(value)) != str(value):
            return MASK
        return value


class StreamMask:
    """Masks a text that comes in pieces: what may begin a value waits for what follows it."""

    __slots__ = ("_held", "_masker")

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""

    def hear(self, piece: str) -> str:
        """Return what can be told now, the new `piece` included as far as it is not held."""
        if not self._masker:
            return piece
        raw = self._held + piece
        ended = self._masker.ended(raw)
        if ended:
            self._held = raw[len(raw) - ended :]
            return self._masker.text(raw[: len(raw) - ended])
        text = self._masker.text(raw)
        told = len(text) - self._masker.begun(text)
        self._held = text[told:]
        return text[:told]

    def end(self) -> str:
        """Return what was held: nothing follows it."""
        held, self._held = self._held, ""
        return self._masker.text(held)


def finished(steps: Generator[None, None, T]) -> T:
    """Return what `steps` returns, without a stop."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


NOTHING = Masker(())
"""Masks nothing: for what has no secrets."""
