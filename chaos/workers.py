"""A seeded month of an unattended worker in compressed time: `make workers` prints one JSON line.

A provider that refuses, filters, cuts, throttles, overflows, falls silent for hours and is changed
for another with other rules and another window, against strangers who send what broke it and a
person who asks every day and decides nothing. A message counts as answered when an answer was given
to a request that held it, as set aside when the history says so; `needless` are texts set aside
with one that was refused, because the search has eight requests. `illegal` requests broke the rules
of their provider's interface; `undecided` calls were answered because nobody decided in time.
"""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from random import Random

import msgspec
from tests.workers import providers

from yoi.errors import ModelError
from yoi.journal.memory import MemoryJournal
from yoi.protocol import events as ev
from yoi.testing import ManualClock
from yoi.workers import items as it
from yoi.workers import steps
from yoi.workers.context import ModelInput, model_input
from yoi.workers.engine import Answer, Said, TokenUsage
from yoi.workers.items import Origin, ToolSpec
from yoi.workers.setup import WorkerSetup
from yoi.workers.tools import Tool, ToolRegistry
from yoi.workers.view import as_sent
from yoi.workers.worker import Worker

WINDOW_BYTES = 24_000
"""The smallest window of all providers."""
RULES = (
    lambda request: providers.openai(providers.to_openai(request), most_bytes=2**30),
    lambda request: providers.anthropic(providers.to_anthropic(request)),
    lambda request: providers.google(providers.to_google(request)),
)
DAY_S = 86_400
POISON = "zebra"
_MARK = re.compile(r"m#[0-9]+")


