"""The seam between a connection's policy and its socket: `Connector` dials, a `WebSocket` carries.

The real ones are in dialler.py and websocket.py; `yoi.testing.MemoryConnector` is their fake.
"""

from collections.abc import Sequence
from typing import Protocol

from yoi.connections.target import DialTarget
from yoi.core.session_effects import End
from yoi.permissions import Decision
from yoi.permissions.connection_settings import Handshake
from yoi.permissions.ways_out import Destination


class WebSocketOwner(Protocol):
    """What a socket reports, on the loop, in the order of arrival."""

    def on_text(self, text: str, size: int) -> None:
        """A whole text message of `size` bytes."""
        ...

    def on_binary(self, data: bytes) -> None:
        """A whole binary message."""
        ...

    def on_closing(self) -> None:
        """The closing handshake has begun; messages may still come."""
        ...

    def on_ended(self, end: End) -> None:
        """The socket is gone; nothing is reported after this."""
        ...


class WebSocket(Protocol):
    """One open WebSocket. Nothing is read before `resume_reading`; nothing here blocks."""

    subprotocol: str | None
    address: str
    last_heard: float
    """When the last bytes arrived, in monotonic seconds."""
    complete_until: float
    """The last moment at which every message that had arrived was reported; monotonic seconds."""

    def attach(self, owner: WebSocketOwner) -> None:
        """Report to `owner` from here on. Reading is paused until `resume_reading`."""
        ...

    def send_text(self, text: str) -> int:
        """Queue one text message and return its bytes; raises ConnectionFailure at once."""
        ...

    def send_binary(self, data: bytes) -> int:
        """Queue one binary message and return its bytes; raises ConnectionFailure at once."""
        ...

    def ping(self) -> None:
        """Queue a ping."""
        ...

    def pause_reading(self) -> None:
        """Report no further message, not even one that was read already."""
        ...

    def resume_reading(self) -> None:
        """Report messages from the loop's next turn, beginning with what was held back."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Queue a close frame; messages are reported until the peer's."""
        ...

    def drop(self, code: int, reason: str) -> None:
        """Queue a close frame and report no further message."""
        ...

    def abort(self) -> None:
        """End the socket now, unsent bytes included."""
        ...


class Connector(Protocol):
    """Opens WebSockets."""

    async def dial(
        self,
        handshake: Handshake,
        target: DialTarget,
        decision: Decision,
        addresses: Sequence[Destination],
    ) -> WebSocket:
        """Return an open WebSocket to `target` at one of `addresses`, all of them already judged.

        `decision` bounds its messages. Raises ConnectionFailure; cancelled, leaves nothing open.
        """
        ...
