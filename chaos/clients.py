"""Some clients in one process, and orders for them on standard input.

    {"do": "begin", "folder": F, "clients": [SPEC, ...], "resume": false}
    {"do": "drop", "client": NAME, "ms": 300}      {"do": "nap", "client": NAME, "ms": 300}
    {"do": "hurry"}    {"do": "places"}    {"do": "end"}

`places` and `end` are answered with a line of JSON.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import uvloop

from chaos.library import LibraryWatcher
from chaos.proxy import orders
from chaos.raw import EventsWatcher, SocketWatcher
from chaos.watcher import Spec, Watcher

_KINDS = {"library": LibraryWatcher, "socket": SocketWatcher, "events": EventsWatcher}


class Crowd:
    """The clients of this process."""

    def __init__(self) -> None:
        self._watchers: dict[str, Watcher] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def obey(self, order: dict[str, Any]) -> dict[str, Any] | None:
        """Carry one order out; return what is answered, if anything."""
        watcher = self._watchers.get(order.get("client", ""))
        match order["do"]:
            case "begin":
                self._begin(Path(order["folder"]), order["clients"], resume=order["resume"])
            case "drop" if watcher is not None:
                watcher.drop(order["ms"])
            case "nap" if watcher is not None:
                watcher.nap(order["ms"])
            case "hurry":
                for one in self._watchers.values():
                    one.hurry()
            case "places":
                return {
                    name: "over" if one.over else one.place and "-".join(map(str, one.place))
                    for name, one in self._watchers.items()
                }
            case "end":
                await self._end()
                return {}
        return None

    def _begin(self, folder: Path, specs: list[dict[str, Any]], *, resume: bool) -> None:
        for found in specs:
            spec = Spec(**found)
            watcher = _KINDS[spec.how](spec, folder, resume=resume)
            self._watchers[spec.client] = watcher
            self._tasks.append(asyncio.ensure_future(watcher.run()))

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        for watcher in self._watchers.values():
            watcher.transcript.close()
        self._watchers, self._tasks = {}, []


async def run() -> None:
    """Obey until standard input ends."""
    crowd = Crowd()
    lines = await orders()
    print("ready", flush=True)
    while line := await lines.readline():
        answer = await crowd.obey(json.loads(line))
        if answer is not None:
            print(json.dumps(answer), flush=True)


def main() -> None:
    """Run the process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    main()
