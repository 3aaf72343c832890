"""Knows the frames again that a gateway sends anew because nothing acknowledged them.

They come with new ids of the host's, so the gateway's own id is looked for where the manifest says
(`dedupe`). Which ids are known is a list of (id, when it last came), bounded in number and age.
"""

from collections.abc import Iterable, Mapping

from yoi.core.frame_key import canonical_key
from yoi.core.frame_search import PointerReader
from yoi.limits import LIMITS, Limits
from yoi.permissions.connection_settings import Dedupe
from yoi.protocol.ingress import QueuedEvent, TextFrame


class SeenKeys:
    """The ids of one ingress. Times are wall milliseconds: they outlive the host."""

    def __init__(self, rule: Dedupe, limits: Limits = LIMITS) -> None:
        self._rule = rule
        self._reader = PointerReader([rule.at], limits)
        self._seen: dict[str, int] = {}
        """When each last came; that which came last stands last."""

    def __len__(self) -> int:
        return len(self._seen)

    def key(self, event: QueuedEvent) -> str | None:
        """Return the gateway's id of `event`; None where it has none, or costs too much to find."""
        if not isinstance(event, TextFrame):
            return None
        found = self._reader.read(event.text)
        return None if found is None else canonical_key(found.get(self._rule.at))

    def knows(self, key: str, now_ms: int) -> bool:
        """Return whether `key` came before, not too long ago."""
        at_ms = self._seen.get(key)
        return at_ms is not None and now_ms - at_ms <= self._rule.keep_ms

    def add(self, key: str, at_ms: int) -> None:
        """Know `key`, which came `at_ms`; of too many, the one goes that came longest ago."""
        self._seen.pop(key, None)
        self._seen[key] = at_ms
        if len(self._seen) > self._rule.max:
            del self._seen[next(iter(self._seen))]

    def forget(self, key: str) -> None:
        """Let `key` be new when it comes again."""
        self._seen.pop(key, None)


class Repeats:
    """Marks the repeats among the events of a service. `rules` has the ingresses with `dedupe`."""

    def __init__(self, rules: Mapping[str, Dedupe], limits: Limits = LIMITS) -> None:
        self._rules = rules
        self._limits = limits
        self._seen = {name: SeenKeys(rule, limits) for name, rule in rules.items()}

    def __bool__(self) -> bool:
        return bool(self._seen)

    def mark(self, event: QueuedEvent, now_ms: int) -> str | None:
        """Mark `event` where it is a repeat; return the key by which it is known, if any."""
        seen = self._seen.get(event.ingress)
        if seen is None or not isinstance(event, TextFrame):
            return None
        key = seen.key(event)
        if key is not None and seen.knows(key, now_ms):
            event.duplicate = True
        return key

    def accepted(self, ingress: str, key: str, at_ms: int) -> None:
        """Know `key` from now on: an event with it was accepted."""
        self._seen[ingress].add(key, at_ms)

    def lost(self, events: Iterable[QueuedEvent]) -> None:
        """Let `events`, which were never handled, be new when they are sent again."""
        for event in events:
            seen = self._seen.get(event.ingress)
            if seen is not None and isinstance(event, TextFrame) and not event.duplicate:
                key = seen.key(event)
                if key is not None:
                    seen.forget(key)

    def restore(self, ingress: str, keys: Iterable[tuple[str, int]]) -> None:
        """Know exactly `keys` of `ingress`, with when each last came, oldest first."""
        rule = self._rules.get(ingress)
        if rule is not None:
            self._seen[ingress] = made = SeenKeys(rule, self._limits)
            for key, at_ms in keys:
                made.add(key, at_ms)
