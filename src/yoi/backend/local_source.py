"""The runtime in this process: its streams are shared as they are, and nothing is kept twice."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from yoi.backend.lease import Lease
from yoi.backend.source import KINDS, Availability, Inventory
from yoi.core.observation import Stream
from yoi.limits import LIMITS
from yoi.protocol.observation import Subject
from yoi.serving.admission import Declined
from yoi.serving.channel import Channel
from yoi.serving.hub import Hub


class LocalSource:
    """A `yoi.backend.source.Source` over the runtime's own `hub`.

    `inventory` returns what `GET /v1/inventory` would; `refresh` brings a subject's stream up to
    date before its snapshot is taken. Before it is `settled`, what is missing may yet come.
    """

    def __init__(
        self,
        runtime_id: str,
        hub: Hub,
        inventory: Callable[[], Any],
        refresh: Callable[[Subject], None] = lambda subject: None,
        settled: Callable[[], bool] = lambda: True,
    ) -> None:
        self.runtime_id = runtime_id
        self.availability = Availability.AVAILABLE
        self.since_ms = hub.clock.wall_ms()
        self._hub = hub
        self._inventory = inventory
        self._refresh = refresh
        self._settled = settled

    @property
    def inventory(self) -> Inventory:
        """Return what it has now."""
        return msgspec.convert(self._inventory(), Inventory)

    async def start(self) -> None:
        """Nothing needs to be begun."""

    async def close(self) -> None:
        """Nothing needs to be ended."""

    def stream(self, subject: Subject) -> Stream[Any] | Declined:
        """Return the runtime's stream of `subject` (of any runtime id), or why there is none."""
        own = Subject(subject.kind, subject.name)
        self._refresh(own)
        channel = self._hub.channel(own)
        if channel is not None and channel.stream.end_reason is None:
            return channel.stream
        if self._settled():
            return Declined(KINDS[subject.kind].not_found)
        return Declined("runtime_unavailable", retry_after_ms=LIMITS.upstream_backoff_first_ms)


class SharedStreams:
    """Channels of a backend's `hub` over streams of this process, for as long as they are leased.

    Ring, view and positions are the runtime's; only the frames that clients get are made here.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._holders: Counter[Channel[Any]] = Counter()

    def __len__(self) -> int:
        return len(self._holders)

    def lease(self, source: LocalSource, subject: Subject) -> Lease | Declined:
        """Return a share in the stream of `subject`, or why there is none."""
        stream = source.stream(subject)
        if isinstance(stream, Declined):
            return stream
        channel = self._hub.channel(subject)
        if channel is not None and channel.stream is not stream:
            # The earlier stream has ended, and its watchers are being told.
            self._hub.retire(channel)
            channel = None
        if channel is None:
            channel = self._hub.add(stream, KINDS[subject.kind].encode, subject)
        self._holders[channel] += 1
        return Lease(channel, (), partial(self._leave, channel))

    def _leave(self, channel: Channel[Any]) -> None:
        self._holders[channel] -= 1
        if not self._holders[channel]:
            del self._holders[channel]
            self._hub.retire(channel)
            channel.close()
