"""Clients of one feed whose sockets take bytes at once: an event is one system call for each.

Beside that call it is the number of objects touched for each client that makes fan-out dear; here
they are two, a descriptor and a follower (docs/decisions/fan-out.md).
"""

import os
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from yoi.core.observation import Follower
    from yoi.serving.watcher import Watcher

E = TypeVar("E")


class Lane(Generic[E]):
    """Watchers by their sockets. Nothing may wait in the transport of one that is in here."""

    def __init__(self) -> None:
        self._followers: dict[int, Follower[E]] = {}
        self._watchers: dict[int, Watcher[E]] = {}

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def watchers(self) -> list["Watcher[E]"]:
        """Return who is in it."""
        return list(self._watchers.values())

    def enter(self, fd: int, watcher: "Watcher[E]") -> None:
        """Write to `fd` from now on."""
        self._followers[fd] = watcher.follower
        self._watchers[fd] = watcher

    def leave(self, fd: int) -> None:
        """Write to `fd` no more; it must be in here."""
        del self._followers[fd]
        del self._watchers[fd]

    def spread(
        self, data: bytes, generation: int, after: int, last: int, now: float
    ) -> list[tuple["Watcher[E]", int]]:
        """Write `data`, what follows `after` up to `last`, to all who are there.

        Returns who did not get all of it, and how much it took; -1 for who is at another place.
        """
        size, write, rest = len(data), os.write, []
        for fd, follower in self._followers.items():
            taken = -1
            if follower.take(generation, after, last, now):
                try:
                    taken = write(fd, data)
                except OSError:
                    taken = 0  # full or broken: its transport finds out
            if taken != size:
                rest.append((self._watchers[fd], taken))
        return rest
