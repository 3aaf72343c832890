"""Strict reading of decoded TOML tables: unknown keys and wrong types are refused, with a place."""

from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from yoi.errors import YoiError

    Refuse = Callable[[str, str], YoiError]
    """Builds the error from a message and a dotted place."""


def table(value: object, keys: "Collection[str]", at: str, refuse: "Refuse") -> dict[str, Any]:
    """Return `value` as a dict whose keys are all in `keys`."""
    if not isinstance(value, dict):
        raise refuse(f"{at} must be a table, not {kind_of(value)}", at)
    for key in value:
        if key not in keys:
            shown = printable(str(key), 60)
            raise refuse(f"{at} has the unknown key {shown!r}; it may have {', '.join(keys)}", at)
    return value


def items(value: object, most: int, at: str, refuse: "Refuse") -> list[Any]:
    """Return `value` as a list of at most `most` items."""
    if not isinstance(value, list | tuple):
        raise refuse(f"{at} must be a list, not {kind_of(value)}", at)
    if len(value) > most:
        raise refuse(f"{at} has {len(value)} items; at most {most} can be reviewed", at)
    return list(value)


def text(value: object, at: str, refuse: "Refuse") -> str:
    """Return `value` as a non-empty str of at most `url_chars`."""
    if not isinstance(value, str):
        raise refuse(f"{at} must be text, not {kind_of(value)}", at)
    if not value or len(value) > LIMITS.url_chars:
        raise refuse(f"{at} must have 1 to {LIMITS.url_chars} characters", at)
    return value


def whole(value: object, most: int, at: str, refuse: "Refuse") -> int:
    """Return `value` as an int from 1 to `most`; a bool is not a number here."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise refuse(f"{at} must be a whole number, not {kind_of(value)}", at)
    if not 1 <= value <= most:
        shown = value if abs(value) < 10**20 else "that"
        raise refuse(f"{at} must be 1 to {most}, not {shown}", at)
    return value


def kind_of(value: object) -> str:
    """Return the TOML word for the type of `value`."""
    return {
        "str": "text",
        "int": "a number",
        "float": "a fraction",
        "bool": "true or false",
        "list": "a list",
        "dict": "a table",
        "NoneType": "nothing",
    }.get(type(value).__name__, printable(type(value).__name__, 40))
