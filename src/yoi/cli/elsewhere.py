"""What other machines of a `[cluster]` have to do with the answer that a command prints."""

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yoi.control.wire import Answer

NO_MACHINES: "Mapping[str, str]" = MappingProxyType({})
HERE = "here"
"""In the column of machines, for what the host of this folder has itself."""


class Elsewhere:
    """What the answers said that came since the last `forget`: of the command that runs now."""

    def __init__(self) -> None:
        self.machines = NO_MACHINES
        """Of a list: which other machine has each."""
        self._machine = ""
        self._silent: tuple[str, ...] = ()
        self._told: set[str] = set()

    def hear(self, answer: "Answer") -> None:
        """Take note of an answer."""
        if answer.machine:
            self._machine = answer.machine
        self.machines, self._silent = answer.machines or self.machines, tuple(answer.silent)

    def forget(self) -> None:
        """Begin with another command."""
        self.machines, self._machine, self._silent = NO_MACHINES, "", ()
        self._told.clear()

    def document(self) -> dict[str, Any]:
        """Return it for programs; empty where no other machine has a part in the answer."""
        said = {
            "machine": self._machine,
            "machines": dict(self.machines),
            "silent": list(self._silent),
        }
        return {key: value for key, value in said.items() if value}

    def news(self) -> list[tuple[str, str]]:
        """Return what a person was not told yet: words and their style."""
        found = [(f"on machine {self._machine}", "dim")] if self._machine else []
        found += [
            (f"{one} did not answer: what it runs is not shown; yoi cluster leases", "yellow")
            for one in self._silent
        ]
        new = [one for one in found if one[0] not in self._told]
        self._told.update(words for words, _ in new)
        return new


ELSEWHERE = Elsewhere()
"""A process carries out one command."""
