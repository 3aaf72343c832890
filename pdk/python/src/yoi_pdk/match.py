"""Match: does a message have this value at this place?"""

from typing import Any

from yoi_pdk.limits import MATCH_VALUES, POINTER_CHARS, PREFIX_CHARS

_ABSENT: Any = object()
_KEY = {str: "s", int: "n", float: "n", bool: "b", type(None): "z"}
"""Which scalars are compared with each other."""


class Match:
    """One place of a message and what stands there.

    `at` is a JSON pointer (RFC 6901) into the message, or `""` for its whole text. Give exactly one
    of `equals` (any JSON value; for the whole text a str), `one_of` (a list of those) and `prefix`
    (a str that the text there begins with). Numbers are equal by value, true and false only to
    themselves: 1 is 1.0, and neither is True. A message that is not JSON has nothing at any
    pointer. Raises TypeError or ValueError that names the fix.
    """

    __slots__ = ("_tokens", "_wanted", "at", "one_of", "prefix")

    def __init__(
        self,
        at: str,
        equals: Any = _ABSENT,
        *,
        one_of: "list[Any] | tuple[Any, ...] | None" = None,
        prefix: str | None = None,
    ) -> None:
        if (equals is not _ABSENT) + (one_of is not None) + (prefix is not None) != 1:
            raise TypeError(
                "a match needs one of: a value, one_of=[...], prefix='...'; "
                "for example ('/type', 'message')"
            )
        self._tokens = _tokens(at)
        self.at = at
        values = (equals,) if one_of is None and prefix is None else tuple(one_of or ())
        if prefix is None and not 1 <= len(values) <= MATCH_VALUES:
            raise ValueError(f"one_of takes 1 to {MATCH_VALUES} values")
        for value in values:
            if not at and not isinstance(value, str):
                raise TypeError(f"the whole text is compared with a str, not {_kind(value)}")
            if not _is_json(value):
                raise TypeError(f"a match compares JSON values, not {_kind(value)}")
        if prefix is not None and not (
            isinstance(prefix, str) and 1 <= len(prefix) <= PREFIX_CHARS
        ):
            raise ValueError(f"prefix takes a str of 1 to {PREFIX_CHARS} characters")
        self.one_of = values
        self.prefix = prefix
        self._wanted = frozenset(_frozen(value) for value in values)

    def holds(self, text: str, document: Any) -> bool:
        """Return whether the message fits; `document` is its JSON value (any object if none)."""
        value = text if not self.at else _at(document, self._tokens)
        if self.prefix is not None:
            return isinstance(value, str) and value.startswith(self.prefix)
        if value is _ABSENT:
            return False
        if value.__class__ is str or value.__class__ is int:  # what messages are told apart by
            return (_KEY[value.__class__], value) in self._wanted
        try:
            return _frozen(value) in self._wanted
        except RecursionError:  # nested deeper than any value that is compared
            return False

    def wire(self) -> dict[str, Any]:
        """Return `{"at", "equals" | "one_of" | "prefix"}`, the form the host reads."""
        if self.prefix is not None:
            return {"at": self.at, "prefix": self.prefix}
        if len(self.one_of) == 1:
            return {"at": self.at, "equals": self.one_of[0]}
        return {"at": self.at, "one_of": list(self.one_of)}

    def __eq__(self, other: object) -> bool:
        """Return whether `other` asks for the same at the same place."""
        return isinstance(other, Match) and (
            (self.at, self.prefix, self._wanted) == (other.at, other.prefix, other._wanted)
        )

    def __hash__(self) -> int:
        """Return a hash that agrees with `==`."""
        return hash((self.at, self.prefix, self._wanted))

    def __repr__(self) -> str:
        """Return the call that makes this value."""
        if self.prefix is not None:
            return f"Match({self.at!r}, prefix={self.prefix!r})"
        if len(self.one_of) == 1:
            return f"Match({self.at!r}, {self.one_of[0]!r})"
        return f"Match({self.at!r}, one_of={list(self.one_of)!r})"


def _frozen(value: Any) -> tuple[str, Any]:
    """Return a JSON value so that two are equal exactly where the values are."""
    if isinstance(value, dict):
        return "o", frozenset((key, _frozen(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return "l", tuple(_frozen(inner) for inner in value)
    return _KEY[value.__class__], value


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(inner) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_json(inner) for inner in value)
    if isinstance(value, float):
        return value - value == 0  # no NaN, no infinity
    return value.__class__ in _KEY


def _kind(value: Any) -> str:
    return type(value).__name__


def _tokens(at: Any) -> tuple[str, ...]:
    if not isinstance(at, str):
        raise TypeError(f"at must be a str, not {type(at).__name__}")
    if at and (not at.startswith("/") or len(at) > POINTER_CHARS):
        raise ValueError(f'at must be "" or a JSON pointer such as "/type", not {at!r:.60}')
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in at.split("/")[1:])


def _at(value: Any, tokens: tuple[str, ...]) -> Any:
    for token in tokens:
        if isinstance(value, dict):
            value = value.get(token, _ABSENT)
        elif isinstance(value, list) and token.isdecimal() and len(token) < 8:
            index = int(token)
            value = value[index] if index < len(value) else _ABSENT
        else:
            return _ABSENT
    return value
