"""One order book: a snapshot, and the changes that follow it without a gap."""

from decimal import Decimal, InvalidOperation
from typing import Any

MOST_WAITING = 1_000
"""Changes kept while the snapshot is on its way; then the oldest are of no use."""
MOST_LEVELS = 5_000


class Book:
    """Whole, or not there: a book that lacks a change has no prices."""

    def __init__(self) -> None:
        self.last = 0
        """The number of the last change in it."""
        self.whole = False
        self._bids: dict[Decimal, Decimal] = {}
        self._asks: dict[Decimal, Decimal] = {}
        self._waiting: list[dict[str, Any]] = []

    def lost(self) -> None:
        """Forget everything: a change is missing."""
        self.last, self.whole = 0, False
        self._bids, self._asks, self._waiting = {}, {}, []

    def changed(self, change: dict[str, Any]) -> bool:
        """Take a change; return False where a new snapshot has to be asked for."""
        if not self.whole:
            self._waiting = [*self._waiting[-MOST_WAITING:], change]
            return True
        if change["u"] <= self.last:
            return True
        if change["U"] > self.last + 1:
            self.lost()
            self._waiting = [change]
            return False
        self._apply(change)
        return True

    def begun(self, snapshot: dict[str, Any]) -> bool:
        """Take a snapshot and what came meanwhile; False where it is older than all of that."""
        last = snapshot["lastUpdateId"]
        newer = [change for change in self._waiting if change["u"] > last]
        if newer and newer[0]["U"] > last + 1:
            return False
        self.last, self.whole, self._waiting = last, True, []
        self._bids, self._asks = {}, {}
        self._put(self._bids, snapshot["bids"])
        self._put(self._asks, snapshot["asks"])
        return all(self.changed(change) for change in newer)

    def best(self) -> tuple[str, str] | None:
        """Return the best bid and ask as text; None while the book is not whole."""
        if not self.whole or not self._bids or not self._asks:
            return None
        return f"{max(self._bids):f}", f"{min(self._asks):f}"

    def _apply(self, change: dict[str, Any]) -> None:
        self._put(self._bids, change["b"])
        self._put(self._asks, change["a"])
        self.last = change["u"]

    @staticmethod
    def _put(side: dict[Decimal, Decimal], levels: list[list[str]]) -> None:
        for price, quantity in levels:
            if (amount := Decimal(quantity)) > 0:
                side[Decimal(price)] = amount
            else:
                side.pop(Decimal(price), None)
        if len(side) > MOST_LEVELS:
            raise ValueError("the exchange sends more price levels than a book holds")


def is_change(message: dict[str, Any]) -> bool:
    """Return whether `message` is a change of an order book that can be read."""
    if message.get("e") != "depthUpdate" or not isinstance(message.get("s"), str):
        return False
    numbers = all(type(message.get(key)) is int for key in ("U", "u"))
    return numbers and all(_levels(message.get(key)) for key in ("b", "a"))


def is_snapshot(message: Any) -> bool:
    """Return whether `message` is a snapshot of an order book that can be read."""
    if not isinstance(message, dict) or type(message.get("lastUpdateId")) is not int:
        return False
    return all(_levels(message.get(key)) for key in ("bids", "asks"))


def _levels(value: Any) -> bool:
    try:
        return isinstance(value, list) and all(
            Decimal(price).is_finite() and Decimal(amount).is_finite() for price, amount in value
        )
    except (InvalidOperation, TypeError, ValueError):
        return False
