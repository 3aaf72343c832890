"""`SecretUse` and `Capture`: which value goes where. The values themselves are never here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.errors import PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import shapes
from yoi.permissions.names import is_safe_id
from yoi.permissions.pointers import JsonPointer, PointerFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from yoi.errors import YoiError

    Refuse = Callable[[str, str], YoiError]

_USE_KEYS = ("name", "description", "connection", "request", "at", "secret")
_REQUEST_PARTS = ("headers", "query", "body")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a value may go: places of one connection's or one request target's messages."""

    connection: str | None
    request: str | None
    places: tuple[JsonPointer, ...]
    """Sorted, each once; exact: a place does not include what lies inside it."""

    @property
    def bound_to(self) -> tuple[str | None, str | None]:
        """The connection and the request target; exactly one is not None."""
        return self.connection, self.request

    @property
    def goal(self) -> str:
        """What receives it, such as `connection gateway`; escaped."""
        kind, name = (
            ("connection", self.connection) if self.connection else ("request", self.request)
        )
        return f"{kind} {printable(name or '', LIMITS.name_bytes)}"

    def in_words(self, places: "Iterable[JsonPointer] | None" = None) -> str:
        """Return the places (all, or some) as a person reads them."""
        return ", ".join(
            printable(str(place), 200) for place in (self.places if places is None else places)
        )

    def to_table(self) -> dict[str, Any]:
        """Return the TOML-able keys `connection` or `request`, and `at`."""
        made: dict[str, Any] = (
            {"connection": self.connection} if self.connection else {"request": self.request}
        )
        return {**made, "at": [str(place) for place in self.places]}


@dataclass(frozen=True, slots=True, init=False)
class SecretUse:
    """One secret of a plugin in one direction; made by `SecretUse.parse` only."""

    name: str
    """The plugin's name for it."""
    binding: Binding
    description: str
    """What the author says it is, for the operator to read; no authority comes of it."""
    secret: str | None
    """The name in the operator's store: always there in a grant, never in a manifest."""

    @classmethod
    def parse(cls, value: object, at: str = "secrets") -> "SecretUse":
        """Return the use in a `[[secrets]]` table.

        Raises `PermissionMalformed` (`permission.malformed`); `fields["at"]` is the dotted place.
        """
        row = shapes.table(value, _USE_KEYS, at, _malformed)
        if "name" not in row:
            raise _malformed(f"{at} needs 'name'", at)
        description = row.get("description", "")
        if not isinstance(description, str) or len(description) > LIMITS.description_chars:
            raise _malformed(
                f"{at}.description must be text of at most {LIMITS.description_chars} characters",
                f"{at}.description",
            )
        use = object.__new__(cls)
        for key, made in (
            ("name", name_of(row["name"], f"{at}.name", _malformed)),
            ("binding", _binding(row, at, _malformed)),
            ("description", description),
            (
                "secret",
                name_of(row["secret"], f"{at}.secret", _malformed) if "secret" in row else None,
            ),
        ):
            object.__setattr__(use, key, made)
        return use

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """What may stand once in a set: the name and what it is bound to."""
        return (self.name, *self.binding.bound_to)

    @property
    def label(self) -> str:
        """A short, escaped line such as `app to request api at /headers/authorization`."""
        return printable(
            f"{self.name} to {self.binding.goal} at {self.binding.in_words()}", LIMITS.message_chars
        )

    def using(self, secret: str) -> "SecretUse":
        """Return the grant of this use with the store's name `secret`."""
        return SecretUse.parse({**self.to_table(), "secret": secret})

    def to_table(self) -> dict[str, Any]:
        """Return the canonical TOML-able table; parsing it gives an equal use."""
        made: dict[str, Any] = {"name": self.name}
        if self.description:
            made["description"] = self.description
        made |= self.binding.to_table()
        if self.secret is not None:
            made["secret"] = self.secret
        return made


