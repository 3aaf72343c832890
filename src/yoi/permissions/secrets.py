"""`SecretUse` and `Capture`: which value goes where. The values themselves are never here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.permissions.headers import HeaderRefused, check_name
from yoi.permissions.permission import malformed
from yoi.permissions.places import POINTER, Place, PlaceKind
from yoi.permissions.pointers import JsonPointer
from yoi.permissions.signature_tables import SIGN
from yoi.permissions.signatures import Signature, Subject
from yoi.toml import (
    Bad,
    Faults,
    Key,
    ListOf,
    Nested,
    Never,
    Parsed,
    Row,
    SafeId,
    TableSpec,
    Text,
    joined,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

CLIENT_CERTIFICATE = JsonPointer.parse("/tls/client")
"""The place of a certificate with its key: presented to the server, never part of a message."""
_REQUEST_PARTS = ("headers", "query", "body", "path", "basic")
_BASIC = ("user", "password")
_MADE_PARTS = ("headers", "query", "body")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a value may go: places in the messages of one connection or request target."""

    connection: str | None
    request: str | None
    places: tuple[Place, ...]
    """Sorted, each once; exact: a place does not include what lies inside its value."""

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

    @property
    def presented(self) -> bool:
        """Whether it is a client certificate, which is presented and no part of a message."""
        return any(place.pointer == CLIENT_CERTIFICATE for place in self.places)

    def in_words(self, places: "Iterable[Place] | None" = None) -> str:
        """Return the places (all, or some) as a person reads them."""
        chosen = self.places if places is None else places
        return ", ".join(
            place.words if self.connection is None else place.words_in_message for place in chosen
        )

    def to_table(self) -> dict[str, Any]:
        """Return the TOML-able keys `connection` or `request`, and `at`."""
        made: dict[str, Any] = (
            {"connection": self.connection} if self.connection else {"request": self.request}
        )
        return {**made, "at": [place.to_value() for place in self.places]}


