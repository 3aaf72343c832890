"""`SessionPair`: the sessions of one connection: the current one, the old one beside it."""

from yoi.connections.session import Session
from yoi.core.session_effects import (
    AbortCurrent,
    AbortOld,
    CloseCurrent,
    CloseOld,
    DropCurrent,
    DropOld,
    PauseReading,
    ResumeReading,
    SendPing,
)
from yoi.types import SessionId

_OnCurrent = CloseCurrent | DropCurrent | AbortCurrent | SendPing
_OnOld = CloseOld | DropOld | AbortOld
_OnBoth = PauseReading | ResumeReading
SocketEffect = _OnCurrent | _OnOld | _OnBoth
"""What the machine decides to do to the sockets of sessions."""


class SessionPair:
    """See the module docstring. `current` and `old` are None where there is no such session."""

    def __init__(self) -> None:
        self.current: Session | None = None
        self.old: Session | None = None
        self._arriving: Session | None = None

    def arrive(self, session: Session) -> None:
        """Hold `session`, whose socket is open, until it is announced."""
        self._arriving = session

    def announce(self, session: SessionId) -> None:
        """Make the session that has arrived the current one, named `session`."""
        self.current, self._arriving = self._arriving, None
        if self.current is not None:
            self.current.begin(session)

    def hand_over(self) -> None:
        """Make the current session the old one."""
        self.old, self.current = self.current, None

    def all(self) -> list[Session]:
        """Return the sessions that there are, the old one first."""
        return [session for session in (self.old, self.current) if session is not None]

    def sendable(self, session: SessionId | None) -> Session | None:
        """Return the session with this id (None: the current one) if it may be written to."""
        for live in (self.current, self.old):
            if live is not None and live.sendable:
                if session is None and live is self.old:
                    return None
                if session in (None, live.id):
                    return live
        return None

    def carry_out(self, effect: SocketEffect) -> None:
        """Do to the sessions' sockets what the machine decided; nothing where there is none."""
        match effect:
            case PauseReading():
                for live in self.all():
                    live.pause()
            case ResumeReading():
                for live in self.all():
                    live.resume()
            case CloseOld() | DropOld() | AbortOld():
                if self.old is not None:
                    _carry_out(self.old, effect)
            case _:
                if self.current is not None:
                    _carry_out(self.current, effect)


def _carry_out(live: Session, effect: _OnCurrent | _OnOld) -> None:
    match effect:
        case SendPing():
            live.socket.ping()
        case CloseCurrent(code, reason) | CloseOld(code, reason):
            live.shut()
            live.socket.close(code, reason)
        case DropCurrent(code, reason) | DropOld(code, reason):
            live.shut()
            live.socket.drop(code, reason)
        case AbortCurrent() | AbortOld():
            live.shut()
            live.socket.abort()
