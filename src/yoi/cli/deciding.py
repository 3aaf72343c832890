"""What a person typed about a call that waits, as the decision that the host reads."""

import json
import re
from collections.abc import Sequence
from typing import Any

from yoi.errors import UsageError

_TIME = re.compile(r"([1-9][0-9]{0,5})([mhd])", re.ASCII)
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def decision(
    scope: str, matches: Sequence[str], lasts: str | None, *, deny: bool
) -> dict[str, Any]:
    """Return the parameters of `worker.approve`, all but which call. Raises UsageError."""
    if deny and (scope != "once" or matches or lasts):
        raise UsageError("usage.arguments", "--deny goes with no --for, --match or --lasts")
    made: dict[str, Any] = {"approved": not deny, "scope": str(scope)}
    if matches:
        made["matches"] = [_match(text) for text in matches]
    if lasts is not None:
        made["lasts_s"] = seconds(lasts)
    return made


PROMPT = "[y]es, [r] for this run, [e]xact call for 8 h, [m ARGUMENT ...] where these stay, [n]o"


def typed(line: str, arguments: str) -> dict[str, Any] | None:
    """Return the decision that a person typed at the prompt about a call; None for an empty line.

    Raises UsageError for anything that is no answer.
    """
    word, *names = line.split()[:16] or [""]
    answer = {"y": "once", "yes": "once", "r": "run", "e": "exact", "m": "matching"}.get(word)
    if not word:
        return None
    if word in ("n", "no") and not names:
        return decision("once", (), None, deny=True)
    if answer is None or bool(names) != (answer == "matching"):
        raise UsageError("usage.arguments", f"that is no answer: {PROMPT}")
    made = decision(answer, (), None, deny=False)
    if names:
        made["matches"] = [_stays(name, arguments) for name in names]
    return made


def _stays(name: str, arguments: str) -> dict[str, Any]:
    """Return the match of later calls whose argument `name` is as it is in `arguments`."""
    from yoi.permissions.pointers import JsonPointer

    try:
        value = json.loads(arguments)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError("usage.arguments", f"the call has no argument {name!r}") from None
    return {"at": str(JsonPointer((name,))), "equals": value}


def seconds(text: str) -> int:
    """Return how many seconds `30m`, `2h` or `7d` are. Raises UsageError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise UsageError(
            "usage.arguments", f"{text!r} is not a time", hint="write it like 30m, 2h or 7d"
        )
    return int(found[1]) * _SECONDS[found[2]]


def _match(text: str) -> dict[str, Any]:
    """Return the table in `at = "/a", equals = 1`, with or without its braces."""
    from yoi.toml import TomlFault, parse_toml

    inner = text.strip().removeprefix("{").removesuffix("}")
    try:
        found: dict[str, Any] = parse_toml(f"match = {{{inner}}}".encode())["match"]
    except TomlFault as exc:
        raise UsageError(
            "usage.arguments",
            f"--match {text!r} cannot be read: {exc.message}",
            hint="""write it like --match 'at = "/channel", equals = "general"'""",
        ) from None
    return found
