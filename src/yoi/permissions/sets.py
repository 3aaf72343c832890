"""`PermissionSet`: the one shape of what a manifest asks for and what a grant gives."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from yoi.errors import PermissionMalformed
from yoi.limits import LIMITS
from yoi.permissions import shapes
from yoi.permissions.permission import Permission
from yoi.permissions.targets import TargetKind, UrlTarget

_HASH_CONTEXT = b"yoi-permission-set-v1\0"


@dataclass(frozen=True, slots=True)
class PermissionSet:
    """Permissions and URL targets, each at most `manifest_list_items`, in the order written."""

    permissions: tuple[Permission, ...] = ()
    websocket: tuple[UrlTarget, ...] = ()
    request: tuple[UrlTarget, ...] = ()

    @classmethod
    def parse(
        cls,
        permissions: object = (),
        websocket: object = (),
        request: object = (),
        at: str = "",
    ) -> "PermissionSet":
        """Return the set in three lists of tables; what is written twice counts once.

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
            _targets(request, TargetKind.REQUEST, before),
        )

    @classmethod
    def of(
        cls, permissions: "tuple[Permission, ...]" = (), targets: "tuple[UrlTarget, ...]" = ()
    ) -> "PermissionSet":
        """Return the set of these values, each once, with the targets sorted into their lists."""
        return cls(
            tuple(dict.fromkeys(permissions)),
            tuple(dict.fromkeys(t for t in targets if t.kind is TargetKind.WEBSOCKET)),
            tuple(dict.fromkeys(t for t in targets if t.kind is TargetKind.REQUEST)),
        )

    def targets(self, kind: TargetKind) -> tuple[UrlTarget, ...]:
        """Return the targets of one kind."""
        return self.websocket if kind is TargetKind.WEBSOCKET else self.request

    def has(self, wanted: Permission) -> bool:
        """Return whether a permission here is, or holds, `wanted`."""
        return any(mine.covers(wanted) for mine in self.permissions)

    def to_tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return TOML-able lists under `permissions`, `websocket` and `request`."""
        return {
            "permissions": [one.to_table() for one in self.permissions],
            "websocket": [one.to_table() for one in self.websocket],
            "request": [one.to_table() for one in self.request],
        }

    @property
    def empty(self) -> bool:
        """Whether nothing at all is asked for or given."""
        return not (self.permissions or self.websocket or self.request)


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


def _rows(value: object, at: str) -> list[tuple[Any, str]]:
    rows = shapes.items(value, LIMITS.manifest_list_items, at, _malformed)
    return [(row, f"{at}[{index}]") for index, row in enumerate(rows)]


def _malformed(message: str, at: str) -> PermissionMalformed:
    return PermissionMalformed("permission.malformed", message, at=at)
