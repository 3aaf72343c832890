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


def suspects(
    heard: Sequence[Heard], window: Sequence[Stored], aside: set[int]
) -> tuple[tuple[int, ...], int]:
    """Return the places of texts that a provider may refuse, and how many of them are new to it.

    Texts that it has answered to before come last. In each part, texts from outside come before
    those of people, and newer ones before older ones.
    """
    answered = max(
        (s.seq for s in window if isinstance(s.item, it.Assistant) and s.item.finish == "complete"),
        default=0,
    )
    sent_at = {place: max(one.places) for one in heard for place in one.places}
    found = [
        s for s in window if s.seq in sent_at and s.seq not in aside and _from_somebody(s.item)
    ]
    found.sort(key=lambda s: (sent_at[s.seq] < answered, isinstance(s.item, it.UserInput), -s.seq))
    return tuple(s.seq for s in found), sum(sent_at[s.seq] >= answered for s in found)


def _from_somebody(item: it.AnyItem) -> bool:
    return isinstance(item, it.UserInput | it.SystemItem) or (
        isinstance(item, it.ToolResult) and item.outcome in ("returned", "failed")
    )


class Search:
    """Looks for the texts that a provider refuses, in at most `PROBES` requests.

    `leave_out` is what to leave out of the next request; tell how that went with `went`. When
    `over`, `found` is the smallest set whose absence was answered, empty where there is none.
    The first `fresh` of `places` are those that the provider has not answered to before.
    """

    def __init__(self, places: Sequence[int], fresh: int = 0) -> None:
        self.found: tuple[int, ...] = ()
        self.over = not places
        self._probes = 0
        self._wide = [tuple(places[:1]), tuple(places[:fresh]), tuple(places), tuple(places)]
        """What to try until something is answered; all of them twice, as faults may pass."""
        self._believed: tuple[int, ...] = ()
        """Where the text is, if there is one."""
        self._single = True
        self._tried: set[tuple[int, ...]] = set()
        self.leave_out: tuple[int, ...] = ()
        self._choose()

    def went(self, *, answered: bool) -> None:
        """Take in how the request without `leave_out` went, and choose the next."""
        if answered:
            self.found = self._believed = self.leave_out
        elif self.found and self._single:
            if self.leave_out == self._believed:
                self._single = False  # there are several
            else:
                self._believed = self._believed[len(self.leave_out) :]
        self._choose()

    def _choose(self) -> None:
        chosen = self._next_wide() if not self.found else self._narrower()
        if chosen is None or self._probes >= PROBES:
            self.over = True
            return
        self._probes += 1
        self._tried.add(chosen)
        self.leave_out = chosen

    def _next_wide(self) -> tuple[int, ...] | None:
        while self._wide:
            chosen = self._wide.pop(0)
            if chosen and (chosen not in self._tried or not self._wide):
                return chosen
        return None

    def _narrower(self) -> tuple[int, ...] | None:
        if len(self.found) == 1:
            return None
        if self._single:
            sure = self._believed == self.found
            if len(self._believed) == 1 or (self._probes == PROBES - 1 and not sure):
                return self._believed
            return self._believed[: (len(self._believed) + 1) // 2]
        # Several: give back one after the other, as long as the rest is enough.
        for one in self.found:
            fewer = tuple(place for place in self.found if place != one)
            if fewer not in self._tried:
                return fewer
        return None
