"""Replaces the version of a plugin that a service runs, without closing what may stay open.

The steps and what follows a fault in each are in docs/design/replacement.md. All of it belongs to
the event loop. The caller of a replacement holds the service's lock for changes; the trial of a
version that has heard nothing yet may outlast that.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from yoi.core.lifecycle import Lifecycle, ServiceLifecycle
from yoi.core.replacement import Replacement, ReplacementState
from yoi.core.service_recovery import INGRESS_GONE
from yoi.defects import defect
from yoi.errors import JournalError, ServiceError, YoiError
from yoi.protocol.ingress import QueuedEvent
from yoi.protocol.status import RefusedVersion
from yoi.runtime.containment import contained, contained_work
from yoi.runtime.instance_slot import InstanceSlot
from yoi.runtime.life_notes import LifeNotes
from yoi.runtime.request_watch import report_to
from yoi.runtime.restart_timer import RestartTimer
from yoi.runtime.service_parts import ServiceParts
from yoi.runtime.service_spec import HostContext, ServiceSpec
from yoi.types import rfc3339_ms

_S = ReplacementState


class ReplacementOwner(Protocol):
    """The service."""

    def guest_lost(self, error: YoiError) -> None:
        """There is no instance; it is loaded again later."""
        ...

    def log_failed(self, error: JournalError) -> None:
        """The log takes nothing; it is opened again later."""
        ...

    def room(self) -> None:
        """Let paused connections read where there is room."""
        ...


@dataclass(slots=True)
class _Trial:
    """A version that has taken over and handled nothing yet, and the one that it replaces."""

    steps: Replacement
    spec: ServiceSpec
    slot: InstanceSlot
    earlier_spec: ServiceSpec
    earlier_slot: InstanceSlot
    set_aside: list[QueuedEvent]
    """Events of ingresses that the new version does not have."""
    pause_ms: int
    kept: list[str]
    """The connections whose sessions went on."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that is wanted and could not take over, and why."""

    spec: ServiceSpec
    status: RefusedVersion


