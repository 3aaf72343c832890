"""A worker with a scripted engine, a memory journal and ears: what the tests of this room share."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.event_names import event_name

from yoi.journal.log import Journal
from yoi.journal.memory import MemoryJournal
from yoi.limits import LIMITS, Limits
from yoi.protocol import events as ev
from yoi.testing import ManualClock
from yoi.workers import items as it
from yoi.workers.context import ModelInput, UserText
from yoi.workers.engine import Engine
from yoi.workers.items import Origin, ToolSpec
from yoi.workers.scripted import Line, Say, ScriptedEngine
from yoi.workers.setup import WorkerSetup
from yoi.workers.tools import Tool, ToolRegistry
from yoi.workers.worker import Worker

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def spec(name: str = "echo", approval: it.Approval = "auto") -> ToolSpec:
    return ToolSpec(
        name=name,
        description="says it back",
        input_schema=SCHEMA,
        approval=approval,
        origin=Origin(kind="builtin"),
    )


async def echo(arguments: dict[str, Any]) -> Any:
    return {"said": arguments["text"]}


def tool(name: str = "echo", approval: it.Approval = "auto", function=echo) -> Tool:
    return Tool(spec(name, approval), function)


def answers(*lines: Sequence[Line]) -> Callable[[ModelInput], Sequence[Line]]:
    """A script that gives each of `lines` once, then `done`; `.asked` is what it was asked."""
    left = list(lines)

    def script(request: ModelInput) -> Sequence[Line]:
        script.asked.append(request)  # type: ignore[attr-defined]
        return left.pop(0) if left else [Say("done")]

    script.asked = []  # type: ignore[attr-defined]
    return script


def run_ended(result: str) -> Callable[[ev.Event], bool]:
    """Return what recognises the end of a run with `result`."""
    return lambda event: isinstance(event, ev.RunEnd) and event.data.result == result


class World:
    """One worker and everything around it that survives the worker."""

    def __init__(
        self,
        engine: Engine | Callable[[ModelInput], Sequence[Line]] | None = None,
        tools: Sequence[Tool] = (),
        journal: Journal | None = None,
        limits: Limits = LIMITS,
        max_turns: int = 10,
        instructions: str = "be brief",
        **more: Any,
    ) -> None:
        self.clock = ManualClock()
        self.journal = journal or MemoryJournal()
        self.slept: list[float] = []
        self.heard: list[ev.Event] = []
        engine = engine or answers()
        self.setup = WorkerSetup(
            name="w",
            instructions=instructions,
            max_turns=max_turns,
            engine=ScriptedEngine(engine) if callable(engine) else engine,
            tools=lambda: ToolRegistry(tools, limits),
            journal=self.journal,
            clock=self.clock,
            limits=limits,
            sleep=self._sleep,
            rng=lambda: 0.5,
            **{"agains": 0, **more},
        )
        self.worker = self._made()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def _made(self) -> Worker:
        worker = Worker(self.setup)
        worker.bus.listen(self.heard.append)
        return worker

    async def __aenter__(self) -> "World":
        await self.worker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.worker.stop()

    async def restart(self, **changes: Any) -> None:
        """Stop the worker and start another on the same journal."""
        await self.worker.stop()
        self.setup = replace(self.setup, **changes)
        self.worker = self._made()
        await self.worker.start()

    async def until(self, what: type | Callable[[ev.Event], bool], count: int = 1) -> None:
        """Wait until `count` events of that kind have been heard."""
        test = (lambda e: isinstance(e, what)) if isinstance(what, type) else what
        arrived = asyncio.Event()

        def look(_: ev.Event) -> None:
            if sum(map(test, self.heard)) >= count:
                arrived.set()

        self.worker.bus.listen(look)
        look(ev.Shutdown())
        async with asyncio.timeout(20):
            await arrived.wait()
        self.worker.bus.drop(look)

    async def until_status(self, status: str) -> None:
        """Wait until the worker is in `status` (now counts)."""
        changed = asyncio.Event()

        def look(_: ev.Event) -> None:
            if self.worker.phase == status:
                changed.set()

        self.worker.bus.listen(look)
        look(ev.Shutdown())
        async with asyncio.timeout(20):
            await changed.wait()
        self.worker.bus.drop(look)

    async def run(self, text: str) -> None:
        """Send `text` and wait for the end of its run."""
        ends = sum(isinstance(e, ev.RunEnd) for e in self.heard)
        await self.worker.send(text)
        await self.until(ev.RunEnd, ends + 1)

    async def items(self) -> list[it.AnyItem]:
        """Return the committed history."""
        return [stored.item for stored in await self.worker.history(0, 1000)]

    def names(self) -> list[str]:
        """Return the names of the events heard."""
        return [event_name(event) for event in self.heard]


def texts(request: ModelInput) -> list[str]:
    """Return what people and plugins said in `request`."""
    return [m.text for m in request.messages if isinstance(m, UserText)]
