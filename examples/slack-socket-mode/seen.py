"""A bounded memory of what was dealt with."""

from collections import OrderedDict


class Seen:
    """Remembers the latest `most` keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str) -> None:
        """Remember `key`; forget the oldest beyond the bound."""
        self._keys[key] = None
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)
