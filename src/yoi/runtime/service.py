"""One enabled plugin as it runs: what the host and people ask of it.

How its instance lives meanwhile is in service_life.py. Everything here runs on the event loop.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from yoi.core.halts import Change
from yoi.core.lifecycle import Lifecycle
from yoi.errors import GuestTrapped, SandboxError, ServiceError
from yoi.permissions import permission_hash
from yoi.permissions.connection_settings import GOING_AWAY
from yoi.protocol.status import ServiceStatus
from yoi.runtime.dead_letters import DeadLetter
from yoi.runtime.replacement import Refused
from yoi.runtime.service_figures import ServiceFigures, service_figures
from yoi.runtime.service_life import ServiceLife
from yoi.runtime.service_spec import ServiceSpec
from yoi.runtime.service_status import service_status
from yoi.runtime.tool_calls import require_offered


class Service(ServiceLife):
    """See the module docstring."""

    @property
    def lifecycle(self) -> Lifecycle:
        """Return the state."""
        return self._life.state

    @property
    def available(self) -> bool:
        """Whether there is an instance that could take a tool call."""
        return self._slot.instance is not None and self._life.state is Lifecycle.RUNNING

    @property
    def spec(self) -> ServiceSpec:
        """Return what runs now."""
        return self._current.spec

    @property
    def refused(self) -> Refused | None:
        """Return the version that is wanted and could not take over from what runs, and why."""
        return self._replacements.refused

    async def start(self) -> None:
        """Load the plugin, call its start(), then dial. Failures are recorded, never raised.

        Does nothing once the service is retired.
        """
        async with self._changing:
            if not self._retired:
                self._life.start()
                await self._bring_up()

    async def replace(self, spec: ServiceSpec) -> bool:
        """Put the version `spec` in the place of what runs; open sessions go on where they may.

        Return False where that needs a new service. Otherwise what runs is `spec`, or what ran
        before and `refused` says why. Goes on where the caller is cancelled. Raises nothing.
        """
        return await asyncio.shield(self._context.loop.create_task(self._replace(spec)))

    async def _replace(self, spec: ServiceSpec) -> bool:
        async with self._changing:
            lives = self._life.state in (Lifecycle.RUNNING, Lifecycle.FAILED)
            if self._retired or not lives or not self.spec.leads_to(spec):
                return False
            await self._replacements.carry_out(spec)
            return True

    def regrant(self, spec: ServiceSpec) -> bool:
        """Put the grants of `spec` in force; return whether they are other ones.

        What they no longer allow closes at once (1012) and is not dialled again; what they allow
        now, and did not, is dialled. The instance, its queue and everything else go on.
        """
        self._replacements.wanted_again()
        granted = spec.authority.granted
        if permission_hash(granted) == permission_hash(self._spec.authority.granted):
            return False
        # A version that was given other grants is one that the operator has decided to keep.
        self._replacements.keep()
        self._spec.authority.regrant(granted)
        self._current.spec = replace(self._spec, tools=spec.tools)
        refused = self._connections.reauthorise()
        self._spec.calls.reauthorise()
        self._notes.regranted(refused)
        self._connections.tell_refused(refused)
        return True

    async def restart(self) -> None:
        """Replace the instance because a person asked; queue and connections stay.

        Raises ServiceError: `service.not_running` while another change is under way,
        `service.stopping` once the service is retired.
        """
        if self._retired:
            raise ServiceError("service.stopping", f"{self.name} has been disabled or replaced")
        if self._changing.locked():
            raise ServiceError(
                "service.not_running", f"{self.name} is {self._life.state}; try again shortly"
            )
        if self.refused is not None and await self.replace(self.refused.spec):
            self._connections.revive(Change.PERSON)
            return
        async with self._changing:
            self._restarts.cancel()
            self._replacements.keep()
            if self._life.state is Lifecycle.RUNNING:
                await self._retire_instance()
                self._life.stop()
                self._life.stopped()
            self._notes.state(self._life.state, "restart asked for by a person")
            self._life.release()
            await self._bring_up()
            self._connections.revive(Change.PERSON)

    def reconnect(self, connection: str | None) -> list[str]:
        """Dial `connection`, or each, at once because a person asked; return their names.

        Raises ServiceError (`service.not_running`, `service.quarantined`) and ConnectionFailure
        (`connection.unknown`).
        """
        self._running()
        names = self._connections.redial(connection)
        self._notes.reconnecting(names)
        return names

    def secrets_changed(self, names: Collection[str]) -> None:
        """Dial the connections that wait for a changed secret, where it is one of this service."""
        if any(name in names for name in self._spec.authority.granted.secret_names):
            self._connections.revive(Change.SECRET)

    async def stop(self, *, reason: str = "stopping") -> None:
        """Drain what is queued (bounded), close the connections, stop the guest."""
        async with self._changing:
            if self._life.state is not Lifecycle.STOPPED:
                await self._stop(reason)

    async def retire(self, *, reason: str, close_code: int = GOING_AWAY) -> None:
        """Stop for good: this service cannot be started again."""
        self._retired = True
        self._close_code = close_code
        await self.stop(reason=reason)

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Return a tool's output: decoded JSON. Serialized with everything else of the plugin.

        Commands in its answer are carried out when it has returned, each through the gate; those
        that were refused stand in the output. Raises YoiError.
        """
        await self._replacements.calls_may_go()
        require_offered(self._spec.tools, self.name, name)
        output = await self._parts.tools.call(self._running(), name, arguments)
        self._replacements.prove()
        return output

    async def ask_status(self) -> None:
        """Refresh the plugin's own status, where it is running and not busy."""
        instance = self._slot.instance
        if instance is None or self._life.state is not Lifecycle.RUNNING or self._queue.busy:
            return
        stop_ms = self._context.limits.stop_ms
        try:
            self._parts.plugin_status.show(await self._slot.run(lambda: instance.status(stop_ms)))
        except GuestTrapped as exc:
            self.lost_in_call(instance, exc)
        except SandboxError as exc:
            self._ledger.error(exc)
        self._slot.collect_output()

    def status(self) -> ServiceStatus:
        """Return what a person sees (S9); no guest is asked."""
        return service_status(
            self._spec,
            self._life,
            self._parts.plugin_status,
            self._queue,
            self._parts.dead_letters,
            self._executor.effects,
            self._parts.deferred,
            self._connections,
            self._parts.loop_budget,
            self._ledger,
            self._context.clock,
            None if self.refused is None else self.refused.status,
            self._parts.permissions,
        )

    @property
    def figures(self) -> ServiceFigures:
        """Return what is measured beside the status."""
        limits = self._context.limits
        return service_figures(self._spec, self._dispatcher.times, self._ledger, limits)

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return the events that were given up."""
        return self._parts.dead_letters.letters

    def replay(self, event_id: str) -> None:
        """Queue a dead letter again, as its first attempt.

        Where the service has failed or is quarantined it waits for the next instance. Raises
        ServiceError: `service.unknown`, `service.not_running`, `service.ingress_gone`, or
        `service.queue_full`; then the letter stays where it is.
        """
        self._require_letters()
        self._parts.dead_letters.replay(event_id, self._queue)
        self.wake()

    def discard(self, event_id: str) -> None:
        """Throw a dead letter away. Raises ServiceError: `service.unknown`, `.not_running`."""
        self._require_letters()
        self._parts.dead_letters.discard(event_id)

    def _require_letters(self) -> None:
        """Raise ServiceError `service.not_running` where no decision about letters can be kept."""
        resting = self._life.state in (Lifecycle.FAILED, Lifecycle.QUARANTINED)
        if not (resting and self._durability.takes_records):
            self._running()
