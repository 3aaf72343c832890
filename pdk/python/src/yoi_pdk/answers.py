"""Checking what handlers return. Used by the runner inside the sandbox and by `yoi_pdk.testing`."""

import json
from collections.abc import Iterable
from typing import Any

from yoi_pdk.commands import Command, Reply, Send
from yoi_pdk.deferral import Defer
from yoi_pdk.handlers import finished
from yoi_pdk.limits import COMMANDS_PER_EVENT, DOCUMENT_BYTES, MESSAGE_BYTES, STATUS_BYTES
from yoi_pdk.tools import ToolResult


def commands(answer: Any, handler: str) -> list[Command]:
    """Return the commands in what `handler` returned.

    Raises TypeError for anything that is not None, a command or an iterable of commands, and
    ValueError for too many, too large, or the same id twice; each names the fix.
    """
    answer = finished(answer, handler)
    if answer is None:
        return []
    found = [answer] if isinstance(answer, Command) else _several(answer, handler)
    seen: set[str] = set()
    for command in found:
        command_id = getattr(command, "id", None)
        if command_id is not None:
            if command_id in seen:
                raise ValueError(f"{handler} returned two commands with the id {command_id!r}")
            seen.add(command_id)
        bound = MESSAGE_BYTES if isinstance(command, (Reply, Send)) else DOCUMENT_BYTES
        for value in (getattr(command, "text", None), getattr(command, "data", None)):
            if value is not None and _bytes(value, bound) > bound:
                raise ValueError(
                    f"{handler} returned a message of {_bytes(value, bound)} bytes or more; "
                    f"the bound is {bound}"
                )
        document = getattr(command, "json", None)
        if document is not None and len(json.dumps(document).encode()) > DOCUMENT_BYTES:
            raise ValueError(
                f"{handler} returned a JSON document; the bound is {DOCUMENT_BYTES} bytes: "
                "send a large one as text, such as Send(json.dumps(document))"
            )
    return found


def _bytes(value: str | bytes, bound: int) -> int:
    """Return the size of `value` in UTF-8; of a text far from the bound, at most that."""
    if isinstance(value, str) and bound // 4 < len(value) <= bound:
        return len(value.encode("utf-8", "surrogatepass"))
    return len(value)


def _several(answer: Any, handler: str) -> list[Command]:
    if isinstance(answer, str):
        raise TypeError(f"{handler} returned a str: return event.reply(...) to send it")
    if isinstance(answer, (bytes, dict)) or not isinstance(answer, Iterable):
        raise TypeError(
            f"{handler} returned {_article(answer)}: "
            "return None, one command, or a list of commands such as [event.reply(...)]"
        )
    found: list[Command] = []
    for item in answer:
        if not isinstance(item, Command):
            raise TypeError(
                f"{handler} returned {_article(item)} among its commands: "
                "each must be event.reply(...), Send(...), Request(...) or another command"
            )
        found.append(item)
        if len(found) > COMMANDS_PER_EVENT:
            raise ValueError(
                f"{handler} returned more than {COMMANDS_PER_EVENT} commands for one event"
            )
    return found


def tool_result(answer: Any, handler: str = "on_tool") -> ToolResult | Defer:
    """Return what a tool returned as a ToolResult or Defer; raises TypeError naming the fix."""
    answer = finished(answer, handler)
    if isinstance(answer, ToolResult | Defer):
        commands(answer.commands, handler)
        return answer
    if isinstance(answer, str):
        return ToolResult(answer)
    if isinstance(answer, dict):
        return ToolResult("ok", answer)
    raise TypeError(
        f"{handler} returned {_article(answer)}: "
        "return a str, a dict, ToolResult(summary, content) or Defer(id, timeout_ms, commands)"
    )


def status_object(answer: Any) -> dict[str, Any]:
    """Return what `status()` returned; raises TypeError or ValueError naming the fix."""
    if answer is None:
        return {}
    if not isinstance(answer, dict):
        raise TypeError(f"status() returned {_article(answer)}: return a dict")
    size = len(json.dumps(answer).encode())
    if size > STATUS_BYTES:
        raise ValueError(f"status() returned {size} bytes of JSON; the bound is {STATUS_BYTES}")
    return answer


def lean(found: list[Command]) -> str | None:
    """Return the text of an answer that is exactly one plain reply, else None."""
    if len(found) == 1 and type(found[0]) is Reply:
        return found[0].text
    return None


def _article(value: Any) -> str:
    name = type(value).__name__
    if value is None:
        return "None"
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"
