"""How a manifest and a grant write a signature: the `sign` table of a `[[secrets]]` entry."""

from typing import Any, Literal, TypeVar

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.permissions.methods import METHODS
from yoi.permissions.places import POINTER
from yoi.permissions.pointers import JsonPointer, PointerFault
from yoi.permissions.signatures import (
    NONCE_UNITS,
    SENT,
    TIME_UNITS,
    Algorithm,
    Claim,
    Form,
    KeyEncoding,
    Part,
    PartKind,
    Put,
    Signature,
    Subject,
    Token,
    claims_of,
)
from yoi.toml import (
    BAD,
    Bad,
    Choice,
    Faults,
    Flag,
    Key,
    Kind,
    ListOf,
    Nested,
    Parsed,
    Row,
    Rows,
    TableSpec,
    Whole,
    is_safe_id,
)

_UNITS = {
    PartKind.TIMESTAMP: TIME_UNITS,
    PartKind.NONCE: NONCE_UNITS,
    PartKind.SENT: SENT,
}
_DIGESTS = (PartKind.SHA256, PartKind.SHA512)
_RESERVED = frozenset({"iat", "nbf", "exp", "alg", "typ"})
_KEYS = {
    **dict.fromkeys(
        (Algorithm.HMAC_SHA256, Algorithm.HMAC_SHA384, Algorithm.HMAC_SHA512, Algorithm.HS256),
        (KeyEncoding.UTF8, KeyEncoding.BASE64, KeyEncoding.HEX),
    ),
    **dict.fromkeys(
        (Algorithm.ED25519, Algorithm.EDDSA),
        (KeyEncoding.BASE64, KeyEncoding.HEX, KeyEncoding.PEM),
    ),
    **dict.fromkeys((Algorithm.RS256, Algorithm.ES256), (KeyEncoding.PEM,)),
}
_SIGNED = tuple(method for method in METHODS if method != "OPTIONS")
"""What asks for options is asked without a key."""


class PartTable(Kind[Part]):
    """A literal text, or a table of one key such as `{ timestamp = "ms" }`."""

    words = "text or table"
    bound = f"at most {LIMITS.sign_literal_chars} characters of text"

    def read(self, value: Any, at: str, faults: Faults) -> Part | Literal[Bad.BAD]:
        """Return the part, or BAD after adding at least one fault."""
        before = faults.count
        part = self._part(value, at, faults, nested=False)
        return part if part is not None and faults.count == before else BAD

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": ["string", "object"]}

    def _part(self, value: Any, at: str, faults: Faults, *, nested: bool) -> Part | None:
        if isinstance(value, str):
            if 1 <= len(value) <= LIMITS.sign_literal_chars:
                return Part(PartKind.LITERAL, value)
            faults.add("value", at, f"must have 1 to {LIMITS.sign_literal_chars} characters")
            return None
        names = [kind.value for kind in PartKind if kind is not PartKind.LITERAL]
        found = [name for name in names if isinstance(value, dict) and name in value]
        if len(found) != 1 or not set(value) <= {found[0], "form"}:
            faults.add("value", at, f"must be text, or a table with one of {', '.join(names)}")
            return None
        kind, inner = PartKind(found[0]), value[found[0]]
        if kind in _DIGESTS:
            return self._digest(kind, inner, value.get("form", "raw"), at, faults, nested=nested)
        problem = _text_fault(kind, inner)
        if "form" in value:
            problem = "has a form, which only a digest has"
        if problem is not None:
            faults.add("value", f"{at}.{kind}", problem)
            return None
        return Part(kind, inner)

    def _digest(
        self, kind: PartKind, inner: Any, form: Any, at: str, faults: Faults, *, nested: bool
    ) -> Part | None:
        if nested:
            faults.add("value", at, "is a digest in a digest; one may hold no other")
            return None
        if not isinstance(inner, list) or not 1 <= len(inner) <= LIMITS.sign_parts:
            faults.add("value", f"{at}.{kind}", f"must list 1 to {LIMITS.sign_parts} parts")
            return None
        if form not in list(Form):
            faults.add("value", f"{at}.form", f"must be one of {', '.join(Form)}")
            return None
        made = [
            self._part(one, f"{at}.{kind}[{index}]", faults, nested=True)
            for index, one in enumerate(inner)
        ]
        good = tuple(part for part in made if part is not None)
        return Part(kind, parts=good, form=Form(form)) if len(good) == len(made) else None


def _text_fault(kind: PartKind, value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be text"
    if kind in _UNITS:
        known = _UNITS[kind]
        return None if value in known else f"must be one of {', '.join(known)}"
    if kind is PartKind.SECRET:
        return None if is_safe_id(value) else "must be the plugin's name of a secret"
    try:
        JsonPointer.parse(value)
    except PointerFault as exc:
        return str(exc)
    return None


class ClaimsTable(Kind[tuple[tuple[str, Claim], ...]]):
    """Claims of a JWT: text, whole numbers, true or false, or a list of parts that make a text."""

    words = "table"
    bound = f"at most {LIMITS.sign_parts} claims"

    def read(
        self, value: Any, at: str, faults: Faults
    ) -> tuple[tuple[str, Claim], ...] | Literal[Bad.BAD]:
        """Return the claims, or BAD after adding at least one fault."""
        if not isinstance(value, dict) or len(value) > LIMITS.sign_parts:
            faults.add("type", at, f"must be a table of at most {LIMITS.sign_parts} claims")
            return BAD
        before = faults.count
        made: dict[str, Claim] = {}
        for name, claim in value.items():
            where = f"{at}.{printable(name, 60)}"
            if name in _RESERVED:
                faults.add("value", where, "is set by the host")
            elif isinstance(claim, list):
                read = _PARTS.read(claim, where, faults)
                if not isinstance(read, Bad):
                    made[name] = read
            elif isinstance(claim, str | bool | int) and len(str(claim)) <= LIMITS.url_chars:
                made[name] = claim
            else:
                faults.add("type", where, "must be text, a number, true, false or a list of parts")
        return claims_of(made) if faults.count == before else BAD

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "object"}


