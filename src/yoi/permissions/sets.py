"""`PermissionSet`: the one shape of what a manifest asks for and what a grant gives."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from yoi.errors import PermissionMalformed, UrlRefused
from yoi.limits import LIMITS
from yoi.permissions.permission import PERMISSION, Permission, malformed
from yoi.permissions.secrets import SECRET, SecretUse
from yoi.permissions.targets import TARGETS, TargetKind, UrlTarget, refused
from yoi.toml import Bad, Fault, Faults, Key, ListOf, Row, Rows, TableSpec, Whole, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_HASH_CONTEXT = b"yoi-permission-set-v1\0"


@dataclass(frozen=True, slots=True)
class PermissionSet:
    """Permissions, URL targets and secret uses, each at most `manifest_list_items`, as written.

    A request target's name stands once, a secret use once per name and goal, and one name of a
    secret means one secret of the store.
    """

    permissions: tuple[Permission, ...] = ()
    websocket: tuple[UrlTarget, ...] = ()
    request: tuple[UrlTarget, ...] = ()
    secrets: tuple[SecretUse, ...] = ()
    memory_bytes: int | None = None
    """Memory of the guest other than `guest_memory_bytes`, which None stands for."""

    @classmethod
    def parse(
        cls,
        permissions: object = (),
        websocket: object = (),
        request: object = (),
        secrets: object = (),
        at: str = "",
        memory_bytes: object = LIMITS.guest_memory_bytes,
    ) -> "PermissionSet":
        """Return the set in four lists of tables; what is written twice counts once.

        `at` is put before each path. Raises `PermissionMalformed` (`permission.malformed`) for
        permissions and lists, `UrlRefused` (`url.target`) for targets; `fields["at"]` says where.
        """
        faults = Faults()
        lists = {
            "permissions": permissions,
            "websocket": websocket,
            "request": request,
            "secrets": secrets,
            "memory_bytes": memory_bytes,
        }
        read = _SET.read(lists, at, faults)
        if isinstance(read, Bad):
            raise joined([_error(fault) for fault in faults], faults.count)
        return read

    @classmethod
    def of(
        cls,
        permissions: "tuple[Permission, ...]" = (),
        targets: "tuple[UrlTarget, ...]" = (),
        secrets: "tuple[SecretUse, ...]" = (),
        memory_bytes: int | None = None,
    ) -> "PermissionSet":
        """Return the set of these values, each once, with the targets sorted into their lists."""
        return cls(
            tuple(dict.fromkeys(permissions)),
            tuple(dict.fromkeys(t for t in targets if t.kind is TargetKind.WEBSOCKET)),
            tuple(dict.fromkeys(t for t in targets if t.kind is TargetKind.REQUEST)),
            tuple(dict.fromkeys(secrets)),
            None if memory_bytes is None else _own(memory_bytes),
        )

    def granting(self, chosen: "Mapping[str, str]") -> "PermissionSet":
        """Return the grant of all that is asked for here, with the secrets that were chosen.

        `chosen` has the store's name for a plugin's name of a secret; the others are left out, for
        no secret is granted unless somebody says which one.
        """
        return replace(
            self,
            secrets=tuple(
                use.using(chosen[use.name]) for use in self.secrets if use.name in chosen
            ),
        )

    def targets(self, kind: TargetKind) -> tuple[UrlTarget, ...]:
        """Return the targets of one kind."""
        return self.websocket if kind is TargetKind.WEBSOCKET else self.request

    def request_named(self, name: str) -> UrlTarget | None:
        """Return the request target called `name`, or None."""
        return next((one for one in self.request if one.name == name), None)

    @property
    def secret_names(self) -> frozenset[str]:
        """Return what the granted secrets are called in the operator's store."""
        return frozenset(use.secret for use in self.secrets if use.secret is not None)

    def secret_use(self, key: "tuple[str, str | None, str | None]") -> SecretUse | None:
        """Return the use with this name, connection and request target, or None."""
        return next((one for one in self.secrets if one.key == key), None)

    def has(self, wanted: Permission) -> bool:
        """Return whether a permission here is, or holds, `wanted`."""
        return any(mine.covers(wanted) for mine in self.permissions)

    def covers(self, other: "PermissionSet") -> bool:
        """Return whether each thing in `other` is held by one thing here."""
        return other.beyond(self).empty

    def beyond(self, other: "PermissionSet") -> "PermissionSet":
        """Return what is here and not held by one thing in `other`."""
        return PermissionSet(
            _beyond(self.permissions, other.permissions),
            _beyond(self.websocket, other.websocket),
            _beyond(self.request, other.request),
            _beyond(self.secrets, other.secrets),
            self.memory if self.memory > other.memory else None,
        )

    def within(self, other: "PermissionSet") -> "PermissionSet":
        """Return what both sets give, one of them as written.

        Two things that overlap, neither holding the other, give nothing: that is less than both.
        """
        return PermissionSet(
            _within(self.permissions, other.permissions),
            _within(self.websocket, other.websocket),
            _within(self.request, other.request),
            _within(self.secrets, other.secrets),
            _own(min(self.memory, other.memory)),
        )

    def to_tables(self) -> dict[str, Any]:
        """Return TOML-able lists under `permissions`, `websocket`, `request` and `secrets`.

        `memory_bytes` is there when it is not the default.
        """
        memory = {} if self.memory_bytes is None else {"memory_bytes": self.memory_bytes}
        return {
            **memory,
            "permissions": [one.to_table() for one in self.permissions],
            "websocket": [one.to_table() for one in self.websocket],
            "request": [one.to_table() for one in self.request],
            "secrets": [one.to_table() for one in self.secrets],
        }

    @property
    def memory(self) -> int:
        """The memory of the guest in bytes; the smaller of both sides' holds."""
        return LIMITS.guest_memory_bytes if self.memory_bytes is None else self.memory_bytes

    @property
    def empty(self) -> bool:
        """Whether nothing at all is asked for or given."""
        lists = (self.permissions, self.websocket, self.request, self.secrets)
        return not any(lists) and self.memory_bytes is None


