"""`Signer`: signs what leaves the host with keys of the operator's, as the manifest declares.

The plugin names the key; the shape, the clock, the numbers and the key are the host's. Called when
the rest of the message is in place, so that what is signed is what is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from yoi.core.insertion import Insertion, Layout, insert_into, position, value_at
from yoi.core.redaction import Value
from yoi.errors import InsertionError, PermissionDenied, SignatureError
from yoi.limits import LIMITS, Limits
from yoi.permissions import Authority, JsonPointer
from yoi.permissions.signatures import Claim, Part, PartKind, Put, Signature, Subject
from yoi.secrets.signing import SigningKey, digest, in_form, other_spellings, signing_key
from yoi.types import Clock, rfc3339_ms

Json = Any
_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class KeySource(Protocol):
    """Where keys come from: the operator's store. On the loop: never blocks."""

    def get(self, name: str) -> Value:
        """Return the secret `name`; SecretError `secret.missing`."""
        ...


class NonceSource(Protocol):
    """Numbers that only grow, also across restarts."""

    def next(self, name: str, unit: str, now_ms: int) -> int:
        """Return a number for the key `name` that was never returned before, and is larger.

        It is about the time in `unit`. Raises SignatureError (`signature.nonce`).
        """
        ...


class NoNonces:
    """A host that keeps no numbers."""

    def next(self, name: str, unit: str, now_ms: int) -> int:
        """Raise SignatureError (`signature.nonce`)."""
        raise SignatureError("signature.nonce", f"no numbers are kept for {name} here")


@dataclass(frozen=True, slots=True)
class Sent:
    """The head of a request or handshake, as it stands before its signature is put in."""

    method: str
    host: str
    path: str
    query: str
    body: bytes = field(default=b"", repr=False)

    def part(self, what: str) -> bytes:
        """Return one of `SENT` as bytes."""
        if what == "body":
            return self.body
        if what == "target":
            return (self.path + (f"?{self.query}" if self.query else "")).encode()
        text: str = getattr(self, what)
        return text.encode()


@dataclass(frozen=True, slots=True)
class Signable:
    """A message, request or handshake that is about to leave."""

    of: Subject
    document: Json = field(repr=False)
    layout: Layout
    connection: str | None = None
    request: str | None = None
    method: str = ""
    sent: "Callable[[Json], Sent] | None" = None
    """Returns the head that the document makes; None for a message."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The document with its signature, and the places that the host filled."""

    document: Json = field(repr=False)
    places: tuple[str, ...]


class Signer:
    """See the module docstring. One per service; it belongs to the event loop."""

    def __init__(
        self,
        authority: Authority,
        keys: KeySource,
        clock: Clock,
        nonces: NonceSource,
        hide: Callable[[str], None],
        limits: Limits = LIMITS,
    ) -> None:
        """`hide` is told of other spellings of a key, to be masked from then on."""
        self._authority = authority
        self._keys = keys
        self._clock = clock
        self._nonces = nonces
        self._hide = hide
        self._limits = limits
        self._read: dict[tuple[str, Signature], tuple[Value, SigningKey]] = {}
        self._skews: dict[str, int] = {}

    def heard_clock(self, request: str, server_ms: int) -> None:
        """Note what time the servers of a request target have, as an answer said."""
        self._skews[request] = server_ms - self._clock.wall_ms()

    def sign(self, name: str, what: Signable) -> Signed:
        """Return `what` signed with the plugin's key `name`.

        Raises PermissionDenied where it is not granted for this goal, subject and method;
        SecretError, InsertionError and SignatureError. Nothing is half done.
        """
        use = self._authority.signing(name, connection=what.connection, request=what.request)
        sign = use.sign
        assert sign is not None, "a signing use has its shape"
        if sign.of is not what.of or (sign.methods and what.method not in sign.methods):
            wanted = ", ".join(sign.methods) or "no method"
            raise PermissionDenied(
                "denied.secret_place",
                f"the key {name} signs a {sign.of} ({wanted}), not this {what.of} {what.method}",
            )
        self._check_clock(what.request, sign)
        secret = self._keys.get(use.secret or "")
        key = self._key(name, sign, secret)
        now = self._clock.wall_ms()
        nonce, unit = 0, sign.nonce_unit
        if unit is not None:
            nonce = self._nonces.next(use.secret or "", unit, now)
        making = _Making(self, what, now + sign.clock_offset_ms, nonce)
        (place,) = use.binding.places
        document = _without(what.document, place.pointer.tokens)
        document = _put(document, sign.puts, making)
        making.look(document)
        if sign.token is None:
            made = in_form(key.sign(making.joined(sign.parts)), sign.form).decode()
        else:
            issued = making.now_ms // 1000
            times = {"iat": issued, "nbf": issued, "exp": issued + sign.token.lifetime_s}
            claims = {claim: making.claim(value) for claim, value in sign.token.claims}
            header = {claim: making.claim(value) for claim, value in sign.token.header}
            made = key.token({**claims, **times}, header)
        where = Insertion(place.pointer, last="signature")
        if position(document, where, what.layout).literal:
            raise InsertionError("insert.place", f"no signature goes to {place.words}")
        text = (place.after or "") + made
        return Signed(
            insert_into(document, [where], lambda _: text),
            (str(place.pointer), *(str(put.at) for put in sign.puts)),
        )

    def secret_part(self, name: str, what: Signable) -> bytes:
        """Return the value of the plugin's secret `name`, as a part of what is signed."""
        decision = self._authority.signed_secret(
            name, connection=what.connection, request=what.request
        ).require()
        return self._keys.get(decision.secret or "").reveal().encode("utf-8", "surrogatepass")

    def check_size(self, size: int) -> None:
        """Raise SignatureError (`signature.too_large`) where `size` bytes are too much to sign."""
        if size > self._limits.signed_bytes:
            raise SignatureError(
                "signature.too_large", f"over {self._limits.signed_bytes} bytes would be signed"
            )

    def _key(self, name: str, sign: Signature, secret: Value) -> SigningKey:
        known = self._read.get((name, sign))
        # Secrets compare by identity, so that each rotation is noticed.
        if known is None or known[0] is not secret:
            known = secret, signing_key(secret.reveal(), sign.key, sign.algorithm)
            self._read[name, sign] = known
            for spelling in other_spellings(secret.reveal(), sign.key):
                self._hide(spelling)
        return known[1]

    def _check_clock(self, request: str | None, sign: Signature) -> None:
        skew = self._skews.get(request or "")
        if skew is None:
            return
        away = skew - sign.clock_offset_ms
        if abs(away) > self._limits.signature_skew_ms:
            # Forgotten: the next one is sent again, and its answer tells the time anew.
            del self._skews[request or ""]
            raise SignatureError(
                "signature.clock",
                f"the server's clock is {away // 1000} s away from what its signatures would say",
                hint="set the clock of this machine, or declare clock_offset_ms in [secrets.sign]",
                skew_ms=away,
            )


