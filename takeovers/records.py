"""What a gateway has noted, for the judge."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """A message of a plugin as a gateway got it."""

    at: float
    """When it was sent, or at the latest."""
    pid: int
    """The process that sent it."""
    number: int
    count: int
    merged: bool = False
    """Whether the gateway had it already, under its nonce."""


@dataclass
class Signing:
    """The account of the sessions of one gateway."""

    identifies: int = 0
    identifies_unneeded: int = 0
    """Identified anew although the session had been acknowledged, and could be resumed."""
    resumes: int = 0
    resumed_wrongly: int = 0
    """Resumed a session that there is not, or from before or after what was acknowledged."""
    wrong_tokens: int = 0
    merged: int = 0
    """Answers that the gateway had already, under the same nonce."""
    nonces: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By number, under which nonces it was answered."""
    _owed: set[int] = field(default_factory=set)

    @property
    def unanswered(self) -> set[int]:
        """Return what was said within a session that can be resumed, and not answered."""
        return self._owed

    @property
    def answered_twice(self) -> int:
        """Return how many were answered under more than one nonce."""
        return sum(len(one) > 1 for one in self.nonces.values())

    def began(self, *, acknowledged: bool) -> None:
        """Begin a session; what the last one owed is owed on where a client knew of it."""
        self.identifies += 1
        self.identifies_unneeded += acknowledged
        if not acknowledged:
            self._owed.clear()

    def said(self, number: int) -> None:
        """Note what must be answered."""
        self._owed.add(number)

    def answered(self, number: int, nonce: str) -> bool:
        """Note an answer; return whether it is the same as one before."""
        known = nonce in self.nonces[number]
        self.nonces[number].add(nonce)
        self._owed.discard(number)
        self.merged += known
        return known
