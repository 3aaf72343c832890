"""Tells a running host what was decided, and a person what came of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoi.cli.output import shown
from yoi.display import shell_word
from yoi.errors import ControlError

if TYPE_CHECKING:
    from rich.console import RenderableType


def reload_host(workspace: Path, entries: Sequence[str]) -> dict[str, Any]:
    """Tell a host that runs in `workspace` what was decided; return what it did, or why not."""
    from yoi.cli.host_calls import ask, host_runs

    done: dict[str, Any] = {"started": [], "stopped": [], "restarted": []}
    done |= {"replaced": [], "refused": []}
    if not host_runs(workspace):
        return {"running": False, **done, "error": None}
    try:
        return {
            "running": True,
            **done,
            **ask(workspace, "host.reload", entries=list(entries)),
            "error": None,
        }
    except ControlError as exc:
        error = {"code": exc.code, "message": exc.message, "hint": exc.hint}
        return {"running": True, **done, "error": error}


def done(words: str, host: dict[str, Any], missing: Sequence[str] = ()) -> "RenderableType":
    """Return that `words` was done, which secrets are missing, and what the host did."""
    from yoi.cli.layout import lines

    parts: list[RenderableType] = [shown(words, style="bold green")]
    for name in missing:
        parts.append(shown(f"  it lacks the secret {name}", style="yellow"))
        parts.append(shown(f"  hint: yoi secret set {shell_word(name)}", style="cyan"))
    return lines([*parts, *host_lines(host)])


def host_lines(host: Mapping[str, Any]) -> "Sequence[RenderableType]":
    """Return what `reload_host` returned, for a person."""
    parts: list[RenderableType] = []
    if not host["running"]:
        parts.append(shown("  no host is running; start one with: yoi serve", style="cyan"))
    elif host["error"] is not None:
        error = host["error"]
        parts.append(
            shown(
                f"  the running host could not reload: {error['message']} [{error['code']}]",
                1024,
                "bold yellow",
            )
        )
    elif host.get("pending"):
        words = "  the running host is still at it; follow it with: yoi service list"
        parts.append(shown(words, style="yellow"))
    else:
        for verb in ("started", "restarted", "stopped"):
            if host.get(verb):
                parts.append(shown(f"  the running host {verb}: {', '.join(host[verb])}", 1024))
        if host.get("replaced"):
            words = f"  the running host goes on as this version: {', '.join(host['replaced'])}"
            parts.append(shown(f"{words}; sessions that may stay open are open", 1024))
        for one in host.get("refused", ()):
            words = (
                f"  {one['name']} {one['version']} could not take over ({one['code']}: "
                f"{one['message']}); the version before it goes on. To try again: "
                f"yoi service restart {shell_word(one['name'])}"
            )
            parts.append(shown(words, 1024, style="yellow"))
    return parts
