"""`JsonPointer`: one position in a JSON document (RFC 6901), as a parsed value."""

import re
from dataclasses import dataclass

from yoi.limits import LIMITS

_BAD_ESCAPE = re.compile(r"~(?![01])")
_SEPARATORS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class PointerFault(ValueError):
    """Text that is no pointer into a document; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class JsonPointer:
    """The unescaped reference tokens from the document's root to a position below it."""

    tokens: tuple[str, ...]

    @classmethod
    def parse(cls, value: object) -> "JsonPointer":
        """Return the pointer in `value`: text that starts with `/`, never the whole document.

        At most `pointer_chars` characters and `pointer_tokens` tokens. Raises `PointerFault`.
        """
        if not isinstance(value, str):
            raise PointerFault("must be a JSON pointer, as text")
        if not value.startswith("/"):
            raise PointerFault("must be a JSON pointer: it starts with '/' and names a position")
        if len(value) > LIMITS.pointer_chars:
            raise PointerFault(f"must have at most {LIMITS.pointer_chars} characters")
        if _SEPARATORS.search(value):
            raise PointerFault("must not have control characters")
        if _BAD_ESCAPE.search(value):
            raise PointerFault("has a '~' that is neither ~0 (for ~) nor ~1 (for /)")
        tokens = value[1:].split("/")
        if len(tokens) > LIMITS.pointer_tokens:
            raise PointerFault(f"must have at most {LIMITS.pointer_tokens} tokens")
        return cls(tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens))

    def holds(self, other: "JsonPointer") -> bool:
        """Return whether `other` is this position, or one inside its value."""
        return other.tokens[: len(self.tokens)] == self.tokens

    def __str__(self) -> str:
        return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in self.tokens)


def array_index(token: str) -> int | None:
    """Return the index that `token` names in an array (RFC 6901 section 4), or None."""
    if token == "0" or (token.isascii() and token.isdecimal() and not token.startswith("0")):
        return int(token) if len(token) <= _INDEX_DIGITS else None
    return None


# More digits than any array here has elements; int() on thousands of digits is slow.
_INDEX_DIGITS = 9
