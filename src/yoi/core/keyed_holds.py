"""Which events wait because one with the same order key waits for its next attempt."""

from collections.abc import Mapping

from yoi.core.frame_key import frame_key
from yoi.permissions import JsonPointer
from yoi.protocol.ingress import IngressEvent, QueuedEvent


class KeyedHolds:
    """See the module docstring. `pointers` says where the key of an ingress's frames stands.

    Events are known by `id()`: they stay in the queue while they are held.
    """

    def __init__(self, pointers: Mapping[str, JsonPointer]) -> None:
        self._pointers = pointers
        self.held: dict[int, tuple[QueuedEvent, str]] = {}
        """The events that wait for their next attempt, with their keys."""
        self.keys: dict[int, str | None] = {}
        """Keys of waiting frames: what was looked at while something is held."""

    def hold(self, event: QueuedEvent) -> bool:
        """Hold `event` and those of its key; return False where it has none."""
        key = self._key(event)
        if key is None:
            return False
        self.held[id(event)] = event, key
        return True

    def release(self, event: QueuedEvent) -> bool:
        """Hold `event` no more; return whether it was held."""
        if self.held.pop(id(event), None) is None:
            return False
        if not self.held:
            self.keys.clear()
        return True

    def must_wait(self, event: QueuedEvent, closed: set[str | None]) -> bool:
        """Return whether `event` may not pass what is held before it.

        `closed` has the keys of its ingress that wait, None for everything; it grows.
        """
        held = self.held.get(id(event))
        if held is not None:
            closed.add(held[1])
            return True
        if not closed:
            return False
        key = self._key(event)
        if key is None:
            closed.add(None)
        return None in closed or key in closed

    def clear(self) -> None:
        """Hold nothing any more."""
        self.held.clear()

    def use(self, pointers: Mapping[str, JsonPointer]) -> list[str]:
        """Find keys at these places from now on; return the ingresses that have another order.

        Nothing of those is held any more.
        """
        names = {*pointers, *self._pointers}
        changed = [one for one in names if pointers.get(one) != self._pointers.get(one)]
        self._pointers = pointers
        self.keys.clear()
        for key, (event, _) in tuple(self.held.items()):
            if event.ingress in changed:
                del self.held[key]
        return changed

    def _key(self, event: QueuedEvent) -> str | None:
        at = self._pointers.get(event.ingress)
        if at is None or isinstance(event, IngressEvent):
            return None
        known = self.keys
        if id(event) not in known:
            known[id(event)] = frame_key(event, at)
        return known[id(event)]
