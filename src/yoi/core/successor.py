"""`SuccessorMachine`: whether the open session gets a successor beside it. Sans-I/O.

state     meaning                                             left for
UNWANTED  not asked for since the session opened              WANTED
WANTED    dialled as soon as backoff and two sockets allow    DIALLING, DROPPED, UNWANTED
DIALLING  on its way                                          WANTED (that dial failed), DROPPED
                                                              (for good), UNWANTED (it is open)
DROPPED   it was asked for, and nothing came of it            WANTED, UNWANTED
"""

from enum import Enum

from yoi.errors import YoiError


class Successor(Enum):
    """See the module docstring."""

    UNWANTED = "unwanted"
    WANTED = "wanted"
    DIALLING = "dialling"
    DROPPED = "dropped"


_W = Successor
_NEXT: dict[Successor, tuple[Successor, ...]] = {
    _W.UNWANTED: (_W.WANTED, _W.UNWANTED),
    _W.WANTED: (_W.DIALLING, _W.DROPPED, _W.UNWANTED),
    _W.DIALLING: (_W.WANTED, _W.DROPPED, _W.UNWANTED),
    _W.DROPPED: (_W.WANTED, _W.UNWANTED),
}


class SuccessorMachine:
    """See the module docstring."""

    def __init__(self) -> None:
        self.state = Successor.UNWANTED

    def go(self, to: Successor) -> None:
        """Change the state."""
        if to not in _NEXT[self.state]:
            raise YoiError("usage.internal", f"a successor cannot go from {self.state} to {to}")
        self.state = to
