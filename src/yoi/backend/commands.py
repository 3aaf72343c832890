"""The way of a command from a client to a worker: policy decides, a port carries it, or there is
none. Streams only show (O8); this is the one place where anything could go the other way.
"""

from typing import Any, Protocol

from yoi.protocol.observation import Subject
from yoi.serving.principals import Principal


class CommandPort(Protocol):
    """Carries commands that policy lets pass. Only a process with a runtime in it has one."""

    def reaches(self, subject: Subject) -> bool:
        """Return whether commands for `subject` can be carried out."""
        ...

    async def send(
        self, subject: Subject, command: str, arguments: dict[str, Any], principal: Principal
    ) -> Any:
        """Carry out `command` of `principal` and return its answer as JSON values.

        Raises YoiError.
        """
        ...
