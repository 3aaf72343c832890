"""Name look-ups of one host: the system's own, each on a thread of its own, within fair bounds.

`getaddrinfo` knows the hosts file, NSS and search domains, cannot be interrupted, and takes half a
minute and more where a name server is silent. So each look-up runs on a thread that nothing else
waits for, and counts against the plugin that began it until the system answers.
"""

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from yoi.limits import LIMITS, Limits
from yoi.permissions import IPAddress

GetAddresses = Callable[[str], Sequence[IPAddress]]
Answer = asyncio.Future[Sequence[IPAddress]]


def system_addresses(host: str) -> Sequence[IPAddress]:
    """Return what getaddrinfo answers, without repetitions. Blocks; raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class Lookups:
    """The look-ups under way. One for all plugins of a host; it belongs to the event loop.

    A name is looked up once at a time, whichever plugins ask. At most `lookups_per_plugin` of one
    plugin and `lookups` of all are under way. The last quarter is for plugins that have none, so
    that silent names of some leave room for the others. Further ones wait for their turn.
    """

    def __init__(
        self, limits: Limits = LIMITS, addresses_of: GetAddresses = system_addresses
    ) -> None:
        self._limits = limits
        self._addresses_of = addresses_of
        self._under_way: dict[str, Answer] = {}
        self._running: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    async def begin(self, host: str, plugin: str) -> Answer:
        """Return the coming answer about `host`, once its look-up is under way.

        The answer is shared: wait for it without cancelling it.
        """
        while True:
            found = self._under_way.get(host)
            if found is not None:
                return found
            if self._may_begin(plugin):
                return self._start(host, plugin)
            await self._turn(plugin)

    def _may_begin(self, plugin: str) -> bool:
        mine, limits = self._running[plugin], self._limits
        room = limits.lookups if mine == 0 else limits.lookups * 3 // 4
        return mine < limits.lookups_per_plugin and self._running.total() < room

    async def _turn(self, plugin: str) -> None:
        waiter = plugin, asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter[1]
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                self._wake_next()  # its turn had come: it is another's now
            raise

    def _start(self, host: str, plugin: str) -> Answer:
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        self._under_way[host] = answer
        self._running[plugin] += 1

        def done(found: Sequence[IPAddress] | None, fault: Exception | None) -> None:
            self._under_way.pop(host, None)
            self._running[plugin] -= 1
            if not self._running[plugin]:
                del self._running[plugin]
            if found is not None:
                answer.set_result(found)
            else:
                answer.set_exception(fault or OSError("no answer"))
                answer.exception()  # those who asked may have stopped waiting
            self._wake_next()

        def work() -> None:
            found, fault = None, None
            try:
                found = self._addresses_of(host)
            except Exception as exc:
                fault = exc
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(done, found, fault)

        # A daemon: a name server that never answers must not hold up the end of the process.
        threading.Thread(target=work, name=f"yoi-lookup-{host[:40]}", daemon=True).start()
        return answer

    def _wake_next(self) -> None:
        for waiter in self._waiting:
            if self._may_begin(waiter[0]):
                self._waiting.remove(waiter)
                if not waiter[1].done():
                    waiter[1].set_result(None)
                    return
                self._wake_next()
                return
