"""What helps when a provider refuses a request: a shorter history, or one text less.

Sans I/O: how much of a conversation to sum up next, and which texts to leave out next.
"""

from collections.abc import Sequence

import msgspec

from yoi.workers import items as it
from yoi.workers.context import Heard, ModelInput, ToolOutputs
from yoi.workers.items import Stored

PROBES = 7
"""Requests that the search for one text may cost, after the refused one was asked again."""


def size(request: ModelInput) -> int:
    """Return about how large `request` is, in bytes."""
    return len(msgspec.json.encode(request))


def covers(heard: Sequence[Heard], room: int, keep: int) -> int:
    """Return how many of the oldest messages to sum up at once, or 0 where that can not help.

    They fit `room` bytes where any do, and leave the `keep` newest as they are where that can be.
    """
    least = (
        2 if heard and heard[0].is_summary else 1
    )  # a summary alone is not made shorter by summing it up
    if len(heard) < least:
        return 0
    most = max(least, len(heard) - keep)
    count, used = 0, 0
    for one in heard[:most]:
        used += len(msgspec.json.encode(one.message))
        if used > room and count >= least:
            break
        count += 1
    # Results stay with their calls.
    while count < len(heard) and isinstance(heard[count].message, ToolOutputs):
        count += 1
    return count


def largest(heard: Sequence[Heard], window: Sequence[Stored], aside: set[int]) -> int | None:
    """Return the place of the largest text in `heard` that can be set aside."""
    texts = {place for one in heard for place in one.places} - aside
    found = [s for s in window if s.seq in texts and _from_somebody(s.item)]
    return max(found, key=lambda s: len(it.encode_item(s.item))).seq if found else None


def suspects(heard: Sequence[Heard], window: Sequence[Stored], aside: set[int]) -> tuple[int, ...]:
    """Return the places of texts that a provider may refuse: from outside first, newest first."""
    texts = {place for one in heard for place in one.places} - aside
    found = [s for s in window if s.seq in texts and _from_somebody(s.item)]
    found.sort(key=lambda s: (isinstance(s.item, it.UserInput), -s.seq))
    return tuple(s.seq for s in found)


def _from_somebody(item: it.AnyItem) -> bool:
    return isinstance(item, it.UserInput | it.SystemItem) or (
        isinstance(item, it.ToolResult) and item.outcome in ("returned", "failed")
    )


class Search:
    """Looks for the text that a provider refuses, in at most `PROBES` requests.

    `leave_out` is what to leave out of the next request; tell how that went with `went`. When
    `over`, `found` is the smallest set whose absence was answered, empty where there is none.
    """

    def __init__(self, places: Sequence[int]) -> None:
        self.found: tuple[int, ...] = ()
        self.leave_out: tuple[int, ...] = tuple(places[:1])  # most often it is the newest
        self.over = not places
        self._believed: tuple[int, ...] = tuple(places)
        """Where the text must be, unless there are several."""
        self._probes = 1

    def went(self, *, answered: bool) -> None:
        """Take in how the request without `leave_out` went, and choose the next."""
        if answered:
            self.found = self._believed = self.leave_out
        elif self.leave_out == self._believed:
            self.over = True  # there are several, or none
            return
        elif self.found:
            self._believed = self._believed[len(self.leave_out) :]
        left = PROBES - self._probes
        if not left or (len(self._believed) == 1 and self._believed == self.found):
            self.over = True
            return
        self._probes += 1
        sure = self._believed == self.found
        if not self.found or len(self._believed) == 1 or (left == 1 and not sure):
            self.leave_out = self._believed
        else:
            self.leave_out = self._believed[: (len(self._believed) + 1) // 2]
