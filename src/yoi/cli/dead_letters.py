"""Dead letters, asked of the running host, or read from the log where none runs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from yoi.cli.dead_letter_view import DeadLetterView, parse_letters
from yoi.cli.host_calls import ask
from yoi.display import shell_word
from yoi.errors import ControlError, UsageError

Act = Literal["replay", "discard"]


def listed(workspace: Path, name: str) -> tuple[list[DeadLetterView], bool]:
    """Return the dead letters of the service `name`, and whether a host runs that has them."""
    try:
        return parse_letters(ask(workspace, "service.dead_letters", name=name)), True
    except ControlError as exc:
        if exc.code != "control.unreachable":
            raise
    return parse_letters(asyncio.run(_stopped(workspace, name))), False


def act(
    workspace: Path, what: Act, name: str, event_ids: Sequence[str], *, every: bool
) -> tuple[list[str], bool]:
    """Replay or discard those named, or all; return their ids, and whether a host has done it."""
    if bool(event_ids) == every:
        raise UsageError(
            "usage.arguments",
            f"name the events to {what}, or say --all",
            hint=f"yoi service dead-letters {shell_word(name)}",
        )
    letters, running = listed(workspace, name)
    wanted = list(event_ids) or [one.event_id for one in letters]
    if not running:
        asyncio.run(_decided(workspace, what, name, wanted))
        return wanted, False
    for event_id in wanted:
        ask(workspace, f"service.{what}", name=name, event_id=event_id)
    return wanted, True


async def _stopped(workspace: Path, name: str) -> list[dict[str, Any]]:
    from yoi.decisions.port import AccountDecisions
    from yoi.host.stopped_letters import stopped_letters

    async with stopped_letters(workspace, name, AccountDecisions()) as found:
        return [one.to_json() for one in found.letters]


async def _decided(workspace: Path, what: Act, name: str, event_ids: list[str]) -> None:
    from yoi.decisions.port import AccountDecisions
    from yoi.host.stopped_letters import stopped_letters

    async with stopped_letters(workspace, name, AccountDecisions()) as found:
        await (found.replay if what == "replay" else found.discard)(event_ids)
