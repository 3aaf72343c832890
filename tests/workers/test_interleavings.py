"""T3, T4 under random interleavings of inputs, notifications, tools, people, crashes and restarts.

Three promises are checked at every model call and at the end, against the raw stored history:
the model's input is the pure function of it; nothing from outside is in it without a committed
system item; every tool call ran at most once and has exactly one result or recorded interruption.
A start from the last checkpoint reads what a start from the whole history reads.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.redactors import NoRedaction
from tests.workers.test_checkpoint import both
from tests.workers.worlds import World, tool

from yoi.errors import YoiError
from yoi.journal.log import Append
from yoi.journal.memory import MemoryJournal
from yoi.limits import Limits
from yoi.workers import items as it
from yoi.workers.approvals import Decision
from yoi.workers.context import ModelInput, model_input
from yoi.workers.items import Stored, decode_item
from yoi.workers.notify import Notification, Notifications
from yoi.workers.phases import Phase
from yoi.workers.rules import NotifyRule
from yoi.workers.scripted import CallTool, Fail, Line, Say, ScriptedEngine, Think
from yoi.workers.transcript import Transcript
from yoi.workers.view import as_sent

LIMITS = Limits(llm_attempts=2, worker_inputs=4, run_resumes=2)
RULES = {"loud": NotifyRule("loud", True, 1000), "quiet": NotifyRule("quiet", False, 1000)}


class MortalJournal(MemoryJournal):
    """A memory journal whose process can die: before a commit, or between it and its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.generation = 0
        self.die_after_next = False

    async def commit(self, appends: Sequence[Append]) -> None:
        generation = self.generation
        await asyncio.sleep(0)  # the way to the disk
        if generation != self.generation:
            await asyncio.Event().wait()  # this process is dead: it never learns anything
        await super().commit(appends)
        if self.die_after_next:
            self.die_after_next = False
            self.generation += 1
            await asyncio.Event().wait()
        await asyncio.sleep(0)  # the way back

    def stored(self) -> list[Stored]:
        log = self._logs.get("worker:w")
        records = [] if log is None else log.records
        return [Stored(seq, decode_item(data)) for seq, data in enumerate(records, 1)]