def _some(values: tuple[Part, ...]) -> tuple[Part, ...]:
    if not values:
        raise ValueError("must list at least one part")
    return values


_PARTS = Parsed(ListOf(PartTable(), LIMITS.sign_parts), _some)
_E = TypeVar("_E", bound=Algorithm | KeyEncoding | Subject | Form)


def _enum(kind: type[_E]) -> Parsed[_E]:
    return Parsed(Choice([one.value for one in kind]), kind)


PUT = TableSpec(
    (
        Key("at", POINTER, "where it stands, as a place of `[[secrets]]`", required=True),
        Key("parts", _PARTS, "literals, `timestamp`, `nonce` and `secret` only", required=True),
        Key("number", Flag(), "write one timestamp or nonce as a number", default=False),
    ),
    lambda row: Put(row["at"], row["parts"], row["number"]),
    about="A text that the host makes and sends beside the signature.",
)
JWT = TableSpec(
    (
        Key(
            "lifetime_s",
            Whole(1, LIMITS.jwt_lifetime_s),
            "seconds from `iat` to `exp`, both set by the host",
            required=True,
        ),
        Key("claims", ClaimsTable(), "the other claims", default=()),
        Key("header", ClaimsTable(), "header fields beside `alg` and `typ`", default=()),
    ),
    lambda row: Token(row["lifetime_s"], row["claims"], row["header"]),
    about="A JWT (RFC 7519).",
)


def _signature(row: Row) -> Signature:
    algorithm: Algorithm = row["algorithm"]
    token, parts = row["jwt"], row["parts"]
    if algorithm.jwt and (token is None or parts):
        row.fault("value", "jwt", f"and no parts: {algorithm} makes a JWT")
    if not algorithm.jwt and (token is not None or not parts):
        row.fault("value", "parts", f"must be given, and no jwt: {algorithm} signs parts")
    if row["key"] not in _KEYS[algorithm]:
        row.fault("value", "key", f"must be one of {', '.join(_KEYS[algorithm])} for {algorithm}")
    if row["form"] is Form.RAW:
        row.fault("value", "form", "must be text: hex, base64 or base64url")
    if (row["of"] is Subject.REQUEST) != bool(row["methods"]):
        row.fault("value", "methods", 'must be given for of = "request", and for nothing else')
    made = Signature(
        algorithm=algorithm,
        key=row["key"],
        of=row["of"],
        methods=tuple(sorted(set(row["methods"]))),
        parts=parts,
        form=Form.RAW if algorithm.jwt else row["form"],
        puts=row["puts"],
        token=token,
        clock_offset_ms=row["clock_offset_ms"],
    )
    _check_parts(row, made)
    return made


def _check_parts(row: Row, made: Signature) -> None:
    for index, put in enumerate(made.puts):
        if not all(part.host_made and not part.parts for part in put.parts):
            row.fault("value", f"puts[{index}].parts", "must be made by the host alone")
        if put.number and (len(put.parts) != 1 or not _numeric(put.parts[0])):
            row.fault("value", f"puts[{index}].number", "goes with one timestamp or nonce")
    places = [put.at for put in made.puts]
    if len(set(places)) < len(places):
        row.fault("duplicate", "puts", "has two for one place")
    units = {part.text for part in made.every_part() if part.kind is PartKind.NONCE}
    if len(units) > 1:
        row.fault("value", "", "has nonces of two units: one signature has one nonce")
    if made.of is Subject.MESSAGE and any(part.kind is PartKind.SENT for part in made.every_part()):
        row.fault("value", "parts", "has `sent`, and a message has no head")


def _numeric(part: Part) -> bool:
    return part.kind is PartKind.NONCE or (part.kind is PartKind.TIMESTAMP and part.text != "iso")


SIGN = TableSpec(
    (
        Key("algorithm", _enum(Algorithm), "how it is signed", required=True),
        Key("key", _enum(KeyEncoding), "how the secret writes the key", required=True),
        Key("of", _enum(Subject), "what is signed", required=True),
        Key(
            "methods",
            ListOf(Choice(_SIGNED), len(_SIGNED)),
            "the methods of requests that may be signed",
            default=(),
        ),
        Key(
            "parts",
            ListOf(PartTable(), LIMITS.sign_parts),
            "what is signed, one after the other: text, or one of `{ timestamp = UNIT }`, "
            "`{ nonce = UNIT }`, `{ sent = WHAT }`, `{ value = POINTER }`, `{ secret = NAME }`, "
            "`{ sha256 = [...], form = FORM }`, `{ sha512 = [...] }`",
            default=(),
        ),
        Key("form", _enum(Form), "how the signature is written", default=Form.HEX),
        Key("jwt", Nested(JWT), "see `[secrets.sign.jwt]`"),
        Key(
            "puts",
            Rows(PUT, LIMITS.sign_parts),
            "see `[[secrets.sign.puts]]`",
            default=(),
        ),
        Key(
            "clock_offset_ms",
            Whole(-LIMITS.signature_offset_ms, LIMITS.signature_offset_ms),
            "how far the server's clock is ahead of this machine's",
            default=0,
        ),
    ),
    _signature,
    about="The secret is a key: it goes nowhere, the host signs with it. `at` says where the "
    "signature goes.",
)
