"""What the commands of the host's other rooms have in common: sessions, timers, requests, state."""

from collections.abc import Mapping
from typing import Any, ClassVar

from yoi_pdk.commands import Command
from yoi_pdk.insertions import Insertion
from yoi_pdk.limits import ID_BYTES


class HostCommand(Command):
    """A command whose payload is its fields, without those that are None.

    `id` is yours to recognise the command in `ResponseEvent` and `DeniedEvent`; it must be unique
    within one answer. Without one the host makes it.
    """

    __slots__ = ("id",)

    kind: ClassVar[str]
    id: str | None

    def fields(self) -> tuple[str, ...]:
        """Return the names of the fields."""
        return tuple(name for name in type(self).__slots__ if name != "id")

    def payload(self) -> dict[str, Any]:
        """Return the payload as the host reads it."""
        return {
            name: _wired(value)
            for name in self.fields()
            if (value := getattr(self, name)) is not None and value != ()
        }

    def wire(self) -> list[Any]:
        """Return `[id or None, kind, payload]`, the form the host reads."""
        return [self.id, self.kind, self.payload()]

    def __repr__(self) -> str:
        """Return the call that makes this command."""
        shown = [
            f"{name}={value!r}"
            for name in (*self.fields(), "id")
            if (value := getattr(self, name)) is not None and value != ()
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _wired(value: Any) -> Any:
    if isinstance(value, tuple):
        return [item.wire() if isinstance(item, Insertion) else item for item in value]
    return value


def name_of(what: str, value: Any) -> str:
    """Return `value` as a name, or raise what says why it is none."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if not 1 <= len(value.encode()) <= ID_BYTES or not value.isprintable():
        raise ValueError(f"{what} must be 1 to {ID_BYTES} bytes without control characters")
    return value


def id_of(value: Any) -> str | None:
    """Return `value` as a command id, or None."""
    return None if value is None else name_of("id", value)


def text_of(what: str, value: Any) -> str | None:
    """Return `value` as text, or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    return value


def whole(what: str, value: Any, low: int, high: int) -> int:
    """Return `value` as a whole number from `low` to `high`."""
    if type(value) is not int:
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{what} must be from {low} to {high}")
    return value


def basic_of(value: Any) -> dict[str, str | None] | None:
    """Return the pair `(user, password)` as the host reads it; None stands for an inserted one."""
    if value is None:
        return None
    if (
        not isinstance(value, tuple)
        or len(value) != 2
        or not all(one is None or isinstance(one, str) for one in value)
    ):
        raise TypeError('basic takes (user, password), such as ("bot", None) with an insertion')
    return {"user": value[0], "password": value[1]}


def strings(what: str, value: Mapping[str, str] | None, most: int) -> dict[str, str] | None:
    """Return `value` as a dict of at most `most` strings; None when it is empty."""
    if not value:
        return None
    if not isinstance(value, Mapping) or not all(
        isinstance(part, str) for item in value.items() for part in item
    ):
        raise TypeError(f"{what} must be a dict of strings")
    if len(value) > most:
        raise ValueError(f"{what} may have at most {most} entries")
    return dict(value)
