"""What a worker of the running host did and does: its history page by page, and what follows."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yoi.cli.host_calls import ask
from yoi.errors import ControlError


def items_of(folder: Path, name: str, after: int) -> Iterator[dict[str, Any]]:
    """Yield the committed items after place `after`, up to those there when the last page came."""
    while items := ask(folder, "worker.history", name=name, after=after)["items"]:
        yield from items
        after = items[-1]["seq"]


def messages_of(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield what the model would be asked now: first the instructions and tools, then messages."""
    after = 0
    answer = ask(folder, "worker.as_sent", name=name)
    yield {"role": "system", "text": answer["instructions"], "tools": answer["tools"]}
    while page := answer["page"]:
        yield from page
        after += len(page)
        answer = ask(folder, "worker.as_sent", name=name, after=after)


def result_of(folder: Path, name: str, seq: int) -> str | None:
    """Return how the run that took input `seq` ended, or None while it has not."""
    taken = False
    for item in items_of(folder, name, seq):
        taken = taken or (item["type"] == "run_start" and seq in item["takes"])
        if taken and item["type"] == "run_end":
            return str(item["result"])
    return None


@contextlib.contextmanager
def following(folder: Path, name: str) -> Iterator[tuple[dict[str, Any], Iterator[dict[str, Any]]]]:
    """Give a snapshot and an endless iterator over what follows it."""
    begun = ask(folder, "worker.watch", name=name)
    try:
        yield begun["snapshot"], _events(folder, begun["watch"])
    finally:
        with contextlib.suppress(ControlError):
            ask(folder, "worker.unwatch", watch=begun["watch"])


def _events(folder: Path, watch: str) -> Iterator[dict[str, Any]]:
    while True:
        answer = ask(folder, "worker.poll", watch=watch)
        yield from answer["events"]
        if answer["lagged"]:
            raise ControlError(
                "control.refused", "this screen is too slow for the worker; look at its history"
            )
        if answer["ended"]:
            return
