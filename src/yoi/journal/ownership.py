"""Who may write a log: this host alone, or the one of several machines that holds it."""

from typing import Protocol

from yoi.protocol.published import PublicationMark


class Ownership(Protocol):
    """What a host knows about the logs that it writes; asked whenever one is opened."""

    @property
    def shared(self) -> bool:
        """Return whether another host may own the logs next."""
        ...

    def epoch(self, log: str) -> int:
        """Return the epoch under which this host holds `log`: larger for each owner; 0 for none.

        With 0 the log's own epoch goes on: no other host can hold it.
        """
        ...

    def fenced(self, log: str, epoch: int) -> None:
        """Hear that `log` has an owner of the later `epoch`: this host may write it no more."""
        ...

    def moved_from(self, log: str) -> str | None:
        """Return the machine that held `log` before this one, or None where it did not move."""
        ...

    def publication(self) -> PublicationMark | None:
        """Return the publication that this host goes by now, or None where it decides itself."""
        ...


class SoleOwner:
    """The ownership of a host by itself: every log is its own."""

    shared = False

    def epoch(self, log: str) -> int:
        """Return 0."""
        return 0

    def fenced(self, log: str, epoch: int) -> None:
        """Do nothing: no log of a host by itself has a later epoch."""

    def moved_from(self, log: str) -> str | None:
        """Return None."""
        return None

    def publication(self) -> PublicationMark | None:
        """Return None."""
        return None
