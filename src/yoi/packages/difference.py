"""What changed between what was approved and what is asked for now."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from yoi.permissions import PermissionSet
from yoi.permissions.targets import in_words

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Difference:
    """Permissions and targets that are new, gone and the same; each as a set for the review."""

    added: PermissionSet
    removed: PermissionSet
    kept: PermissionSet

    @property
    def same(self) -> bool:
        """Return whether nothing is new and nothing is gone."""
        return self.added.empty and self.removed.empty

    def to_json(self) -> dict[str, Any]:
        """Return the labels of what is new, gone and the same."""
        return {"added": labels(self.added), "removed": labels(self.removed)}


def difference(old: PermissionSet, new: PermissionSet) -> Difference:
    """Return how `new` differs from `old`, entry by entry (widened: one gone, one new)."""

    def without(left: PermissionSet, right: PermissionSet) -> PermissionSet:
        return PermissionSet(
            _minus(left.permissions, right.permissions),
            _minus(left.websocket, right.websocket),
            _minus(left.request, right.request),
            _minus(left.secrets, right.secrets),
            left.memory_bytes if left.memory_bytes != right.memory_bytes else None,
        )

    added, removed = without(new, old), without(old, new)
    return Difference(added, removed, without(new, added))


def labels(permissions: PermissionSet) -> list[str]:
    """Return every permission and target as a person reads it."""
    return [
        *(one.label for one in permissions.permissions),
        *(f"websocket {one.label}" for one in permissions.websocket),
        *(f"request {one.label}" for one in permissions.request),
        *(f"secret {one.label}" for one in permissions.secrets),
        *([] if permissions.memory_bytes is None else [f"memory {in_words(permissions.memory)}"]),
    ]


def _minus(left: "Iterable[_T]", right: "Iterable[_T]") -> "tuple[_T, ...]":
    gone = set(right)
    return tuple(one for one in left if one not in gone)
