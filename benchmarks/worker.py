"""A worker beside the same agent run bare in pydantic-ai, in one process.

    python benchmarks/worker.py [--runs 5]

Both use the same pydantic-ai model, fed by the same function, so the model itself costs the same.
`delta_ratio`: time per streamed text delta, from the engine to a listener on the worker's bus, over
the time per delta event of the bare agent (the faster of its two ways to listen). `tool_ratio`:
time per turn with one tool call, the worker's history committed to SQLite, over the same turn of
the bare agent. Runs are interleaved; figures are medians. Below 1 the worker is the faster one.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from harness import ending, figures
from harness.processes import BenchmarkError
from pydantic_ai import Agent
from pydantic_ai.messages import FunctionToolResultEvent, ModelMessage, PartDeltaEvent
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from yoi.journal.sqlite import SqliteJournal
from yoi.protocol import events as ev
from yoi.types import SystemClock
from yoi.workers.items import Origin, ToolSpec
from yoi.workers.pydantic_engine import PydanticEngine
from yoi.workers.setup import WorkerSetup
from yoi.workers.tools import Tool, ToolRegistry
from yoi.workers.worker import Worker

DELTAS = 20_000
CALLS = 40  # within the run's default bound on turns


async def many_deltas(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    """Stream DELTAS short pieces of text."""
    for _ in range(DELTAS):
        yield "word "


async def many_calls(
    messages: list[ModelMessage], info: AgentInfo
) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
    """Call the tool once per turn until CALLS results are there."""
    done = sum(part.part_kind == "tool-return" for message in messages for part in message.parts)
    if done < CALLS:
        yield {
            0: DeltaToolCall(
                name="double", json_args=f'{{"number":{done}}}', tool_call_id=f"c{done}"
            )
        }
    else:
        yield "done"


async def bare_stream(agent: Agent[None, str], counted: type) -> float:
    """Return µs per event of type `counted`, heard through `run_stream_events`."""
    heard = 0
    begun = time.perf_counter()
    async with agent.run_stream_events("go") as events:
        async for event in events:
            if isinstance(event, counted):
                heard += 1
    return (time.perf_counter() - begun) * 1e6 / heard


async def bare_iter(agent: Agent[None, str], counted: type) -> float:
    """Return µs per event of type `counted`, heard by walking the agent's nodes."""
    heard = 0
    begun = time.perf_counter()
    async with agent.iter("go") as run:
        async for node in run:
            if Agent.is_model_request_node(node) or Agent.is_call_tools_node(node):
                async with node.stream(run.ctx) as events:
                    async for event in events:
                        if isinstance(event, counted):
                            heard += 1
    return (time.perf_counter() - begun) * 1e6 / heard


async def bare(function: Any, counted: type) -> float:
    """Return µs per event of the bare agent, by the faster of the library's two ways to listen."""
    agent = Agent(FunctionModel(stream_function=function))

    @agent.tool_plain(name="double")
    async def doubled(number: int) -> int:
        """Double it."""
        return 2 * number

    return min(await bare_stream(agent, counted), await bare_iter(agent, counted))


async def double(arguments: dict[str, Any]) -> Any:
    """Double it."""
    return 2 * arguments["number"]


DOUBLE = Tool(
    ToolSpec(
        name="double",
        description="Double it.",
        input_schema={
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
            "additionalProperties": False,
        },
        approval="auto",
        origin=Origin(kind="builtin"),
    ),
    double,
)


async def worker_run(function: Any, counted: type, folder: Path) -> float:
    """Return µs per event of type `counted` in one run of a worker."""
    journal = await SqliteJournal.open(folder / f"{time.monotonic_ns()}.db")
    worker = Worker(
        WorkerSetup(
            name="bench",
            instructions="",
            max_turns=CALLS + 1,
            engine=PydanticEngine("function:bench", FunctionModel(stream_function=function), {}),
            tools=lambda: ToolRegistry([DOUBLE]),
            journal=journal,
            clock=SystemClock(),
        )
    )
    heard = 0
    ended = asyncio.Event()

    def listen(event: ev.Event) -> None:
        nonlocal heard
        if type(event) is counted:
            heard += 1
        elif type(event) is ev.RunEnd:
            ended.set()

    worker.bus.listen(listen)
    await worker.start()
    begun = time.perf_counter()
    await worker.send("go")
    await ended.wait()
    elapsed = time.perf_counter() - begun
    await worker.stop()
    await journal.close()
    if heard < CALLS:
        raise BenchmarkError(f"only {heard} of {CALLS} events were heard")
    return elapsed * 1e6 / heard


async def measure(runs: int) -> dict[str, list[float]]:
    """Return the runs of each case, interleaved."""
    found: dict[str, list[float]] = {key: [] for key in ("bare_d", "yoi_d", "bare_t", "yoi_t")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(runs + 1):
            found["bare_d"].append(await bare(many_deltas, PartDeltaEvent))
            found["yoi_d"].append(await worker_run(many_deltas, ev.TextDelta, folder))
            found["bare_t"].append(await bare(many_calls, FunctionToolResultEvent))
            found["yoi_t"].append(await worker_run(many_calls, ev.ToolResult, folder))
    return {key: values[1:] for key, values in found.items()}  # the first run warms up


def main() -> None:
    """Run and print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    ending.conclude(lambda: conclusion(arguments.runs))


def conclusion(runs: int) -> dict[str, object]:
    """Print the table; return the last line."""
    found = asyncio.run(measure(runs))
    middle = {key: figures.median(values) for key, values in found.items()}
    print(
        figures.table(
            ["µs, median (min-max)", "bare pydantic-ai", "Yoi worker"],
            [
                ["per text delta", *(figures.spread(found[k], 2) for k in ("bare_d", "yoi_d"))],
                ["per tool call", *(figures.spread(found[k]) for k in ("bare_t", "yoi_t"))],
            ],
        )
    )
    return {
        "bench": "worker",
        "delta_ratio": round(middle["yoi_d"] / middle["bare_d"], 3),
        "tool_ratio": round(middle["yoi_t"] / middle["bare_t"], 3),
        "delta_us": round(middle["yoi_d"], 2),
        "tool_us": round(middle["yoi_t"], 1),
    }


if __name__ == "__main__":
    main()
