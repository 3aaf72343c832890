"""Dead letters as tables and text for people. What the host answers is parsed before."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import RenderableType

from yoi.cli.layout import lines, many, moment, pairs, table
from yoi.cli.output import plain, shown
from yoi.cli.service_view import PAYLOAD_LINES, converted
from yoi.display import shell_word


class DeadLetterView(msgspec.Struct):
    """One event that was given up, as the control socket tells it."""

    event_id: str
    kind: str
    ingress: str
    attempt: int
    code: str
    message: str
    at: str
    event: Any = None


def parse_letters(answer: Any) -> list[DeadLetterView]:
    """Return the dead letters in a control answer."""
    letters: list[DeadLetterView] = converted(answer, list[DeadLetterView])
    return letters


def letter_table(name: str, letters: Sequence[DeadLetterView]) -> RenderableType:
    """Return the dead letters and how to go on with them."""
    if not letters:
        return shown(f"{name} has no dead letters")
    grid = table("event", "kind", "ingress", ">attempt", "given up", "why")
    for one in letters:
        grid.add_row(
            shown(one.event_id),
            shown(one.kind),
            shown(one.ingress),
            shown(one.attempt),
            shown(moment(one.at)),
            shown(f"{one.message} [{one.code}]"),
        )
    return lines(
        [
            grid,
            shown(
                f"  see one:      yoi service dead-letters {shell_word(name)} EVENT", style="cyan"
            ),
            shown(f"  deliver one:  yoi service replay {shell_word(name)} EVENT", style="cyan"),
            shown(f"  throw away:   yoi service discard {shell_word(name)} EVENT", style="cyan"),
        ]
    )


def letter(one: DeadLetterView) -> RenderableType:
    """Return one dead letter in full, its payload as escaped JSON."""
    rows = [
        ("event", shown(one.event_id)),
        ("kind", shown(one.kind)),
        ("ingress", shown(one.ingress)),
        ("attempt", shown(one.attempt)),
        ("given up", shown(moment(one.at))),
        ("why", shown(f"{one.message} [{one.code}]")),
    ]
    body = json.dumps(plain(one.event), indent=2, ensure_ascii=True).splitlines()
    parts: list[RenderableType] = [pairs(rows), ""]
    parts += [shown(row, 2048) for row in body[:PAYLOAD_LINES]]
    if len(body) > PAYLOAD_LINES:
        parts.append(shown(f"... {len(body) - PAYLOAD_LINES} more lines: add --json", style="dim"))
    return lines(parts)


def replayed(name: str, event_ids: Sequence[str]) -> RenderableType:
    """Return what was queued again."""
    return shown(f"{many(len(event_ids), 'event')} queued again for {name}")


def to_be_replayed(name: str, event_ids: Sequence[str]) -> RenderableType:
    """Return what the next host will deliver."""
    return lines(
        [
            shown(f"{many(len(event_ids), 'event')} of {name} will be delivered by the next host"),
            shown("  start it with: yoi serve", style="cyan"),
        ]
    )


def discarded(name: str, event_ids: Sequence[str]) -> RenderableType:
    """Return what was thrown away."""
    return shown(f"{many(len(event_ids), 'dead letter')} of {name} discarded")
