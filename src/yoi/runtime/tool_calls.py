"""Calls a plugin's tools: the guest is asked, its commands pass the gate, the caller reads both."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from yoi.core.effects import Refused
from yoi.errors import GuestTrapped, PermissionDenied
from yoi.protocol.ingress import IngressEvent
from yoi.protocol.outcomes import Commands
from yoi.protocol.tool_answer import parse_tool_answer
from yoi.runtime.dispatcher import Dispatcher
from yoi.runtime.instance_slot import InstanceSlot
from yoi.runtime.outbox import Outbox
from yoi.runtime.service_spec import Instance, ServiceSpec
from yoi.types import Clock, rfc3339_ms
from yoi.workers.tools import PluginTool

_KIND = "tool_call"


class ToolCalls:
    """See the module docstring. `lost` hears of an instance that a call has ended."""

    def __init__(
        self,
        spec: ServiceSpec,
        slot: InstanceSlot,
        dispatcher: Dispatcher,
        outbox: Outbox,
        clock: Clock,
        tool_ms: int,
        lost: Callable[[Instance, GuestTrapped], None],
    ) -> None:
        self._name = spec.name
        self._calls = spec.calls
        self._ingress = spec.ingresses[0].name if spec.ingresses else ""
        self._slot = slot
        self._dispatcher = dispatcher
        self._outbox = outbox
        self._clock = clock
        self._tool_ms = tool_ms
        self._lost = lost

    async def call(self, instance: Instance, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return the tool's output as decoded JSON, once its commands have been carried out.

        Commands that came to nothing stand in the output. Raises YoiError.
        """
        work = msgspec.json.encode(arguments).decode()

        def call() -> str:
            with self._calls.tool_call():
                return instance.call_tool(name, work, self._tool_ms)

        try:
            answer = await self._slot.run(call)
        except GuestTrapped as exc:
            self._lost(instance, exc)
            raise
        self._slot.collect_output()
        event = self._event(name)
        parsed = parse_tool_answer(answer, name, event.event_id, event.created_at)
        effects = self._dispatcher.judged(parsed.commands, event)
        refused = await self._outbox.answered(event, effects, Commands(list(parsed.commands)))
        return _with_refused(parsed.output, refused)

    def _event(self, name: str) -> IngressEvent:
        """Return the event that a tool's commands answer; it is never queued.

        It has no session. What its commands cause is heard on the first ingress, if there is one.
        """
        return IngressEvent(
            kind=_KIND,
            source=f"tool:{name}",
            ingress_name=self._ingress,
            payload={},
            created_at=rfc3339_ms(self._clock.wall_ms()),
            correlation_id=f"tool.{secrets.token_hex(8)}",
        )


def require_offered(offers: Iterable[PluginTool], service: str, name: str) -> None:
    """Raise PermissionDenied unless `name` is declared and granted (P4)."""
    if all(offer.name != name for offer in offers):
        raise PermissionDenied(
            "denied.not_granted",
            f"{service} offers no tool {name!r}: it is not declared, not granted, or switched off",
            hint=f"yoi plugin show {service}",
        )


def _with_refused(output: Any, refused: Sequence[Refused]) -> Any:
    """Return `output` and, for the caller, which of the tool's commands came to nothing.

    A caller that reads "sent" must not believe it. Hints are for the operator and stay out.
    """
    if not refused:
        return output
    told = [
        {"command_id": one.command_id, "kind": one.kind, "code": one.code, "message": one.message}
        for one in refused
    ]
    return {**output, "refused": told} if isinstance(output, dict) else output
