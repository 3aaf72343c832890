"""`PermissionSet`: the one shape of what a manifest asks for and what a grant gives."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from yoi.errors import PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import shapes
from yoi.permissions.permission import Permission
from yoi.permissions.secrets import SecretUse
from yoi.permissions.targets import TargetKind, UrlTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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

    @classmethod
    def parse(
        cls,
        permissions: object = (),
        websocket: object = (),
        request: object = (),
        secrets: object = (),
        at: str = "",
    ) -> "PermissionSet":
        """Return the set in four lists of tables; what is written twice counts once.

        `at` is put before each place. Raises `PermissionMalformed` (`permission.malformed`) for
        permissions and lists, `UrlRefused` (`url.target`) for targets; `fields["at"]` says where.
        """
        before = f"{at}." if at else ""
        return cls(
            tuple(
                dict.fromkeys(
                    Permission.parse(row, place)
                    for row, place in _rows(permissions, f"{before}permissions")
                )
            ),
            _targets(websocket, TargetKind.WEBSOCKET, before),
            _named_once(_targets(request, TargetKind.REQUEST, before), f"{before}request"),
            _secrets(secrets, f"{before}secrets"),
        )

    @classmethod
    def of(
        cls,
        permissions: "tuple[Permission, ...]" = (),
        targets: "tuple[UrlTarget, ...]" = (),
        secrets: "tuple[SecretUse, ...]" = (),
    ) -> "PermissionSet":
        """Return the set of these values, each once, with the targets sorted into their lists."""
        return cls(
            tuple(dict.fromkeys(permissions)),
            tuple(dict.fromkeys(t for t in targets if t.kind is TargetKind.WEBSOCKET)),
            _named_once(
                tuple(dict.fromkeys(t for t in targets if t.kind is TargetKind.REQUEST)), "request"
            ),
            _checked(dict.fromkeys(secrets), "secrets"),
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

    def to_tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return TOML-able lists under `permissions`, `websocket`, `request` and `secrets`."""
        return {
            "permissions": [one.to_table() for one in self.permissions],
            "websocket": [one.to_table() for one in self.websocket],
            "request": [one.to_table() for one in self.request],
            "secrets": [one.to_table() for one in self.secrets],
        }

    @property
    def empty(self) -> bool:
        """Whether nothing at all is asked for or given."""
        return not (self.permissions or self.websocket or self.request or self.secrets)


def permission_hash(permissions: PermissionSet) -> str:
    """Return `sha256:` and hex over the canonical set: order and spelling do not change it."""
    lists = {
        name: sorted(json.dumps(row, sort_keys=True) for row in rows)
        for name, rows in permissions.to_tables().items()
    }
    canonical = json.dumps(lists, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(_HASH_CONTEXT + canonical.encode()).hexdigest()


def _targets(value: object, kind: TargetKind, before: str) -> tuple[UrlTarget, ...]:
    return tuple(
        dict.fromkeys(
            UrlTarget.parse(row, kind, place) for row, place in _rows(value, f"{before}{kind}")
        )
    )


def _named_once(targets: tuple[UrlTarget, ...], at: str) -> tuple[UrlTarget, ...]:
    names = [one.name for one in targets if one.name is not None]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _malformed(f"{at}: two targets are named {twice!r}", at)
    return targets


def _secrets(value: object, at: str) -> tuple[SecretUse, ...]:
    return _checked((SecretUse.parse(row, place) for row, place in _rows(value, at)), at)


def _checked(uses: "Iterable[SecretUse]", at: str) -> tuple[SecretUse, ...]:
    found: dict[tuple[str, str | None, str | None], SecretUse] = {}
    stored: dict[str, str | None] = {}
    for index, use in enumerate(uses):
        if use.key in found:
            raise _malformed(
                f"{at}[{index}]: {use.name!r} stands twice for {use.binding.goal}; "
                "write all its places in one entry",
                f"{at}[{index}]",
            )
        if stored.setdefault(use.name, use.secret) != use.secret:
            raise _malformed(
                f"{at}[{index}].secret: {use.name!r} already means another secret of the store",
                f"{at}[{index}].secret",
            )
        found[use.key] = use
    return tuple(found.values())


def _rows(value: object, at: str) -> list[tuple[Any, str]]:
    rows = shapes.items(value, LIMITS.manifest_list_items, at, _malformed)
    return [(row, f"{at}[{index}]") for index, row in enumerate(rows)]


def _malformed(message: str, at: str) -> PermissionMalformed:
    return PermissionMalformed("permission.malformed", message, at=at)
