"""What machines of one deployment say to each other about commands, sealed with its key.

    asks                                       carries out
    ────  Hello (id, where to answer)    ────▶
    ◀──── Welcome (id, challenge)        ────
    ────  Command (id, challenge, …)     ────▶  once, within seconds of the welcome
    ◀──── answer, in parts               ────

Each is bound to the deployment, to the process that it is for, and to its id; an answer's part to
its number, too. Who has the servers alone can read none, make none, nor have one of them stand for
another.
"""

import re
from typing import Any, TypeVar

import msgspec

from yoi.errors import SecretError
from yoi.limits import LIMITS
from yoi.protocol.depth import more_values_than
from yoi.secrets.deployment import DeploymentKey

M = TypeVar("M", bound=msgspec.Struct)
_HELLO, _WELCOME, _COMMAND, _PART = (
    f"{kind} between machines" for kind in ("hello", "welcome", "command", "answer")
)
_SESSION = re.compile(r"[0-9a-f]{16}")
_INBOX = re.compile(r"_INBOX\.[A-Za-z0-9.]{1,128}")
_LAST, _MORE = b"\x01", b"\x00"


class Hello(msgspec.Struct, forbid_unknown_fields=True, tag="hello"):
    """A machine would give a command; nothing is done yet."""

    id: str
    inbox: str


class Welcome(msgspec.Struct, forbid_unknown_fields=True):
    """The process that was asked lives and takes the command `id`, for some seconds."""

    id: str
    challenge: str
    machine: str


class Command(msgspec.Struct, forbid_unknown_fields=True, tag="command"):
    """What is to be done."""

    id: str
    inbox: str
    challenge: str
    machine: str
    """Where it was given."""
    method: str
    params: dict[str, Any]


class Seals:
    """Seals and opens what is said to the process `session`. What is not ours is None."""

    def __init__(self, key: DeploymentKey, deployment: str, session: str) -> None:
        self._key = key
        self._to = f"{deployment}\n{session}\n"

    def hello(self, said: Hello) -> bytes:
        """Return the message."""
        return b"h" + self._key.seal(_HELLO, self._to, msgspec.json.encode(said))

    def command(self, said: Command) -> bytes:
        """Return the message."""
        return b"c" + self._key.seal(_COMMAND, self._to, msgspec.json.encode(said))

    def asked(self, message: bytes) -> Hello | Command | None:
        """Return what another machine asks of this process."""
        match message[:1]:
            case b"h":
                return _inbox_checked(self._opened(_HELLO, "", message[1:], Hello))
            case b"c":
                return _inbox_checked(self._opened(_COMMAND, "", message[1:], Command))
            case _:
                return None

    def welcome(self, said: Welcome) -> bytes:
        """Return the message."""
        return self._key.seal(_WELCOME, self._to + said.id, msgspec.json.encode(said))

    def welcomed(self, request: str, message: bytes) -> Welcome | None:
        """Return the welcome of the request of that id."""
        return self._opened(_WELCOME, request, message, Welcome)

    def part(self, request: str, number: int, data: bytes, *, is_last: bool) -> bytes:
        """Return one part of the answer to the request."""
        plain = (_LAST if is_last else _MORE) + data
        return self._key.seal(_PART, f"{self._to}{request} {number}", plain)

    def answered(self, request: str, number: int, message: bytes) -> tuple[bytes, bool] | None:
        """Return what the part of that number holds, and whether it is the last one."""
        try:
            plain = self._key.open(_PART, f"{self._to}{request} {number}", message)
        except SecretError:
            return None
        return plain[1:], plain[:1] == _LAST

    def _opened(self, purpose: str, bound: str, sealed: bytes, kind: type[M]) -> M | None:
        try:
            data = self._key.open(purpose, self._to + bound, sealed)
            if more_values_than(LIMITS.json_values, data):
                return None
            return msgspec.json.decode(data, type=kind)
        except (SecretError, msgspec.DecodeError, RecursionError):
            return None


def subject_of(deployment: str, session: str) -> str | None:
    """Return where a process is asked; None where that is no process's name: servers may say so."""
    return f"{deployment}.ask.{session}" if _SESSION.fullmatch(session) else None


A = TypeVar("A", Hello, Command)


def _inbox_checked(said: A | None) -> A | None:
    """Return `said` where it is to be answered to an inbox, and to no subject of anything else."""
    return said if said is not None and _INBOX.fullmatch(said.inbox) else None
