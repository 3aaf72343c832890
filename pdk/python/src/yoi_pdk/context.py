"""The context: what a plugin may ask of its host while it handles something."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error"]
_LEVELS = frozenset({"debug", "info", "warning", "error"})


class Context:
    """Passed to every handler; the same object for the life of the instance."""

    __slots__ = ("_log", "config", "name")

    def __init__(self, name: str, log: Callable[[str, str], None]) -> None:
        self._log = log
        self.name = name
        """The instance's name on this host, such as `team-chat`."""
        self.config: Mapping[str, Any] = {}
        """The operator's configuration, as `start` received it."""

    def log(self, message: object, level: Level = "info") -> None:
        """Write one line for the person who operates the plugin. Bounded by the host."""
        if level not in _LEVELS:
            raise ValueError('level must be "debug", "info", "warning" or "error"')
        self._log(level, str(message))
