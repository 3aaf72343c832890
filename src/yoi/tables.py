"""Read TOML one value at a time; the first fault ends the reading. `yoi.toml` finds them all."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any

from yoi.display import printable
from yoi.errors import YoiError
from yoi.limits import LIMITS
from yoi.toml import FaultKind, TomlFault, is_safe_id, parse_toml, quoted, type_name

__all__ = [
    "Fault",
    "FaultKind",
    "Table",
    "TomlFault",
    "is_safe_id",
    "parse_toml",
    "quoted",
    "type_name",
]

Fault = Callable[[FaultKind, str, str], YoiError]
"""Builds the error of a document from what is wrong, its dotted path and a message."""

_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}


class Table:
    """One TOML table with a fixed set of keys. Reading a value checks its type and bounds."""

    def __init__(self, value: Any, at: str, known: frozenset[str], fault: Fault) -> None:
        self.at, self._fault = at, fault
        if not isinstance(value, dict):
            raise fault("type", at, f"must be a table, not {type_name(value)}")
        for key in value:
            if key not in known:
                close = difflib.get_close_matches(printable(key, 64), known, n=1)
                guess = f'; did you mean "{close[0]}"?' if close else ""
                raise fault(
                    "unknown_key",
                    self.path(printable(key, 64)),
                    f"is not a key of this table{guess} (known: {', '.join(sorted(known))})",
                )
        self._value: dict[str, Any] = value

    def path(self, key: str) -> str:
        """Return the dotted path of `key` in this table."""
        return f"{self.at}.{key}" if self.at else key

    def has(self, key: str) -> bool:
        """Return whether the table has `key`."""
        return key in self._value

    def fault(self, kind: FaultKind, key: str, message: str) -> YoiError:
        """Return the error that says what is wrong with the value at `key`."""
        return self._fault(kind, self.path(key), message)

    def foreign(self, error: YoiError, key: str) -> YoiError:
        """Return another room's `error` about the value at `key` as one of this document."""
        at = error.fields.get("at", self.path(key))
        return self._fault("value", at, error.message.removeprefix(at).lstrip(": "))

    def raw(self, key: str) -> Any:
        """Return the value at `key` as it was parsed, or None."""
        return self._value.get(key)

    def _typed(self, key: str, kind: type, required: bool) -> Any:
        value = self._value.get(key)
        if value is None:
            if required:
                raise self.fault("missing", key, "is required")
            return None
        # bool is an int to Python, not to the author.
        if type(value) is not kind:
            raise self.fault("type", key, f"must be {_TYPE_NAMES[kind]}, not {type_name(value)}")
        return value

    def text(self, key: str, max_chars: int = LIMITS.name_bytes) -> str:
        """Return the required string at `key`: not blank, at most `max_chars` characters."""
        value: str = self._typed(key, str, True)
        if not value.strip():
            raise self.fault("value", key, "must not be blank")
        return self._bounded(key, value, max_chars)

    def optional_text(self, key: str, default: str, max_chars: int) -> str:
        """Return the string at `key`, or `default`; blank is fine."""
        value = self._typed(key, str, False)
        return default if value is None else self._bounded(key, value, max_chars)

    def _bounded(self, key: str, value: str, max_chars: int) -> str:
        if len(value) > max_chars:
            raise self.fault("too_large", key, f"is longer than {max_chars} characters")
        return value

    def safe_id(self, key: str) -> str:
        """Return the required safe id at `key`."""
        value: str = self._typed(key, str, True)
        if not is_safe_id(value):
            raise self.fault(
                "value",
                key,
                f"must be 1 to {LIMITS.name_bytes} ASCII letters, digits, '-', '_' or '.', "
                "and not start or end with '.'",
            )
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None) -> str:
        """Return the string at `key`, one of `choices`; required when `default` is None."""
        value = self._typed(key, str, default is None)
        if value is None:
            assert default is not None
            return default
        if value not in choices:
            raise self.fault(
                "value", key, f'must be one of {quoted(choices)}, not "{printable(value, 64)}"'
            )
        return str(value)

    def flag(self, key: str) -> bool:
        """Return the boolean at `key`; false when absent."""
        return bool(self._typed(key, bool, False))

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return the whole number at `key` (or `default`), from `low` to `high` inclusive."""
        value = self._typed(key, int, False)
        if value is None:
            return default
        if not low <= value <= high:
            raise self.fault("value", key, f"must be from {low} to {high}")
        return int(value)

    def items(self, key: str) -> list[Any]:
        """Return the list at `key` (empty when absent), bounded."""
        if isinstance(self._value.get(key), dict):
            raise self.fault("type", key, f"must be a list, not a table; write [[{key}]]")
        value: list[Any] = self._typed(key, list, False) or []
        if len(value) > LIMITS.manifest_list_items:
            raise self.fault(
                "too_large", key, f"has more than {LIMITS.manifest_list_items} entries"
            )
        return value

    def texts(self, key: str, max_chars: int = LIMITS.name_bytes) -> tuple[str, ...]:
        """Return the list of strings at `key` (empty when absent), each bounded and not blank."""
        values = self.items(key)
        for index, value in enumerate(values):
            if type(value) is not str:
                raise self.fault(
                    "type", f"{key}[{index}]", f"must be a string, not {type_name(value)}"
                )
            if not value.strip():
                raise self.fault("value", f"{key}[{index}]", "must not be blank")
            self._bounded(f"{key}[{index}]", value, max_chars)
        return tuple(values)

    def tables(self, key: str, known: frozenset[str]) -> "Iterator[Table]":
        """Yield the tables of the array at `key`, each with the `known` keys."""
        for index, value in enumerate(self.items(key)):
            yield Table(value, f"{self.path(key)}[{index}]", known, self._fault)

    def table(self, key: str, known: frozenset[str]) -> "Table | None":
        """Return the table at `key` with the `known` keys, or None when absent."""
        if key not in self._value:
            return None
        return Table(self._value[key], self.path(key), known, self._fault)
