"""What a tool call looks like to the command gate, and what its caller reads of the commands."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from yoi.core.gate import Refused
from yoi.errors import PermissionDenied
from yoi.protocol.ingress import IngressEvent
from yoi.types import Clock, rfc3339_ms
from yoi.workers.tools import PluginTool

_KIND = "tool_call"


def require_offered(offers: Iterable[PluginTool], service: str, name: str) -> None:
    """Raise PermissionDenied unless `name` is declared and granted (P4)."""
    if all(offer.name != name for offer in offers):
        raise PermissionDenied(
            "denied.not_granted",
            f"{service} offers no tool {name!r}: it is not declared, not granted, or switched off",
            hint=f"yoi plugin show {service}",
        )


def tool_event(name: str, ingresses: Sequence[str], clock: Clock) -> IngressEvent:
    """Return the event that a tool's commands answer; it is never queued.

    It has no session. What its commands bring about is heard on the first ingress, if there is one.
    """
    return IngressEvent(
        kind=_KIND,
        source=f"tool:{name}",
        ingress_name=ingresses[0] if ingresses else "",
        payload={},
        created_at=rfc3339_ms(clock.wall_ms()),
        correlation_id=f"tool.{secrets.token_hex(8)}",
    )


def with_refused(output: Any, refused: Sequence[Refused]) -> Any:
    """Return `output` and, for whoever called, which of the tool's commands came to nothing.

    A caller that reads "sent" must not believe it. Hints are for the operator and stay out.
    """
    if not refused:
        return output
    told = [
        {"command_id": one.command_id, "kind": one.kind, "code": one.code, "message": one.message}
        for one in refused
    ]
    return {**output, "refused": told} if isinstance(output, dict) else output
