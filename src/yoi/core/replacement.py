"""`Replacement`: how a new version takes the place of the one that runs. Sans-I/O.

    state      the old instance             the new one                  left for
    PREPARING  handles events               is loaded beside it          DRAINING, REFUSED
    DRAINING   ends what it has in hand     waits                        STARTING, REFUSED
    STARTING   has nothing in hand          its start() runs             TRIAL, REFUSED
    TRIAL      is kept, and handles nothing its first event, alone       DONE, REFUSED
    DONE       is stopped                   handles events
    REFUSED    handles events               is gone

The host reads its connections in every state; what arrives waits in the queue, and nothing is
handed over in DRAINING and STARTING. docs/design/replacement.md says what happens at each step.
"""

from enum import Enum

from yoi.errors import YoiError


class ReplacementState(Enum):
    """See the module docstring."""

    PREPARING = "preparing"
    DRAINING = "draining"
    STARTING = "starting"
    TRIAL = "trial"
    DONE = "done"
    REFUSED = "refused"


_S = ReplacementState
_NEXT: dict[ReplacementState, tuple[ReplacementState, ...]] = {
    _S.PREPARING: (_S.DRAINING, _S.REFUSED),
    _S.DRAINING: (_S.STARTING, _S.REFUSED),
    _S.STARTING: (_S.TRIAL, _S.REFUSED),
    _S.TRIAL: (_S.DONE, _S.REFUSED),
    _S.DONE: (),
    _S.REFUSED: (),
}


class Replacement:
    """See the module docstring."""

    def __init__(self) -> None:
        self.state = ReplacementState.PREPARING

    @property
    def over(self) -> bool:
        """Return whether it has ended, either way."""
        return not _NEXT[self.state]

    def go(self, to: ReplacementState) -> None:
        """Change the state."""
        if to not in _NEXT[self.state]:
            raise YoiError("usage.internal", f"a replacement cannot go from {self.state} to {to}")
        self.state = to