def permission_hash(permissions: PermissionSet) -> str:
    """Return `sha256:` and hex over the canonical set: order and spelling do not change it."""
    lists = {
        name: sorted(json.dumps(row, sort_keys=True) for row in rows)
        if isinstance(rows, list)
        else rows
        for name, rows in permissions.to_tables().items()
    }
    canonical = json.dumps(lists, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(_HASH_CONTEXT + canonical.encode()).hexdigest()


class _Holds(Protocol):
    def covers(self, other: Any, /) -> bool: ...


_Thing = TypeVar("_Thing", bound=_Holds)


def _beyond(mine: tuple[_Thing, ...], theirs: tuple[_Thing, ...]) -> tuple[_Thing, ...]:
    return tuple(one for one in mine if not any(other.covers(one) for other in theirs))


def _within(mine: tuple[_Thing, ...], theirs: tuple[_Thing, ...]) -> tuple[_Thing, ...]:
    held = [one for one in mine if any(other.covers(one) for other in theirs)]
    held += [one for one in theirs if any(other.covers(one) for other in mine)]
    made: list[_Thing] = []
    for one in held:
        # What means the same is there once, in the words of the first set.
        if not any(other.covers(one) for other in made):
            made = [other for other in made if not one.covers(other)]
            made.append(one)
    return tuple(made)


def set_keys(secret: TableSpec[SecretUse]) -> tuple[Key, ...]:
    """Return the four lists of a manifest or a grant, whose secrets are `secret` tables."""
    return (
        Key(
            "permissions",
            ListOf(PERMISSION, LIMITS.manifest_list_items),
            "what is allowed beside URLs, see [permissions](permissions.md)",
            default=(),
        ),
        Key(
            "websocket",
            Rows(TARGETS[TargetKind.WEBSOCKET]),
            "where WebSockets may be opened, beside those of connections",
            default=(),
        ),
        Key(
            "request", Rows(TARGETS[TargetKind.REQUEST]), "what may be asked over HTTP", default=()
        ),
        Key("secrets", Rows(secret), "which secret goes where", default=()),
    )


MEMORY = Key(
    "memory_bytes",
    Whole(LIMITS.guest_memory_min_bytes, LIMITS.guest_memory_max_bytes),
    "the most memory that the plugin gets, if its manifest asks for it",
    default=LIMITS.guest_memory_bytes,
)


def set_of(row: Row) -> PermissionSet:
    """Return what the lists of a row hold, each entry once; a faulty list counts as empty.

    Adds a fault where two entries contradict each other.
    """
    lists = {key: row.get(key, ()) for key in _LISTS}
    requests = tuple(dict.fromkeys(lists["request"]))
    twice = _named_twice(requests)
    if twice is not None:
        row.fault("duplicate", "request", f"has two targets that are named {twice!r}")
    for at, problem in _clashes(lists["secrets"]):
        row.fault("duplicate", f"secrets{at}", problem)
    return PermissionSet(
        tuple(dict.fromkeys(lists["permissions"])),
        tuple(dict.fromkeys(lists["websocket"])),
        requests,
        tuple(dict.fromkeys(lists["secrets"])),
        _own(row.get("memory_bytes", LIMITS.guest_memory_bytes)),
    )


def _own(memory_bytes: int) -> int | None:
    return None if memory_bytes == LIMITS.guest_memory_bytes else memory_bytes


_LISTS = ("permissions", "websocket", "request", "secrets")
_SET = TableSpec((*set_keys(SECRET), MEMORY), set_of)


def _error(fault: Fault) -> PermissionMalformed | UrlRefused:
    """Return `fault` as the error of the list it is in: of targets, or of permissions."""
    target = any(f"{key}[" in fault.at for key in ("websocket", "request"))
    return refused(fault) if target else malformed(fault)


def _named_twice(targets: tuple[UrlTarget, ...]) -> str | None:
    names = [one.name for one in targets if one.name is not None]
    return next((name for name in names if names.count(name) > 1), None)


def _clashes(uses: "Iterable[SecretUse]") -> "Iterator[tuple[str, str]]":
    """Yield where a use contradicts an earlier one, and how."""
    found: set[tuple[str, str | None, str | None]] = set()
    stored: dict[str, str | None] = {}
    presented: set[tuple[str | None, str | None]] = set()
    for index, use in enumerate(uses):
        if use.key in found:
            yield (
                f"[{index}]",
                f"names {use.name!r} twice for {use.binding.goal}; "
                "write all its positions in one entry",
            )
        elif stored.setdefault(use.name, use.secret) != use.secret:
            yield (
                f"[{index}].secret",
                f"is another secret than {use.name!r} already means in this list",
            )
        elif use.binding.presented:
            if use.binding.bound_to in presented:
                yield f"[{index}]", f"is a second client certificate for {use.binding.goal}"
            presented.add(use.binding.bound_to)
        found.add(use.key)