class _Making:
    """One signature in the making: one moment, one nonce, one document."""

    def __init__(self, signer: Signer, what: Signable, now_ms: int, nonce: int) -> None:
        self.now_ms = now_ms
        self._signer = signer
        self._what = what
        self._nonce = nonce
        self._document: Json = None
        self._sent: Sent | None = None

    def look(self, document: Json) -> None:
        """Take `document` for what is sent but for the signature."""
        self._document = document
        self._sent = None if self._what.sent is None else self._what.sent(document)

    def joined(self, parts: tuple[Part, ...]) -> bytes:
        """Return the parts, one after the other."""
        made: list[bytes] = []
        size = 0
        for part in parts:
            made.append(self._bytes(part))
            size += len(made[-1])
            self._signer.check_size(size)
        return b"".join(made)

    def claim(self, value: Claim) -> str | int | bool:
        """Return a claim of a JWT."""
        if not isinstance(value, tuple):
            return value
        try:
            return self.joined(value).decode()
        except UnicodeDecodeError:
            raise SignatureError("signature.value", "a claim is no text") from None

    def time(self, unit: str) -> str | int:
        """Return the moment in `unit`; text for `iso`."""
        if unit == "iso":
            return rfc3339_ms(self.now_ms)
        return self.now_ms * _PER_S[unit] // 1000

    def number(self, part: Part) -> int:
        """Return the number that a timestamp or nonce is."""
        return self._nonce if part.kind is PartKind.NONCE else int(self.time(part.text))

    def _bytes(self, part: Part) -> bytes:
        kind = part.kind
        if kind is PartKind.LITERAL:
            return part.text.encode()
        if kind is PartKind.TIMESTAMP:
            return str(self.time(part.text)).encode()
        if kind is PartKind.NONCE:
            return str(self._nonce).encode()
        if kind is PartKind.SECRET:
            return self._signer.secret_part(part.text, self._what)
        if kind is PartKind.SENT:
            assert self._sent is not None, "only requests and handshakes have parts that are sent"
            return self._sent.part(part.text)
        if kind is PartKind.VALUE:
            return self._value(part)
        return in_form(digest(kind.value, self.joined(part.parts)), part.form)

    def _value(self, part: Part) -> bytes:
        try:
            value = value_at(self._document, JsonPointer.parse(part.text))
        except LookupError:
            raise SignatureError(
                "signature.value", f"the message has nothing at {part.text}, which is signed"
            ) from None
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if value is None or isinstance(value, dict | list):
            raise SignatureError("signature.value", f"what is signed at {part.text} is no text")
        return msgspec.json.encode(value)


def _put(document: Json, puts: tuple[Put, ...], making: _Making) -> Json:
    if not puts:
        return document
    values = {
        put.at: making.number(put.parts[0]) if put.number else making.joined(put.parts).decode()
        for put in puts
    }
    return insert_into(
        document, [Insertion(put.at, last="put") for put in puts], lambda one: values[one.at]
    )


def _without(document: Json, tokens: tuple[str, ...]) -> Json:
    """Return `document` without what stands at `tokens`: no placeholder is signed."""
    if not isinstance(document, dict) or tokens[0] not in document:
        return document
    if len(tokens) == 1:
        return {key: value for key, value in document.items() if key != tokens[0]}
    return {**document, tokens[0]: _without(document[tokens[0]], tokens[1:])}
