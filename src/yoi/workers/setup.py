"""What one worker is made of."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from yoi.journal.log import Journal
from yoi.journal.ownership import Ownership, SoleOwner
from yoi.limits import LIMITS, Limits
from yoi.types import Clock
from yoi.workers.budget import NO_BUDGET, Budget
from yoi.workers.engine import Engine
from yoi.workers.tools import ToolRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What a worker is made of. `tools` is asked at the start of each run."""

    name: str
    instructions: str
    max_turns: int
    engine: Engine
    tools: Callable[[], ToolRegistry]
    journal: Journal
    clock: Clock
    limits: Limits = LIMITS
    models: tuple[str, ...] = ()
    """The engine's models where it has several."""
    approval_deadline_ms: int | None = None
    window: int | None = None
    """Tokens that the model takes, where the operator said so."""
    compact_at: int = 80
    """Percent of `window` at which the history is summed up."""
    budget: Budget = NO_BUDGET
    compact_keep: int = 4
    """The newest messages, which a summary that the worker makes by itself leaves as they are."""
    agains: int = LIMITS.run_agains
    """How often in a row the inputs of a run that failed in passing are taken up again."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ownership: Ownership = field(default_factory=SoleOwner)
    rng: Callable[[], float] = field(default=random.random)
