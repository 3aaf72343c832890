"""Watching workers and services: for scripts, `yoi watch`, and the backend itself.

async with observe(Target.worker(url, "triage", token=token)) as watch:
    async for value in watch:
        ...
"""

from yoi.client.commands import affordances, approve, command
from yoi.client.connection import Observation, observe
from yoi.client.http import RuntimeListing, fetch, runtimes
from yoi.client.outcomes import Why
from yoi.client.target import Locate, Server, Target, trusting
from yoi.client.tracker import Opening
from yoi.client.values import (
    Bookmark,
    CaughtUp,
    Diagnostic,
    Disconnected,
    Ended,
    Event,
    Reconnected,
    Resumed,
    Resync,
    Snapshot,
    Value,
)
from yoi.client.view import FoldedView, NoView, View

__all__ = [
    "Bookmark",
    "CaughtUp",
    "Diagnostic",
    "Disconnected",
    "Ended",
    "Event",
    "FoldedView",
    "Locate",
    "NoView",
    "Observation",
    "Opening",
    "Reconnected",
    "Resumed",
    "Resync",
    "RuntimeListing",
    "Server",
    "Snapshot",
    "Target",
    "Value",
    "View",
    "Why",
    "affordances",
    "approve",
    "command",
    "fetch",
    "observe",
    "runtimes",
    "trusting",
]
