"""What host.toml of this account changes about a review, in words."""

from typing import TYPE_CHECKING, Any

from yoi.cli.output import Output, shown
from yoi.errors import YoiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from yoi.permissions import PermissionSet


def names_note(requested: "PermissionSet") -> str | None:
    """Return who decides where the names of the targets lead, where that is not this machine."""
    from yoi.serving.host_settings import HostSettings

    targets = (*requested.websocket, *requested.request)
    if not targets:
        return None
    try:
        out = HostSettings.load().ways_out
    except YoiError as exc:
        return f"by which ways its targets are reached is unknown: {exc.message}"
    handed = any(out.hands_over_some(one.host) for one in targets)
    return out.names_in_words() if handed else None


def names_lines(requested: "PermissionSet") -> "Sequence[RenderableType]":
    """Return the same for a person, as lines of a review."""
    from yoi.cli.layout import whole

    note = names_note(requested)
    return [] if note is None else [whole(shown(f"  {note}", 1024, "bold yellow"))]


def mention_host(host: "Mapping[str, Any]", output: Output) -> None:
    """Tell a person what of a running host concerns all its services: `host.status`'s answer."""
    if host.get("starting"):
        output.note("the host is starting: what is enabled is being started", "yellow")
    note = (host.get("network") or {}).get("note")
    if isinstance(note, str):
        output.note(note, "yellow")
    for alert in host.get("alerts", ()):
        output.note(f"{alert['message']}; {alert.get('hint') or ''}".rstrip("; "), "yellow")
