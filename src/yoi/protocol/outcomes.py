"""What a plugin answered to one event, whichever world it speaks."""

from dataclasses import dataclass

from yoi.protocol.commands import OutputCommand


@dataclass(slots=True)
class Reply:
    """Exactly one text for the session the event came from: a websocket_send in its lean form."""

    text: str


@dataclass(slots=True)
class Commands:
    """Zero or more commands, in the order the plugin gave them."""

    commands: list[OutputCommand]


@dataclass(slots=True)
class HandlerFailed:
    """The handler raised, or answered with an error. Nothing of its answer is carried out."""

    kind: str
    message: str
    trace: str

    @property
    def code(self) -> str:
        """Return `sandbox.memory` for a plugin that is out of memory, else `sandbox.exception`."""
        return "sandbox.memory" if self.kind == "MemoryError" else "sandbox.exception"


@dataclass(slots=True)
class AnswerRefused:
    """The answer to this event does not have the agreed shape; it is refused whole."""

    code: str
    message: str


Outcome = Reply | Commands | HandlerFailed | AnswerRefused

NO_COMMANDS = Commands([])