@dataclass(frozen=True, slots=True, init=False)
class SecretUse:
    """One secret of a plugin in one direction; made by `SecretUse.parse` and `SecretUse.of`."""

    name: str
    """The plugin's name for it."""
    binding: Binding
    description: str
    """What the author says it is, for the operator to read; no authority comes of it."""
    secret: str | None
    """The name in the operator's store: always there in a grant, never in a manifest."""
    sign: Signature | None
    """What is signed with it; then it is a key, and goes nowhere itself."""

    @classmethod
    def parse(cls, value: object, at: str = "secrets") -> "SecretUse":
        """Return the use in a `[[secrets]]` table.

        Raises `PermissionMalformed` (`permission.malformed`); `fields["at"]` is the dotted path.
        """
        faults = Faults()
        read = SECRET.read(value, at, faults)
        if isinstance(read, Bad):
            raise joined([malformed(fault) for fault in faults], faults.count)
        return read

    @classmethod
    def of(
        cls,
        name: str,
        binding: Binding,
        description: str = "",
        secret: str | None = None,
        sign: Signature | None = None,
    ) -> "SecretUse":
        """Return the use of these parts, which were checked."""
        use = object.__new__(cls)
        for key, made in (
            ("name", name),
            ("binding", binding),
            ("description", description),
            ("secret", secret),
            ("sign", sign),
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
        verb = "to" if self.sign is None else "signs"
        return printable(
            f"{self.name} {verb} {self.binding.goal} at {self.binding.in_words()}",
            LIMITS.message_chars,
        )

    def covers(self, other: "SecretUse") -> bool:
        """Return whether this use holds `other`: the same secret, no further pointers."""
        return (
            self.key == other.key
            and self.secret == other.secret
            and self.sign == other.sign
            and set(other.binding.places) <= set(self.binding.places)
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
        if self.sign is not None:
            made["sign"] = self.sign.to_table()
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

    def to_table(self) -> dict[str, Any]:
        """Return the canonical TOML-able table."""
        made: dict[str, Any] = {"name": self.name, "at": str(self.at)}
        if self.into is not None:
            made["into"] = self.into.to_table()
        if self.rotates is not None:
            made["rotates"] = self.rotates
        return made


def check_request_pointer(pointer: JsonPointer) -> str | None:
    """Return why no request has `pointer`, or None: such a secret would be read and never used."""
    part, *rest = pointer.tokens
    if (
        part not in _REQUEST_PARTS
        or not rest
        or (part != "body" and len(rest) > 1)
        or (part == "basic" and rest[0] not in _BASIC)
    ):
        return (
            "is not a position in a request: /headers/NAME, /query/NAME, /path/N, /basic/user, "
            f"/basic/password and those below /body; not {printable(str(pointer), 100)}"
        )
    if part == "headers" and rest[0] != rest[0].lower():
        lower = printable(rest[0].lower())
        return f"is wrong: header names are written in lower case: /headers/{lower}"
    if part == "headers":
        try:
            check_name(rest[0], inserted=True)
        except HeaderRefused as exc:
            return f"is the header {printable(rest[0], 60)}, which {exc.message}"
    return None


def _places(values: tuple[Place, ...]) -> tuple[Place, ...]:
    if not values:
        raise ValueError("must list at least one JSON pointer")
    return tuple(sorted(set(values), key=lambda place: place.order))


def _presented(row: Row) -> bool:
    return any(place.pointer == CLIENT_CERTIFICATE for place in row["at"])


def _binding_of_secret(row: Row) -> Binding:
    if not _presented(row):
        return _binding(row)
    if len(row["at"]) > 1:
        row.fault("value", "at", "has /tls/client: a certificate with its key goes nowhere else")
    _check_bound(row)
    return Binding(row["connection"], row["request"], row["at"])


def _sign(row: Row) -> Signature | None:
    sign: Signature | None = row["sign"]
    if sign is None:
        return None
    if (sign.of is Subject.REQUEST) != row.has("request"):
        row.fault("value", "sign.of", 'is "request" for a request target, and only then')
    if len(row["at"]) != 1 or _presented(row):
        row.fault("value", "at", "must be the one place of the signature")
    if any(put.at == place.pointer for put in sign.puts for place in row["at"]):
        row.fault("duplicate", "sign.puts", "has one at the place of the signature")
    if sign.of is not Subject.MESSAGE:
        places = [("at", place.pointer) for place in row["at"]]
        places += [(f"sign.puts[{index}].at", put.at) for index, put in enumerate(sign.puts)]
        for at, pointer in places:
            problem = check_request_pointer(pointer)
            if pointer.tokens[0] not in _MADE_PARTS:
                problem = "is where the host writes nothing: name a header, a query value or one "
                problem += "of the body"
            if problem is not None:
                row.fault("value", at, problem)
    return sign


def _binding(row: Row) -> Binding:
    if _presented(row):
        row.fault("value", "at", "has /tls/client, which only a [[secrets]] entry may fill")
    elif _check_bound(row) == "request":
        for place in row["at"]:
            problem = check_request_pointer(place.pointer)
            if problem is not None:
                row.fault("value", "at", problem)
    return Binding(row["connection"], row["request"], row["at"])


def _check_bound(row: Row) -> str | None:
    bound = [key for key in ("connection", "request") if row.has(key)]
    if len(bound) == 1:
        return bound[0]
    row.fault(
        "value", "", "must name exactly one of 'connection' and 'request': a secret goes one way"
    )
    return None


_BINDING_KEYS = (
    Key("connection", SafeId(), "the connection that receives it; this or `request`"),
    Key("request", SafeId(), "the named `[[request]]` that receives it; this or `connection`"),
    Key(
        "at",
        Parsed(ListOf(PlaceKind(), LIMITS.secret_pointers), _places),
        "exact positions (RFC 6901) where it may be inserted. For a request: `/headers/NAME` "
        "(lower case), `/query/NAME`, `/basic/user`, `/basic/password` or one below `/body`. "
        "A segment of the path and a part of a message that is text alone are granted with the "
        'literal text before them: `{ at = "/path/0", after = "bot" }`. `/tls/client` alone: a '
        "client certificate with its key, presented to the server",
        required=True,
    ),
)
SECRET = TableSpec(
    (
        Key("name", SafeId(), "what the plugin's commands call it", required=True),
        Key(
            "description",
            Text(LIMITS.description_chars, blank=True),
            "what the operator should look for",
            default="",
        ),
        *_BINDING_KEYS,
        Key("sign", Nested(SIGN), "see `[secrets.sign]`: the secret is a key, and goes nowhere"),
        Key("secret", SafeId(), "the name in the operator's secret store"),
    ),
    lambda row: SecretUse.of(
        row["name"], _binding_of_secret(row), row["description"], row["secret"], _sign(row)
    ),
    about="A value of the operator's secret store that the host inserts and the plugin never sees.",
)
REQUESTED_SECRET = SECRET.extended(
    Key(
        "secret",
        Never("is not for a manifest: the operator says which secret it is"),
        "stands in a grant only",
    )
)
GRANTED_SECRET = SECRET.extended(
    Key(
        "secret",
        SafeId(),
        "the name in the operator's secret store",
        required=True,
        missing="is required: a name in the secret store",
    )
)
CAPTURE = TableSpec(
    (
        Key("name", SafeId(), "what commands call the value; unique in the target", required=True),
        Key("at", POINTER, "its position in the answer's body", required=True),
        Key(
            "into",
            Nested(TableSpec(_BINDING_KEYS, _binding)),
            "where the value may be inserted; without it the plugin's handle is good for "
            "`websocket_open` only",
        ),
        Key(
            "rotates",
            SafeId(),
            "the `[[secrets]]` entry whose value in the operator's store is replaced by this one",
        ),
    ),
    lambda row: Capture(row["name"], row["at"], row["into"], row["rotates"]),
    about="A value that the host takes out of a JSON answer before the plugin sees it.",
)
