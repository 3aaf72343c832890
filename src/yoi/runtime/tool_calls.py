"""Calls a plugin's tools: the guest is asked, its commands pass the gate, the caller reads both.

A call that the guest defers stays open until the guest completes it, its time is over, the caller
waits no longer, or the instance or the session of its question goes (core/deferred.py).
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from yoi.core.deferred import DeferredCall, DeferredCalls
from yoi.core.effects import Refused
from yoi.errors import GuestTrapped, PermissionDenied, ServiceError, YoiError
from yoi.protocol.deferral import Deferral
from yoi.protocol.ingress import IngressEvent
from yoi.protocol.outcomes import Commands
from yoi.protocol.tool_answer import ToolAnswer, parse_tool_answer
from yoi.runtime.current_version import CurrentVersion
from yoi.runtime.dispatcher import Dispatcher
from yoi.runtime.outbox import Outbox
from yoi.runtime.service_connections import ServiceConnections
from yoi.runtime.service_spec import HostContext, Instance
from yoi.types import rfc3339_ms
from yoi.workers.tools import PluginTool

_KIND = "tool_call"


class ToolCalls:
    """See the module docstring. `lost` hears of an instance that a call has ended."""

    def __init__(
        self,
        current: CurrentVersion,
        dispatcher: Dispatcher,
        outbox: Outbox,
        connections: ServiceConnections,
        deferred: DeferredCalls,
        context: HostContext,
        lost: Callable[[Instance, GuestTrapped], None],
    ) -> None:
        self._current = current
        self._dispatcher = dispatcher
        self._outbox = outbox
        self._connections = connections
        self._deferred = deferred
        self._clock = context.clock
        self._loop = context.loop
        self._limits = context.limits
        self._lost = lost

    async def call(self, instance: Instance, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return the tool's output as decoded JSON, once its commands have been carried out.

        Commands that came to nothing stand in the output. Raises YoiError.
        """
        event = self._event(name)
        try:
            async with asyncio.timeout(self._limits.tool_wait_ms / 1000):
                answer = await self._ask(instance, name, arguments, event.event_id)
                if answer.deferral is None:
                    refused = await self._carry_out(answer, event)
                    return _with_refused(answer.output, refused)
        except TimeoutError:
            raise ServiceError(
                "service.no_answer", f"no answer in {self._limits.tool_wait_ms} ms"
            ) from None
        if self._current.slot.instance is not instance:
            raise ServiceError(
                "service.interrupted", "the plugin was replaced as it deferred the call"
            )
        return await self._wait(name, answer, answer.deferral, event)

    async def _ask(
        self, instance: Instance, name: str, arguments: Mapping[str, Any], call_id: str
    ) -> ToolAnswer:
        work = msgspec.json.encode(arguments).decode()
        calls, slot = self._current.spec.calls, self._current.slot

        def call() -> str:
            with calls.tool_call():
                return instance.call_tool(name, work, self._limits.tool_ms, call_id)

        try:
            answer = await slot.run(call)
        except GuestTrapped as exc:
            self._lost(instance, exc)
            raise
        slot.collect_output()
        return parse_tool_answer(answer, name, call_id, rfc3339_ms(self._clock.wall_ms()))

    async def _carry_out(self, answer: ToolAnswer, event: IngressEvent) -> list[Refused]:
        effects = self._dispatcher.judged(answer.commands, event)
        return await self._outbox.answered(event, effects, Commands(list(answer.commands)))

    async def _wait(
        self, tool: str, answer: ToolAnswer, deferral: Deferral, event: IngressEvent
    ) -> Any:
        """Return the output of a deferred call, once its commands have been carried out."""
        ended: asyncio.Future[None] = self._loop.create_future()
        since_ms = self._clock.wall_ms()
        call = DeferredCall(
            deferral.id,
            tool,
            since_ms,
            since_ms + deferral.timeout_ms,
            lambda: None if ended.done() else ended.set_result(None),
        )
        self._deferred.defer(call)
        refused: list[Refused] = []
        try:
            async with asyncio.timeout(deferral.timeout_ms / 1000):
                refused = await self._carry_out(answer, event)
                for one in refused:
                    if one.command_id == call.id:  # what it waits for will not come
                        raise YoiError(one.code, one.message)
                await ended
        except TimeoutError:
            self._deferred.time_out(call)
        finally:
            self._deferred.cancel(call)
            self._connections.give_up(call.id)
        if call.error is not None:
            raise call.error
        return _with_refused(call.result, refused)

    def _event(self, name: str) -> IngressEvent:
        """Return the event that a tool's commands answer; it is never queued.

        It has no session. What its commands cause is heard on the first ingress, if there is one.
        """
        ingresses = self._current.spec.ingresses
        return IngressEvent(
            kind=_KIND,
            source=f"tool:{name}",
            ingress_name=ingresses[0].name if ingresses else "",
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
