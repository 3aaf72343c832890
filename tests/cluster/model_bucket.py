"""What a bucket of NATS does, as measured; `test_model.py` checks it against a real one."""

from yoi.cluster.bucket import Entry, Taken


class ModelBucket:
    """One bucket. `at` is the servers' time; nothing here waits."""

    def __init__(self, made: str, ttl: float, at: float, first: int = 1) -> None:
        self.made, self.ttl, self.made_at = made, ttl, at
        self.written: list[tuple[float, Entry]] = []
        """Everything, oldest first."""
        self._next = first
        self._last: dict[str, int] = {}
        """Where in `written` each key stands."""
        self._late: list[float] = []

    def put(self, key: str, data: bytes, expected: int, at: float, late: float = 0.0) -> int:
        """Write `key`; it lapses `late` later than it has to. Raises Taken."""
        found = self.last(key, at)
        if (0 if found is None else found.revision) != expected:
            raise Taken(key)
        self._last[key] = len(self.written)
        self.written.append((at, Entry(key, self._next, data)))
        self._late.append(late)
        self._next += 1
        return self._next - 1

    def last(self, key: str, at: float) -> Entry | None:
        """Return the key as the leader knows it."""
        found = self._last.get(key)
        return None if found is None or self._lapsed(found, at) else self.written[found][1]

    def since(self, revision: int, at: float, behind: float = 0.0) -> list[Entry]:
        """Return what was written after `revision`, as a copy knows it that is so far behind."""
        last = self._last
        if behind:
            seen = [one for one, (wrote, _) in enumerate(self.written) if wrote <= at - behind]
            last = {self.written[one][1].key: one for one in seen}
        return [
            self.written[one][1]
            for one in sorted(last.values())
            if self.written[one][1].revision > revision and not self._lapsed(one, at)
        ]

    def _lapsed(self, one: int, at: float) -> bool:
        return bool(self.ttl) and at >= self.written[one][0] + self.ttl + self._late[one]