class Simulation:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.journal = MortalJournal()
        self.ran: Counter[str] = Counter()
        self.markers: set[str] = set()
        self.asked = 0
        self.count = 0
        self.alive = False

    def script(self, request: ModelInput) -> Sequence[Line]:
        self.check_input(request)
        self.asked += 1
        lines: list[Line] = []
        for _ in range(self.random.randrange(3)):
            self.count += 1
            name = self.random.choice(["free", "asked", "slow", "broken", "gone"])
            text = self.random.choice([f'"n{self.count}"', "3"])
            lines.append(CallTool(name, f'{{"text":{text}}}'))
        if self.random.random() < 0.2:
            lines.insert(0, Think("hm"))
        if self.random.random() < 0.1:
            lines.append(Fail("broke", retryable=self.random.random() < 0.5))
        return lines or [Say(f"said {self.asked}")]

    def check_input(self, request: ModelInput) -> None:
        stored = self.journal.stored()
        assert request == as_sent(model_input(stored), ScriptedEngine.name)
        said = msgspec.json.encode(request).decode()
        committed = "".join(s.item.text for s in stored if isinstance(s.item, it.SystemItem))
        for marker in self.markers:
            assert marker not in said or marker in committed

    async def free(self, arguments: dict[str, Any]) -> str:
        self.ran[arguments["text"]] += 1
        return "ok"

    async def slow(self, arguments: dict[str, Any]) -> str:
        self.ran[arguments["text"]] += 1
        for _ in range(self.random.randrange(30)):
            await asyncio.sleep(0)
        return "late"

    async def broken(self, arguments: dict[str, Any]) -> str:
        self.ran[arguments["text"]] += 1
        raise RuntimeError

    async def birth(self) -> None:
        tools = [
            tool("free", function=self.free),
            tool("asked", "ask", function=self.free),
            tool("slow", function=self.slow),
            tool("broken", function=self.broken),
        ]
        self.world = World(self.script, tools, self.journal, LIMITS, max_turns=4)
        self.worker = self.world.worker
        self.desk = Notifications(NoRedaction(), self.world.clock, LIMITS)
        self.desk.open(self.worker, RULES)
        self.life = self.journal.generation
        starting = asyncio.ensure_future(self.worker.start())
        for _ in range(100):
            await asyncio.sleep(0)
            if starting.done():
                starting.result()
                self.alive = True
                return
        await self.crash()  # it died while it recovered
        await self.birth()

    async def crash(self) -> None:
        """Everything in memory is gone; what was committed stays."""
        if self.life == self.journal.generation:
            self.journal.generation += 1
        driver = self.worker._driver
        for task in (driver._operation, driver._task):
            if task is not None:
                task.cancel()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.alive = False

    async def do(self, op: str, number: int) -> None:
        if self.journal.generation != getattr(self, "life", self.journal.generation):
            await self.crash()
        if not self.alive:
            await self.birth()
        with contextlib.suppress(YoiError):
            match op:
                case "send":
                    self.begin(self.worker.send(f"input {number}"))
                case "notify":
                    self.count += 1
                    marker = f"marker-{self.count}-end"
                    self.markers.add(marker)
                    self.begin(self.notify(marker, number))
                case "pause":
                    self.begin(self.worker.pause("ann"))
                case "resume":
                    self.begin(self.worker.resume("ann"))
                case "cancel":
                    await self.worker.cancel()
                case "approve":
                    for waiting in self.worker.status().approvals[:1]:
                        self.begin(
                            self.worker.approve(
                                Decision(question=waiting.item, approved=number % 2 == 0), "ann"
                            )
                        )
                case "compact":
                    self.begin(self.worker.compact())
                case "crash":
                    await self.crash()
                case "die":
                    self.journal.die_after_next = True
                case "restart":
                    self.journal.die_after_next = False
                    await self.worker.stop()
                    self.alive = False
        for _ in range(number):
            await asyncio.sleep(0)

    def begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())

    async def notify(self, marker: str, number: int) -> None:
        await self.desk.notify(
            Notification(
                worker="w",
                text=marker,
                plugin=["loud", "quiet", "stranger"][number % 3],
                plugin_id="p",
                digest="sha256:0",
                ingress="events",
                event_id="e",
                command_id=f"c{self.random.randrange(40)}",
            )
        )

    async def settle(self) -> None:
        """Let the worker finish what it can, a person helping."""
        self.journal.die_after_next = False
        for _ in range(60):
            await self.do("approve", 10)
            if self.worker.phase is Phase.PAUSED:
                await self.do("resume", 10)
            await self.do("none", 40)
            if self.worker.phase is Phase.IDLE and self.worker.status().run is None:
                return
        raise AssertionError("the worker does not come to rest")

    def check_history(self) -> None:
        stored = self.journal.stored()
        transcript = Transcript()  # the stored items keep every rule, from the first on
        calls: Counter[str] = Counter()
        results: Counter[str] = Counter()
        for place, item in stored:
            assert transcript.apply(item, 0) == place
            if isinstance(item, it.Assistant) and item.finish == "complete":
                calls.update(f"{c.id}" for c in item.parts if isinstance(c, it.Call))
            if isinstance(item, it.ToolResult):
                results[item.call_id] += 1
        assert transcript.run is None
        assert calls == results
        assert all(times == 1 for times in self.ran.values())
        commands = [
            (s.item.provenance.plugin, s.item.provenance.command_id)
            for s in stored
            if isinstance(s.item, it.SystemItem)
        ]
        assert len(commands) == len(set(commands))
        assert all(plugin != "stranger" for plugin, _ in commands)


OPS = st.sampled_from(
    [
        *["send", "notify", "approve"] * 3,
        *["pause", "resume", "cancel", "compact", "restart"],
        *["crash", "die"] * 2,
    ]
)


@settings(max_examples=500)
@given(st.integers(0, 2**32), st.lists(st.tuples(OPS, st.integers(0, 40)), min_size=5, max_size=50))
def test_every_interleaving_keeps_the_promises(seed, ops):
    async def run() -> None:
        simulation = Simulation(seed)
        for op, number in ops:
            await simulation.do(op, number)
        await simulation.settle()
        await simulation.worker.stop()
        simulation.check_history()
        whole, kept, _ = await both(simulation.journal)
        assert kept == whole

    asyncio.run(run())
