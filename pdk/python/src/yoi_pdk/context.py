"""The context: what a plugin may ask of its host while it handles something."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from yoi_pdk.events import Response
from yoi_pdk.host import HostCall, State, ask, no_host
from yoi_pdk.pull import PullSockets
from yoi_pdk.requests import Request

Level = Literal["debug", "info", "warning", "error"]
_LEVELS = frozenset({"debug", "info", "warning", "error"})


class Context:
    """Passed to every handler; the same object for the life of the instance."""

    __slots__ = ("_call", "_log", "config", "name", "state", "websocket")

    def __init__(
        self,
        name: str,
        log: Callable[[str, str], None],
        call: HostCall = no_host,
    ) -> None:
        self._log = log
        self._call = call
        self.name = name
        """The instance's name on this host, such as `team-chat`."""
        self.config: Mapping[str, Any] = {}
        """The operator's configuration, as `start` received it."""
        self.state = State(call)
        """What the plugin keeps across restarts: `ctx.state["seen"] = 3`."""
        self.websocket = PullSockets(call)
        """Sockets for a short exchange inside a handler. Integrations use `[[connections]]`."""

    def log(self, message: object, level: Level = "info") -> None:
        """Write one line for the person who operates the plugin. Bounded by the host."""
        if level not in _LEVELS:
            raise ValueError('level must be "debug", "info", "warning" or "error"')
        self._log(level, str(message))

    def request(self, request: Request) -> Response:
        """Send one HTTP request and return its answer, whatever its status. Raises HostError.

        The handler waits, and its time runs: for anything that may take long, return the `Request`
        as a command and handle the `ResponseEvent`.
        """
        return Response(ask(self._call, "request.request", request.payload()))
