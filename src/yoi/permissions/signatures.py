"""`Signature`: what the host signs with a key of the operator's, as a manifest declares its shape.

The shape is fixed: a plugin says *that* something is signed, never what the parts are. Parts that
it does choose (a body, a value of its own) are named in the review.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yoi.display import printable
from yoi.permissions.pointers import JsonPointer

if TYPE_CHECKING:
    from collections.abc import Mapping


class Algorithm(StrEnum):
    """How it is signed. The first four sign parts, the others make a JWT (RFC 7519)."""

    HMAC_SHA256 = "hmac-sha256"
    HMAC_SHA384 = "hmac-sha384"
    HMAC_SHA512 = "hmac-sha512"
    ED25519 = "ed25519"
    HS256 = "hs256"
    RS256 = "rs256"
    ES256 = "es256"
    EDDSA = "eddsa"

    @property
    def jwt(self) -> bool:
        """Whether it makes a JWT."""
        return self in _JWT


_JWT = frozenset({Algorithm.HS256, Algorithm.RS256, Algorithm.ES256, Algorithm.EDDSA})


class KeyEncoding(StrEnum):
    """How the secret writes the key."""

    UTF8 = "utf8"
    BASE64 = "base64"
    HEX = "hex"
    PEM = "pem"


class Form(StrEnum):
    """How bytes are written."""

    RAW = "raw"
    HEX = "hex"
    BASE64 = "base64"
    BASE64URL = "base64url"


class Subject(StrEnum):
    """What is signed."""

    REQUEST = "request"
    HANDSHAKE = "handshake"
    MESSAGE = "message"


class PartKind(StrEnum):
    """Where one part of the signed bytes comes from."""

    LITERAL = "literal"
    TIMESTAMP = "timestamp"
    NONCE = "nonce"
    SENT = "sent"
    VALUE = "value"
    SECRET = "secret"
    SHA256 = "sha256"
    SHA512 = "sha512"


TIME_UNITS = ("s", "ms", "us", "ns", "iso")
NONCE_UNITS = ("s", "ms", "us")
SENT = ("method", "host", "path", "query", "target", "body")
"""`target` is the path with its query, as in a request line."""
_CHOSEN = {"path": "the path", "query": "the query", "target": "path and query", "body": "the body"}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the signed bytes."""

    kind: PartKind
    text: str = ""
    """The literal, the unit, what is sent, the pointer, or the plugin's name of a secret."""
    parts: "tuple[Part, ...]" = ()
    """Of a digest: what it is made of."""
    form: Form = Form.RAW
    """Of a digest: how it stands in what is signed."""

    @property
    def host_made(self) -> bool:
        """Whether no plugin has a say in it."""
        return self.kind not in (PartKind.SENT, PartKind.VALUE) and all(
            part.host_made for part in self.parts
        )

    @property
    def words(self) -> str:
        """The part for a person, escaped."""
        if self.kind is PartKind.LITERAL:
            return f'"{printable(self.text, 60)}"'
        if self.kind is PartKind.SENT:
            return self.text
        if self.parts:
            return f"{self.kind}({', '.join(part.words for part in self.parts)})"
        if self.kind is PartKind.VALUE:
            return f"the value at {printable(self.text, 200)}"
        if self.kind is PartKind.SECRET:
            return f"your secret for {printable(self.text, 60)}"
        return f"{self.kind} ({self.text})"

    def chosen(self) -> Iterator[str]:
        """Yield what a plugin chooses of it, in words."""
        if self.kind is PartKind.SENT and self.text in _CHOSEN:
            yield _CHOSEN[self.text]
        elif self.kind is PartKind.VALUE:
            yield self.words
        for part in self.parts:
            yield from part.chosen()

    def to_value(self) -> Any:
        """Return what is written in TOML; parsing it gives an equal part."""
        if self.kind is PartKind.LITERAL:
            return self.text
        if self.parts:
            made: dict[str, Any] = {self.kind.value: [part.to_value() for part in self.parts]}
            return made if self.form is Form.RAW else {**made, "form": self.form.value}
        return {self.kind.value: self.text}


