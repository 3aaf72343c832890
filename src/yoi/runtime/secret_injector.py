"""What one service may have put into its messages, resolved: secrets, captured and last values.

The values pass through here on their way out. What the plugin wrote, with its placeholders, is what
logs, events and journals see; and where a server gives a value back, it is masked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from yoi.connections.client_certificate import ClientCertificate
from yoi.core.captures import Captured, HandleTable
from yoi.core.insertion import (
    Insertion,
    Layout,
    insert_into,
    literal_text,
    parse_insertions,
    position,
)
from yoi.core.redaction import NOTHING, Masker, Value
from yoi.core.session_values import SessionValues
from yoi.errors import InsertionError, SecretError
from yoi.permissions import Authority
from yoi.permissions.places import Position
from yoi.permissions.secrets import CLIENT_CERTIFICATE
from yoi.runtime.echoes import Echoes
from yoi.runtime.signer import NonceSource, NoNonces, Signed, Signer
from yoi.types import Clock, SecretSource

Json = Any


class ServiceSecrets(SecretSource, Protocol):
    """The secrets of a service's workspace. On the loop: never blocks."""

    def get(self, name: str) -> Value:
        """Return the secret `name` of the operator's store; SecretError `secret.missing`."""
        ...


@dataclass(frozen=True, slots=True)
class Filled:
    """A document with everything in place. Its repr shows nothing of it."""

    document: Json
    places: tuple[str, ...]
    """The JSON pointers that were filled."""

    def __repr__(self) -> str:
        return f"<filled at {', '.join(self.places) or 'no place'}>"

    def with_signature(self, signed: Signed) -> "Filled":
        """Return what `signed` made of it, with the places of both."""
        return Filled(signed.document, (*self.places, *signed.places))


@dataclass(slots=True)
class _Standing:
    """What the versions of one plugin share: the authority in force, and what is masked."""

    authority: Authority
    signer: Signer
    echoes: Echoes


class SecretInjector:
    """See the module docstring. One per service; it belongs to the event loop."""

    def __init__(
        self,
        service: str,
        authority: Authority,
        secrets: ServiceSecrets,
        handles: HandleTable,
        clock: Clock,
        nonces: NonceSource | None = None,
    ) -> None:
        self._service = service
        signer = Signer(authority, secrets, clock, nonces or NoNonces(), self._remember)
        self._own = authority, signer
        self._standing = _Standing(*self._own, Echoes())
        self._secrets = secrets
        self._handles = handles
        self._clock = clock
        # The names of the secrets under the grants `_named`; asked for with each frame.
        self._named = authority.granted
        self._names = tuple(self._named.secret_names)

    def fill(
        self,
        document: Json,
        insert: tuple[Json, ...],
        layout: Layout = Layout.JSON,
        *,
        connection: str | None = None,
        request: str | None = None,
        values: Callable[[], SessionValues] | None = None,
    ) -> Filled:
        """Return `document` with each insertion done, for one connection or one request target.

        Every insertion is authorised first, for its place and goal; `values` returns what the
        session that the message leaves on knows. Raises PermissionDenied, InsertionError,
        SecretError or CaptureFailed; nothing is half done.
        """
        if not insert:
            return Filled(document, ())
        insertions = parse_insertions(insert)

        def lookup(insertion: Insertion) -> Json:
            where = position(document, insertion, layout)
            value = resolve(insertion, where)
            return literal_text(value, layout, insertion) if where.literal else value

        def resolve(insertion: Insertion, where: Position) -> Json:
            if insertion.secret is not None and insertion.at == CLIENT_CERTIFICATE:
                raise InsertionError(
                    "insert.place",
                    f"{insertion.at} is where the host presents a certificate: no command fills it",
                )
            if insertion.secret is not None:
                decision = self._standing.authority.secret(
                    insertion.secret, where, connection=connection, request=request
                ).require()
                found = self._secrets.get(decision.secret or insertion.secret)
                self._standing.echoes.remember(found.reveal())
                return found.reveal()
            if insertion.captured is not None:
                return self._captured(where, insertion.captured, connection, request)
            if where.literal or values is None:
                raise InsertionError(
                    "insert.place",
                    "last values and counters go into the JSON of a connection's messages only",
                )
            if insertion.last is not None:
                return values().last.get(insertion.last)
            return values().next_count()

        return Filled(
            insert_into(document, insertions, lookup), tuple(str(one.at) for one in insertions)
        )

    def client_certificate(
        self, *, connection: str | None = None, request: str | None = None
    ) -> ClientCertificate | None:
        """Return what is presented to the servers of one goal, or None. Raises PermissionDenied and
        SecretError.
        """
        decision = self._standing.authority.client_certificate(
            connection=connection, request=request
        )
        if decision is None:
            return None
        name = decision.require().secret or ""
        return ClientCertificate(name, self._secrets.get(name).reveal())

    @property
    def signer(self) -> Signer:
        """Return what signs for this service under the grants in force."""
        return self._standing.signer

    def masker(self) -> Masker:
        """Return what hides, as of now, what this service was granted, inserted or captured.

        It changes with each rotation and capture, so it is asked for with each frame; the same
        object while nothing has changed.
        """
        granted, echoes = self._standing.authority.granted, self._standing.echoes
        if granted is not self._named:
            self._named, self._names = granted, tuple(granted.secret_names)
        if not self._names:
            return echoes.masker(()) if echoes.any else NOTHING
        return echoes.masker(tuple([self._secrets.secret(name) for name in self._names]))

    def _remember(self, value: str) -> None:
        self._standing.echoes.remember(value)

    def hide(self, value: Captured) -> None:
        """Mask `value`, taken out of an answer, wherever it comes back from now on."""
        self._standing.echoes.remember_captured(value.reveal())

    def hand_over(self, to: "SecretInjector") -> None:
        """Let what was made with this be judged as what `to` makes; what one masks both mask."""
        self._standing.authority, self._standing.signer = to._own
        to._standing = self._standing

    def missing(self) -> list[str]:
        """Return the granted secrets that the operator's store does not have, by its names."""
        names = self._standing.authority.granted.secret_names
        return [name for name in sorted(names) if self._lacks(name)]

    def _lacks(self, name: str) -> bool:
        try:
            self._secrets.get(name)
        except SecretError as exc:
            return exc.code == "secret.missing"
        return False

    def opened_url(self, handle: str, connection: str) -> Captured:
        """Return the captured URL behind `handle`, for a dial of `connection`."""
        return self._handles.open_url(handle, self._service, connection, self._clock.monotonic())

    def keep(self, target: str, value: Captured) -> str:
        """Return a new handle for a value that was taken out of an answer of `target`."""
        return self._handles.issue(self._service, value, self._clock.monotonic(), target=target)

    def forget(self) -> None:
        """Drop every handle of this service."""
        self._handles.forget(self._service)

    def _captured(
        self, where: Position, handle: str, connection: str | None, request: str | None
    ) -> Json:
        target, value = self._handles.value(handle, self._service, self._clock.monotonic())
        self._standing.authority.captured(
            (target, value.name), where, connection=connection, request=request
        ).require()
        return value.reveal()
