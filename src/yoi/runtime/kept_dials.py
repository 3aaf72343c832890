"""How often each connection of a service was dialled today: in the state file, and in its log.

The file is a working copy, as for the plugin's state; the log is what another machine reads. Counts
only grow, so where the two differ the later one is right: no crash, takeover or move back gives
dials again.
"""

from collections.abc import Callable, Mapping

from yoi.core.budget import Spent
from yoi.journal.state import StateStore


class KeptDials:
    """See the module docstring. `service` is the service's name."""

    def __init__(self, state: StateStore, service: str) -> None:
        self._state = state
        # Beside the plugin's own state, under a name that no instance can have.
        self._owner = f"{service}#dials"

    def of(self, connection: str) -> Spent:
        """Return what `connection` has spent."""
        return Spent.read(self._state.get(self._owner, connection))

    def keep(self, connection: str, spent: Spent) -> None:
        """Keep what `connection` has spent; blocks on the disk. Raises as `StateStore.set`."""
        self._state.set(self._owner, connection, spent.written)

    def take(self, logged: Mapping[str, Spent]) -> dict[str, Spent]:
        """Keep what the log knows and the file does not; return what the log does not know."""
        ours = {name: self.of(name) for name in self._state.all(self._owner)}
        for name, spent in logged.items():
            if spent > ours.get(name, Spent(0, 0)):
                self.keep(name, spent)
        return {
            name: spent for name, spent in ours.items() if spent > logged.get(name, Spent(0, 0))
        }

    def listen(self, heard: Callable[[str], None] | None) -> None:
        """Let `heard` hear the connection of each count that is kept; None: nothing hears."""
        self._state.listen(self._owner, heard)