class Replacements:
    """See the module docstring. One per service."""

    def __init__(
        self,
        parts: ServiceParts,
        life: ServiceLifecycle,
        restarts: RestartTimer,
        notes: LifeNotes,
        context: HostContext,
        owner: ReplacementOwner,
    ) -> None:
        self.refused: Refused | None = None
        self._parts = parts
        self._current = parts.current
        self._life = life
        self._restarts = restarts
        self._notes = notes
        self._context = context
        self._owner = owner
        self._trial: _Trial | None = None
        self._decided = asyncio.Event()
        """Set once the trial has ended, or has nothing to hear."""
        self._calls_may_go = asyncio.Event()
        self._calls_may_go.set()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._going_back: asyncio.Task[None] | None = None

    # -- for the service ------------------------------------------------------------------------

    async def carry_out(self, spec: ServiceSpec) -> None:
        """Put `spec` in the place of what runs, or leave that in its place; `refused` says which.

        The service runs, or has lost its instance. Raises nothing.
        """
        await self.gone_back()
        await self._give_up_trial()
        self.refused = None
        steps = Replacement()
        slot = InstanceSlot(spec, self._context, self._parts.ledger)
        spec.calls.keep_changes()
        spec.requests.watch.tell = report_to(self._parts.ledger)
        try:
            await slot.prepare()
            begun = await self._drain(steps)
            steps.go(_S.STARTING)
            status = await self._begin(slot)
            self._require_log()
        except Exception as exc:
            self._refuse(steps, spec, slot, defect(exc, f"replacing {spec.name}", str(exc)))
            return
        finally:
            self._calls_may_go.set()
        self._take_over(steps, spec, slot, status, begun)
        await self._hear_of_it()

    def wanted_again(self) -> None:
        """Forget the version that was refused: the operator wants what runs now."""
        self.refused = None

    async def calls_may_go(self) -> None:
        """Wait while one version has nothing in hand any more and the next is being started."""
        await self._calls_may_go.wait()

    def answered(self, written: Callable[[Callable[[], None]], None]) -> None:
        """The version that runs has answered an event: it is kept once `written` runs what it gets.

        An answer that the log does not take is none.
        """
        if self._trial is not None:
            written(partial(self._keep_after, self._trial))

    def _keep_after(self, trial: _Trial) -> None:
        if self._trial is trial:
            self.prove()

    def prove(self) -> None:
        """Keep the version on trial: it has done well, also for the next host."""
        trial = self._trial
        if trial is not None:
            self.keep()
            self._context.proven(trial.spec.name, trial.spec.digest)

    def idle(self) -> None:
        """Nothing is queued: no event can show now whether a version on trial works."""
        self._decided.set()

    def keep(self) -> None:
        """End a trial: the version that runs stays, and the one before it is stopped."""
        trial = self._end_trial(_S.DONE)
        if trial is None:
            return
        ledger = self._parts.ledger
        for event in trial.set_aside:
            message = f"the ingress {event.ingress} is not declared any more"
            self._parts.dead_letters.add(event, INGRESS_GONE, message)
        if not trial.spec.disk:
            trial.spec.calls.forget_changes()
        trial.earlier_spec.calls.superseded()
        self._begin_task(trial.earlier_slot.leave())
        self._life.forgive()
        ledger.note(
            "notice.replaced",
            f"{trial.spec.name} runs {trial.spec.version} ({trial.spec.digest}); "
            f"{len(trial.kept)} of its connections went on as they were",
            version=trial.spec.version,
            digest=trial.spec.digest,
            kept=trial.kept,
            pause_ms=trial.pause_ms,
        )

    def lost(self, error: YoiError) -> bool:
        """The instance that runs is gone; return whether the version before takes its place."""
        if self._trial is not None:
            self._trial.slot.discard()
        return self.failed(error)

    def failed(self, error: YoiError) -> bool:
        """The version that runs did not handle its first event, or the log did not take it.

        Return whether the one before it takes its place again; False: there was no trial.
        """
        trial = self._end_trial(_S.REFUSED)
        if trial is None:
            return False
        self._parts.dispatcher.detach()
        self._note_refused(trial.spec, trial.earlier_spec, error)
        self._going_back = self._begin_task(self._go_back(trial))
        return True

    async def gone_back(self) -> None:
        """Wait until a version that was refused is gone: what runs is the one before it."""
        if self._going_back is not None:
            await asyncio.wait({self._going_back})

    async def stop(self) -> None:
        """End a trial, and wait for what ends versions that do not run."""
        self.keep()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _give_up_trial(self) -> None:
        """Have the version before run again: what is on trial has handled nothing, and is over."""
        trial = self._end_trial(_S.REFUSED)
        if trial is not None:
            self._parts.dispatcher.detach()
            await self._go_back(trial)

    # -- the steps ------------------------------------------------------------------------------

    async def _drain(self, steps: Replacement) -> float:
        """Let the instance that runs end what it has in hand; return when that began."""
        steps.go(_S.DRAINING)
        begun = self._context.clock.monotonic()
        self._calls_may_go.clear()
        self._parts.dispatcher.detach()
        await self._parts.dispatcher.quiet()
        return begun

    async def _begin(self, slot: InstanceSlot) -> Any:
        """Call start() of the new instance and return its status. Raises YoiError."""
        if self._life.state is not Lifecycle.RUNNING:
            # The instance before it was lost meanwhile, or earlier: nothing goes on beside this.
            self._restarts.cancel()
            if self._life.state is Lifecycle.QUARANTINED:
                self._life.release()
            else:
                self._life.start()
            await self._current.slot.retire()
            await self._parts.durability.open()
            self._restarts.log_opened()
        return await slot.begin()

    def _require_log(self) -> None:
        """Raise the JournalError that came up while start() ran: what it has read may be undone."""
        error = self._life.last_error
        if self._life.state is Lifecycle.FAILED and isinstance(error, JournalError):
            raise error

    def _take_over(
        self, steps: Replacement, spec: ServiceSpec, slot: InstanceSlot, status: Any, begun: float
    ) -> None:
        """Have the new version run from here on, on trial."""
        parts, earlier = self._parts, self._current
        earlier_spec, earlier_slot = earlier.spec, earlier.slot
        open_before = parts.connections.names
        gone = parts.use(spec, slot)
        _pass_on(earlier_slot, slot)
        steps.go(_S.TRIAL)
        if self._life.state is Lifecycle.FAILED:
            # The instance before it was lost while start() ran.
            self._restarts.cancel()
            self._life.start()
        if self._life.state is Lifecycle.STARTING:
            self._life.started()
        parts.plugin_status.show(status)
        slot.collect_output()
        self._notes.state(self._life.state, f"it has started, version {spec.version}")
        self._notes.missing_secrets(spec.injector.missing())
        self._begin_task(parts.connections.open())
        pause_ms = round((self._context.clock.monotonic() - begun) * 1000)
        self._trial = _Trial(
            steps,
            spec,
            slot,
            earlier_spec,
            earlier_slot,
            gone,
            pause_ms,
            sorted(open_before & parts.connections.names),
        )
        self._decided.clear()
        limits = self._context.limits
        self._timer = self._context.loop.call_later(
            limits.replacement_trial_ms / 1000,
            contained("the end of a trial", self.prove, self._owner.guest_lost),
        )
        parts.start_events.tell(self._life.restarts)
        if slot.instance is not None:
            parts.dispatcher.attach(slot.instance, trial=True)
        self._owner.room()
        self._context.observer.follow_services()
        if not spec.ingresses:
            # It has no first event: that it started is all that it can show.
            self.prove()

    async def _hear_of_it(self) -> None:
        """Wait until the trial has ended, for a bounded time; it may go on."""
        try:
            async with asyncio.timeout(self._context.limits.replacement_heard_ms / 1000):
                await self._decided.wait()
        except TimeoutError:
            return

    # -- how it ends ----------------------------------------------------------------------------

    def _refuse(
        self, steps: Replacement, spec: ServiceSpec, slot: InstanceSlot, error: YoiError
    ) -> None:
        """Leave what runs where it is."""
        steps.go(_S.REFUSED)
        spec.calls.revert()
        self._begin_task(slot.leave())
        self._note_refused(spec, self._current.spec, error)
        if self._life.state is not Lifecycle.STARTING:
            self._resume()
        elif isinstance(error, JournalError):
            self._owner.log_failed(error)
        else:
            self._load_again(error)

    def _load_again(self, error: YoiError) -> None:
        """Load what ran before soon; it was lost earlier, so this counts as no failure of it."""
        self._life.refuse(error, self._context.clock.monotonic())
        seconds = self._context.limits.restart_first_ms / 1000
        self._notes.restart_planned(seconds)
        self._restarts.after(seconds)

    def _resume(self) -> None:
        """Hand events to the instance that is there, if the service runs."""
        instance = self._current.slot.instance
        if self._life.state is not Lifecycle.RUNNING:
            return
        if instance is None:
            self._load_again(ServiceError("service.not_running", "its instance was lost"))
            return
        self._parts.dispatcher.attach(instance)
        self._owner.room()

    async def _go_back(self, trial: _Trial) -> None:
        """Have the version before run again: its instance has not been touched."""
        parts = self._parts
        await parts.dispatcher.quiet()
        trial.spec.calls.revert()
        parts.start_events.forget()
        parts.use(trial.earlier_spec, trial.earlier_slot)
        _pass_on(trial.slot, trial.earlier_slot)
        parts.queue.restore(trial.set_aside)
        self._begin_task(trial.slot.leave())
        self._begin_task(parts.connections.open())
        self._context.observer.follow_services()
        self._resume()

    def _note_refused(self, spec: ServiceSpec, current: ServiceSpec, error: YoiError) -> None:
        ledger = self._parts.ledger
        at = rfc3339_ms(self._context.clock.wall_ms())
        status = RefusedVersion(
            version=spec.version,
            digest=spec.digest,
            code=error.code,
            message=error.message,
            at=at,
        )
        self.refused = Refused(spec, status)
        ledger.error(error)
        refused = ServiceError(
            "service.version_refused",
            f"{spec.name}: {spec.version} ({spec.digest}) is enabled and could not take over "
            f"({error.code}); {current.version} ({current.digest}) goes on",
            hint=f"yoi service restart {spec.name}",
        )
        ledger.error(refused, version=spec.version, cause=error.code)

    def _end_trial(self, to: ReplacementState) -> _Trial | None:
        trial, self._trial = self._trial, None
        self._decided.set()
        if trial is not None:
            trial.steps.go(to)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return trial

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._context.loop.create_task(
            contained_work("a replacement", work, self._owner.guest_lost)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _pass_on(before: InstanceSlot, now: InstanceSlot) -> None:
    """End what waits for the instance of `before`; from now on, that of `now` is waited for."""
    before.gone()
    before.gone, now.gone = now.gone, before.gone
