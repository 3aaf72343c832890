"""The states of a connection, and which follows which.

IDLE ─start▶ CONNECTING ─dialled▶ OPEN ─close frame, either way▶ CLOSING
              ▲  ▲  │               │                               │
         retry│  │  │dial failed    │ended                          │ended
              │  │  ▼               ▼                               ▼
  AWAITING ◀─ WAITING ◀─────────────┴───────────────────────────────┤
   │  ▲          │                                                  │
   └──┘        FAILED ◀─ what ends it for good: core/halts.py ──────┤
 needs a URL                                                        │
              STOPPED ◀─────────────── stop, from any state ────────┘
"""

from enum import Enum, StrEnum


class ConnectionState(StrEnum):
    """The states a person sees."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    WAITING = "waiting"
    AWAITING = "awaiting_open"
    """Nothing is dialled until the plugin says where."""
    STOPPED = "stopped"
    FAILED = "failed"


class Follow(Enum):
    """What follows the end of the session."""

    RETRY = "retry"
    """Another, after the backoff."""
    RENEW = "renew"
    """Another at once, if the session proved itself."""
    DEMAND = "demand"
    """Another at once: a person asked for it."""
    STOP = "stop"


_S = ConnectionState
NEXT: dict[ConnectionState, frozenset[ConnectionState]] = {
    _S.IDLE: frozenset({_S.CONNECTING, _S.WAITING, _S.AWAITING, _S.STOPPED}),
    _S.CONNECTING: frozenset({_S.OPEN, _S.WAITING, _S.FAILED, _S.STOPPED, _S.CLOSING}),
    # To itself, and from CLOSING: its successor has opened.
    _S.OPEN: frozenset({_S.OPEN, _S.CLOSING, _S.WAITING, _S.FAILED, _S.CONNECTING}),
    _S.CLOSING: frozenset({_S.OPEN, _S.WAITING, _S.FAILED, _S.STOPPED, _S.CONNECTING}),
    _S.WAITING: frozenset({_S.CONNECTING, _S.AWAITING, _S.STOPPED, _S.CLOSING}),
    _S.AWAITING: frozenset({_S.CONNECTING, _S.WAITING, _S.STOPPED, _S.CLOSING}),
    _S.FAILED: frozenset({_S.CONNECTING, _S.WAITING, _S.AWAITING, _S.STOPPED, _S.CLOSING}),
    _S.STOPPED: frozenset({_S.CONNECTING, _S.WAITING, _S.AWAITING}),
}
AT_REST = frozenset({_S.IDLE, _S.STOPPED, _S.FAILED})
