"""The way of a command from a client to a worker: policy decides, a port carries it, or there is
none. Streams only show (O8); this is the one place where anything could go the other way.
"""

from typing import Any, Protocol

from yoi.protocol.observation import Subject

COMMANDS = ("approve", "cancel", "compact", "pause", "resume", "send")
"""What a client may ask of a worker; a token names those that it may have passed on."""


class CommandPort(Protocol):
    """Carries commands that policy lets pass. Only a process with a runtime in it has one."""

    async def send(self, subject: Subject, command: str, arguments: dict[str, Any]) -> Any:
        """Carry out `command` and return its answer as JSON values. Raises YoiError."""
        ...
