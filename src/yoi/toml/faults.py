"""`Faults`: everything that is wrong with one document, each with the path of its key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from yoi.display import printable
from yoi.errors import YoiError
from yoi.limits import LIMITS

_CHARS = 2048
FaultKind = Literal[
    "unknown_key", "type", "missing", "value", "reference", "duplicate", "too_large", "world"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: `at` is the dotted path of the key, '' for the whole document."""

    kind: FaultKind
    at: str
    message: str
    hint: str | None = None
    code: str | None = None
    """The code to report where it is not the document's own code for `kind`."""


class Faults:
    """Collects the faults of one reading; those beyond `toml_faults` are only counted."""

    def __init__(self) -> None:
        self._found: list[Fault] = []
        self.count = 0

    def add(self, kind: FaultKind, at: str, message: str, hint: str | None = None) -> None:
        """Add one fault."""
        self.take(Fault(kind, at, message, hint))

    def take(self, fault: Fault) -> None:
        """Add `fault`; what it quotes of the document is escaped."""
        self.count += 1
        if len(self._found) < LIMITS.toml_faults:
            at, message = (printable(text, _CHARS) for text in (fault.at, fault.message))
            self._found.append(replace(fault, at=at, message=message))

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._found)

    def __bool__(self) -> bool:
        return self.count > 0


E = TypeVar("E", bound=YoiError)


def joined(errors: Sequence[E], count: int | None = None) -> E:
    """Return the first of `errors`; with others it says how many there are.

    `count` is how many faults there were in all. The error's `fields["faults"]` has the code, path
    and message of each error, in the order of the document, when there are several.
    """
    first = errors[0]
    if len(errors) == 1:
        return first
    others = (len(errors) if count is None else count) - 1
    more = "1 more fault" if others == 1 else f"{others} more faults"
    fields = {
        **first.fields,
        "faults": [
            {"code": one.code, "at": one.fields.get("at"), "message": one.message} for one in errors
        ],
    }
    return type(first)(first.code, f"{first.message} (and {more})", hint=first.hint, **fields)