@dataclass(frozen=True, slots=True)
class Put:
    """A text made by the host that is sent beside the signature: a timestamp, a nonce."""

    at: JsonPointer
    parts: tuple[Part, ...]
    number: bool = False
    """Whether it stands as a number, not as text."""

    def to_table(self) -> dict[str, Any]:
        """Return the canonical TOML-able table."""
        made: dict[str, Any] = {
            "at": str(self.at),
            "parts": [part.to_value() for part in self.parts],
        }
        return {**made, "number": True} if self.number else made


Claim = str | int | bool | tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """The JWT that is signed: its claims and header beside `iat`, `nbf`, `exp`, `alg`, `typ`."""

    lifetime_s: int
    claims: tuple[tuple[str, Claim], ...]
    header: tuple[tuple[str, Claim], ...]

    def to_table(self) -> dict[str, Any]:
        """Return the canonical TOML-able table."""
        made: dict[str, Any] = {"lifetime_s": self.lifetime_s}
        for key, claims in (("claims", self.claims), ("header", self.header)):
            if claims:
                made[key] = {name: _written(claim) for name, claim in claims}
        return made


@dataclass(frozen=True, slots=True)
class Signature:
    """One declared shape. Two are the same only if every part of them is."""

    algorithm: Algorithm
    key: KeyEncoding
    of: Subject
    methods: tuple[str, ...]
    """Of a request: the HTTP methods that may be signed; else empty."""
    parts: tuple[Part, ...]
    """What is signed; empty for a JWT."""
    form: Form
    puts: tuple[Put, ...]
    token: Token | None
    clock_offset_ms: int
    """Added to this machine's clock for timestamps, nonces excepted."""

    def every_part(self) -> Iterator[Part]:
        """Yield the parts of everything that is made: what is signed, what is put, the claims."""
        claims = () if self.token is None else (*self.token.claims, *self.token.header)
        tops = [
            *self.parts,
            *(part for put in self.puts for part in put.parts),
            *(part for _, claim in claims if isinstance(claim, tuple) for part in claim),
        ]
        for part in tops:
            yield part
            yield from part.parts

    @property
    def nonce_unit(self) -> str | None:
        """The unit of the number that only grows; None where none is needed."""
        return next((p.text for p in self.every_part() if p.kind is PartKind.NONCE), None)

    @property
    def secrets(self) -> frozenset[str]:
        """The plugin's names of the secrets whose values are among the parts."""
        return frozenset(p.text for p in self.every_part() if p.kind is PartKind.SECRET)

    @property
    def chosen(self) -> tuple[str, ...]:
        """What of the signed bytes a plugin chooses, in words, each once."""
        return tuple(dict.fromkeys(word for part in self.every_part() for word in part.chosen()))

    @property
    def words(self) -> str:
        """How it is signed, for a person: `hmac-sha256 over timestamp (ms), method, body`."""
        if self.token is None:
            return f"{self.algorithm} over {', '.join(part.words for part in self.parts)}"
        claims = [
            name
            if not isinstance(claim, tuple)
            else f"{name} = {' + '.join(part.words for part in claim)}"
            for name, claim in (*self.token.claims, *self.token.header)
        ]
        said = f" with {', '.join(printable(claim, 200) for claim in claims)}" if claims else ""
        return f"a JWT ({self.algorithm}) good for {self.token.lifetime_s} s{said}"

    def to_table(self) -> dict[str, Any]:
        """Return the canonical TOML-able table; parsing it gives an equal signature."""
        made: dict[str, Any] = {
            "algorithm": self.algorithm.value,
            "key": self.key.value,
            "of": self.of.value,
        }
        if self.methods:
            made["methods"] = list(self.methods)
        if self.token is None:
            made["parts"] = [part.to_value() for part in self.parts]
            made["form"] = self.form.value
        else:
            made["jwt"] = self.token.to_table()
        if self.puts:
            made["puts"] = [put.to_table() for put in self.puts]
        if self.clock_offset_ms:
            made["clock_offset_ms"] = self.clock_offset_ms
        return made


def _written(claim: Claim) -> Any:
    return [part.to_value() for part in claim] if isinstance(claim, tuple) else claim


def claims_of(table: "Mapping[str, Claim]") -> tuple[tuple[str, Claim], ...]:
    """Return `table` as sorted pairs."""
    return tuple(sorted(table.items()))
