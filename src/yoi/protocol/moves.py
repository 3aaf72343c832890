"""Changes of the machine that runs a service or worker, as commands and screens tell of them."""

from enum import StrEnum

import msgspec


class Left(StrEnum):
    """Why a machine has a service or worker no more."""

    DIED = "died"
    DRAINED = "drained"
    """It was told to hand over all it ran, or to stop."""
    MOVED = "moved"
    """A person moved this one."""
    PLACED = "placed"
    """What is decided has it run elsewhere, or had it not run at all."""
    BARRED = "barred"
    """It was taken over too often without handling anything; a person released it."""


class MoveReport(msgspec.Struct, frozen=True):
    """One change: when, from which machine to which, and why."""

    at: str
    source: str
    """The machine that had it; the same as `target` where that one was started again."""
    target: str
    why: str = ""
    """A `Left`; empty where it is not known."""
