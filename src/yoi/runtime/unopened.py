"""A declared connection that is not dialled when its service starts: the plugin opens it."""

from typing import NoReturn

from yoi.errors import ConnectionFailure
from yoi.packages import ConnectionDecl
from yoi.protocol.status import ConnectionStatus
from yoi.types import SessionId


class UnopenedConnection:
    """The `Link` of a connection with `open = "command"`: shown in status, refusing every send."""

    def __init__(self, decl: ConnectionDecl) -> None:
        self._decl = decl

    def start(self) -> None:
        """Dial nothing: nobody has said where yet."""

    def send_text(self, session: SessionId | None, text: str) -> NoReturn:
        """Refuse: `connection.not_open`."""
        self._refuse()

    def send_binary(self, session: SessionId | None, data: bytes) -> NoReturn:
        """Refuse: `connection.not_open`."""
        self._refuse()

    def last(self, name: str) -> NoReturn:
        """Refuse: there is no session to have seen anything."""
        self._refuse()

    def pause(self) -> None:
        """Nothing is read."""

    def resume(self) -> None:
        """Nothing is read."""

    def overflow(self) -> None:
        """There is no session to end."""

    async def close(self, code: int, reason: str) -> None:
        """There is nothing to close."""

    def status(self) -> ConnectionStatus:
        """Return that it is idle, and where it may lead."""
        decl = self._decl
        where = decl.target.label if decl.url is None else decl.url.display
        return ConnectionStatus(name=decl.name, ingress=decl.ingress, url=where, state="idle")

    def _refuse(self) -> NoReturn:
        raise ConnectionFailure(
            "connection.not_open", f"the plugin has not opened the connection {self._decl.name}"
        )