class Provider:
    """A model with a window, a filter, bad minutes and bad hours."""

    def __init__(self, random: Random, clock: ManualClock) -> None:
        self._random, self._clock = random, clock
        self.changed = 0
        self.change()
        self.illegal = 0
        self.answered: set[str] = set()
        self.reached: set[str] = set()
        self.down_until = 0.0
        self.requests = 0

    def change(self) -> None:
        """Become another provider, with another name, other rules and another window."""
        self.changed += 1
        self.name = f"provider{self.changed}:month"
        self._legal = self._random.choice(RULES)
        self._window = WINDOW_BYTES * self._random.choice([1, 2, 4])

    async def ask(self, request: ModelInput) -> AsyncIterator[Said | Answer]:
        self.requests += 1
        said = msgspec.json.encode(request.messages).decode()
        marks = set(_MARK.findall(said))
        self.reached |= marks
        luck = self._random.random()
        if self._clock.monotonic() < self.down_until:
            raise ModelError("model.provider", "down", retryable=True, status=503)
        if luck < 0.01:
            self.down_until = self._clock.monotonic() + self._random.randrange(60, 6 * 3600)
            raise ModelError("model.provider", "going down", retryable=True, status=503)
        if luck < 0.05:
            wait = self._random.choice([2, 40, 300])
            raise ModelError("model.provider", "slow down", retryable=True, retry_after=wait)
        try:
            self._legal(request)
        except providers.Refused as exc:
            self.illegal += 1
            raise ModelError("model.rejected", f"malformed: {exc}", status=400) from None
        if len(said) > self._window:
            raise ModelError("model.window", "too long", retryable=False, status=400)
        if POISON in said:
            raise ModelError("model.rejected", "filtered", for_content=True, status=400)
        yield ev.TextDelta(ev.TextData(text="Well"))
        if luck < 0.09:
            raise ModelError("model.provider", "cut", retryable=True)
        if luck < 0.12:
            yield Answer([], None)
            return
        if luck < 0.14:
            raise ModelError("model.rejected", "a passing fault", for_content=True, status=400)
        parts: list[it.Part] = [it.Text("Well: noted.")]
        if request.may_call and luck > 0.9:
            name = self._random.choice(["look", "look", "act", "in vented", "9"])
            arguments = self._random.choice(["{}", "[", ""])
            parts.append(it.Call(self._random.choice(["a", "call_" * 9]), name, arguments))
        self.answered |= marks
        yield Answer(parts, TokenUsage(len(said) // 4, 5))

    async def close(self) -> None:
        pass


class Month:
    """One worker, its provider, and everybody who writes to it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock()
        self.provider = Provider(self.random, self.clock)
        self.sent: set[str] = set()
        self.refused = 0
        tools = [
            Tool(
                ToolSpec(
                    name=name,
                    description=name,
                    input_schema={"type": "object", "properties": {}},
                    approval=approval,
                    origin=Origin(kind=kind, service="chat", tool=name),
                    after_outside="ask" if name == "act" else "allow",
                ),
                self.look,
            )
            for name, approval, kind in (("look", "auto", "builtin"), ("act", "auto", "plugin"))
        ]
        self.setup = WorkerSetup(
            name="w",
            instructions="Be short.",
            max_turns=10,
            engine=self.provider,
            tools=lambda: ToolRegistry(tools),
            journal=MemoryJournal(),
            clock=self.clock,
            sleep=self.sleep,
            rng=self.random.random,
            approval_deadline_ms=3_600_000,
        )
        self.worker = Worker(self.setup)

    async def look(self, _: object) -> str:
        return "nothing new " * self.random.choice([1, 400])

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    async def settle(self) -> bool:
        """Let the worker work until it rests; return whether it waits for a person."""
        for _ in range(200_000):
            status = self.worker.status()
            if status.paused_by is not None:
                return True
            if status.run is None and not status.waiting and status.again_at_ms is None:
                return False
            await asyncio.sleep(0)
        return True

    async def say(self, outside: bool) -> None:
        mark = f"m#{len(self.sent)}"
        kind = self.random.random()
        words = "all quiet " * self.random.choice([1, 1, 1, 60, 600])
        if kind < 0.03:
            words = f"a {POISON}"
        elif kind < 0.05:
            words = "x" * (WINDOW_BYTES + 5000) if not outside else "y" * 16_000
        text = f" {mark} {words}"
        if outside:
            origin = ev.Provenance(
                plugin="chat",
                plugin_id="project:chat",
                digest="sha256:0",
                ingress="events",
                event_id=mark,
                command_id=mark,
            )
            item = it.SystemItem(
                at_ms=self.clock.wall_ms(), text=text, provenance=origin, wakes=True
            )
            await self.worker.accept(item)
        else:
            await self.worker.send(text)
        self.sent.add(mark)

    async def run(self, days: int, a_day: int) -> dict[str, int]:
        """Live `days` and return what became of every message."""
        bricked = 0
        await self.worker.start()
        for _ in range(days):
            for _ in range(a_day):
                for _ in range(self.random.choice([1, 1, 1, 3])):
                    await self.say(outside=self.random.random() < 0.7)
                bricked += await self.settle()
                if self.worker.status().paused_by is not None:
                    await self.worker.resume("operator")
                self.clock.advance(DAY_S / a_day)
            if self.random.random() < 0.3:
                await self.worker.stop()
                if self.random.random() < 0.5:
                    self.provider.change()
                self.worker = Worker(self.setup)
                await self.worker.start()
        await self.settle()
        history = []
        while page := await self.worker.history(len(history), 1000):
            history += page
        await self.worker.stop()
        aside = {
            place
            for s in history
            if isinstance(s.item, it.SetAside) and not s.item.trial
            for place in s.item.places
        }
        texts = {
            s.seq: s.item.text for s in history if isinstance(s.item, it.UserInput | it.SystemItem)
        }
        committed = {mark for text in texts.values() for mark in _MARK.findall(text)}
        put_aside = {texts[place].split()[0] for place in aside if place in texts}
        decided = [s.item for s in history if isinstance(s.item, it.ApprovalDecided)]
        seen = as_sent(model_input(history), self.provider.name)
        assert seen == self.worker.as_sent()
        return {
            "days": days,
            "messages": len(self.sent),
            "answered": len(self.provider.answered & self.sent),
            "set_aside": len(put_aside),
            "needless": sum(
                POISON not in texts[place] and len(texts[place]) < WINDOW_BYTES // 2
                for place in aside
                if place in texts
            ),
            "lost": len(self.sent - self.provider.answered - put_aside),
            "bricked": bricked,
            "hidden": len(self.provider.reached - committed),
            "illegal": self.provider.illegal,
            "undecided": sum(item.by == steps.NOBODY for item in decided),
            "providers": self.provider.changed,
            "requests": self.provider.requests,
        }


def main() -> int:
    """Run the month; exit with 1 where something is lost, bricked or hidden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--messages", type=int, default=12, help="times a day that somebody writes")
    options = parser.parse_args()
    done = asyncio.run(Month(options.seed).run(options.days, options.messages))
    print(json.dumps(done))
    return 1 if any(done[key] for key in ("lost", "bricked", "hidden", "illegal")) else 0


if __name__ == "__main__":
    sys.exit(main())
