"""A client's share in a stream of a backend."""

from collections.abc import Callable
from typing import Any

from yoi.backend.redaction import Observed, without_paths
from yoi.core.observation import Feed, Framing
from yoi.serving.channel import Channel


class Lease:
    """A share in the stream of `channel`. `release` it when its holder is gone; twice is harmless.

    `notes` are diagnostics to send after the first frames. `leave` is called once.
    """

    def __init__(
        self, channel: Channel[Any], notes: tuple[str, ...], leave: Callable[[], None]
    ) -> None:
        self.channel = channel
        self.notes = notes
        self._leave: Callable[[], None] | None = leave

    def feed(
        self, projection: str, framing: Framing, project: Callable[[Any], Observed | None]
    ) -> Feed[Any]:
        """Return the frames of `projection`; a stream holds more than any client may see.

        `project` hides what the policy hides; paths of the runtime's machine are always taken out.
        """

        def shown(event: Observed) -> Observed | None:
            return project(without_paths(event))

        return self.channel.feed(projection, framing, shown)

    def release(self) -> None:
        """Let go."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
