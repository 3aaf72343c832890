"""`AnswerPace`: how fast the answers to one plugin's requests are read."""

import asyncio
from collections.abc import Awaitable, Callable

from yoi.core.pace import Pace
from yoi.limits import LIMITS, Limits


class AnswerPace:
    """Lets `response_bytes_per_second` be read, `response_burst_bytes` at once after a rest.

    What is not read waits in the kernel, and the server with it. One for each plugin, whatever
    the number of its requests; `time` and `sleep` are in seconds.
    """

    def __init__(
        self,
        time: Callable[[], float],
        limits: Limits = LIMITS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pace = Pace(limits.response_bytes_per_second, limits.response_burst_bytes, time())
        self._time = time
        self._sleep = sleep

    async def ready(self) -> None:
        """Return when more may be read."""
        while wait := self._pace.wait(self._time()):
            await self._sleep(wait)

    def came(self, size: int) -> None:
        """Take note of `size` bytes that were read."""
        self._pace.spend(size, self._time())

    def is_rested(self) -> bool:
        """Return whether one that is made anew would allow no more."""
        return self._pace.is_rested(self._time())
