"""The context: what a plugin may ask of its host while it handles something."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

Level = Literal["debug", "info", "warning", "error"]
_LEVELS = frozenset({"debug", "info", "warning", "error"})


class Context:
    """Passed to every handler; the same object for the life of the instance."""

    __slots__ = ("_log", "_state", "config", "name")

    def __init__(
        self,
        name: str,
        log: Callable[[str, str], None],
        state: Callable[[str], str | None] = lambda key: None,
    ) -> None:
        self._log = log
        self._state = state
        self.name = name
        """The instance's name on this host, such as `team-chat`."""
        self.config: Mapping[str, Any] = {}
        """The operator's configuration, as `start` received it."""

    def log(self, message: object, level: Level = "info") -> None:
        """Write one line for the person who operates the plugin. Bounded by the host."""
        if level not in _LEVELS:
            raise ValueError('level must be "debug", "info", "warning" or "error"')
        self._log(level, str(message))

    def state(self, key: str, default: Any = None) -> Any:
        """Return what `StateSet(key, value)` kept, or `default` when there is nothing."""
        text = self._state(key)
        return default if text is None else json.loads(text)