@dataclass(frozen=True, slots=True)
class Capture:
    """A value that the host takes out of a JSON answer; the guest gets an opaque handle."""

    name: str
    at: JsonPointer
    into: Binding | None = None
    """Where the value itself may be inserted; None: it is only a URL for `websocket_open`."""
    rotates: str | None = None
    """The plugin's secret whose value in the store is replaced by this one."""

    @classmethod
    def parse(cls, value: object, at: str, refuse: "Refuse") -> "Capture":
        """Return the capture in a table `{ name, at, into?, rotates? }` of a request target."""
        row = shapes.table(value, ("name", "at", "into", "rotates"), at, refuse)
        for key in ("name", "at"):
            if key not in row:
                raise refuse(f"{at} needs {key!r}", at)
        into = None
        if "into" in row:
            inner = shapes.table(row["into"], ("connection", "request", "at"), f"{at}.into", refuse)
            into = _binding(inner, f"{at}.into", refuse)
        rotates = row.get("rotates")
        return cls(
            name_of(row["name"], f"{at}.name", refuse),
            place_of(row["at"], f"{at}.at", refuse),
            into,
            None if rotates is None else name_of(rotates, f"{at}.rotates", refuse),
        )

    def to_table(self) -> dict[str, Any]:
        """Return the canonical TOML-able table."""
        made: dict[str, Any] = {"name": self.name, "at": str(self.at)}
        if self.into is not None:
            made["into"] = self.into.to_table()
        if self.rotates is not None:
            made["rotates"] = self.rotates
        return made


def name_of(value: object, at: str, refuse: "Refuse") -> str:
    """Return `value` as a safe id."""
    written = shapes.text(value, at, refuse)
    if not is_safe_id(written):
        raise refuse(
            f"{at} must have 1 to {LIMITS.name_bytes} letters, digits, '-', '_', '.', no '.' at an "
            f"end; not {printable(written, 60)!r}",
            at,
        )
    return written


def place_of(value: object, at: str, refuse: "Refuse") -> JsonPointer:
    """Return `value` as a pointer."""
    try:
        return JsonPointer.parse(value)
    except PointerFault as exc:
        raise refuse(f"{at} {exc}", at) from None


def _binding(row: dict[str, Any], at: str, refuse: "Refuse") -> Binding:
    bound = [key for key in ("connection", "request") if key in row]
    if len(bound) != 1:
        raise refuse(
            f"{at} must name exactly one of 'connection' and 'request': a secret goes one way", at
        )
    name = name_of(row[bound[0]], f"{at}.{bound[0]}", refuse)
    if "at" not in row:
        raise refuse(f"{at} needs 'at', the places where it may be inserted", at)
    rows = shapes.items(row["at"], LIMITS.secret_places, f"{at}.at", refuse)
    places = {place_of(one, f"{at}.at[{index}]", refuse) for index, one in enumerate(rows)}
    if not places:
        raise refuse(f"{at}.at must list at least one place", f"{at}.at")
    if bound[0] == "request":
        for place in sorted(places):
            _check_request_place(place, f"{at}.at", refuse)
    by = {bound[0]: name}
    return Binding(by.get("connection"), by.get("request"), tuple(sorted(places)))


def _check_request_place(place: JsonPointer, at: str, refuse: "Refuse") -> None:
    """Refuse a place that no request has: it would be asked for, read and never work."""
    part, *rest = place.tokens
    if part not in _REQUEST_PARTS or not rest or (part != "body" and len(rest) > 1):
        raise refuse(
            f"{at}: a request has /headers/NAME, /query/NAME and places in /body; "
            f"not {printable(str(place), 100)}",
            at,
        )
    if part == "headers" and rest[0] != rest[0].lower():
        raise refuse(
            f"{at}: header names are written in lower case: /headers/{printable(rest[0].lower())}",
            at,
        )


def _malformed(message: str, at: str) -> PermissionMalformed:
    return PermissionMalformed("permission.malformed", message, at=at)
