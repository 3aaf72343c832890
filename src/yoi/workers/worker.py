"""A worker: a named agent with an append-only history, one run at a time, that people can stop."""

import msgspec

from yoi.core.observation.worker_view import EntryWindow
from yoi.errors import WorkerError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.alerts import Alerts
from yoi.workers.announce import approval_data, view_entry
from yoi.workers.approvals import Decision
from yoi.workers.bus import Bus, Listener
from yoi.workers.context import ModelInput
from yoi.workers.driver import Driver
from yoi.workers.failed import FailedWorker, WorkerFaultStatus
from yoi.workers.grants import Grant
from yoi.workers.items import Stored
from yoi.workers.phases import Phase
from yoi.workers.servers import ServerShown
from yoi.workers.setup import WorkerSetup
from yoi.workers.transcript import Waiting

COMPACT_INSTRUCTION = (
    "Sum up this conversation for yourself: what is wanted, what was done, what is open, and every "
    "name, number and decision needed to go on. The summary replaces everything before it."
)


class WorkerStatus(msgspec.Struct, kw_only=True):
    """A worker as a person or a script sees it."""

    name: str
    status: str
    engine: str
    waiting: int
    approvals: list[ev.ApprovalRequestData]
    paused_by: str | None
    run: str | None
    turn: int
    items: int
    context_items: int
    context_bytes: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    last_error: str | None
    set_aside: list[int] = []
    """Places of texts that are not sent any more."""
    summary_at: int | None = None
    """Where the summary stands that replaces older messages."""
    tokens_today: int = 0
    money_today: str | None = None
    """What this day (UTC) has cost so far, where the operator gave a price."""
    grants: list[Grant] = []
    """What people granted with their approvals and is in force."""
    outside: bool = False
    """Whether its model reads text from outside."""
    again_at_ms: int | None = None
    """When the inputs of a run that failed in passing are taken up again."""
    alerts: list[ev.AlertData]
    last_error_at: str | None = None
    servers: list[ServerShown] = []
    """The MCP servers whose tools it may use."""
    fault: WorkerFaultStatus | None = None
    """Why it does not run, where its state is `failed`."""


def failed_status(failed: FailedWorker) -> WorkerStatus:
    """Return what is shown of a worker that is configured and cannot run."""
    return WorkerStatus(
        name=failed.name,
        status="failed",
        engine=failed.engine,
        waiting=0,
        approvals=[],
        paused_by=None,
        run=None,
        turn=0,
        items=0,
        context_items=0,
        context_bytes=0,
        llm_calls=0,
        input_tokens=0,
        output_tokens=0,
        last_error=failed.error.message,
        alerts=[],
        last_error_at=failed.at,
        fault=failed.fault,
    )


class Worker:
    """Start it before anything else. Belongs to the event loop; its driver does the work."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.name = setup.name
        self.engine_name = setup.engine.name
        self.bus = Bus()
        self.alerts = Alerts(self.bus, setup.clock, setup.limits)
        self._limits = setup.limits
        self._budget = setup.budget
        self._clock = setup.clock
        self._driver = Driver(setup, self.bus, self.alerts)
        self._history = self._driver.history

    @property
    def phase(self) -> Phase:
        """Return the state."""
        return self._driver.phase

    async def start(self) -> None:
        """Read the history, record what a crash interrupted, and go on from there.

        Raises JournalError or WorkerError when the history can not be read.
        """
        await self._driver.start()

    async def stop(self) -> None:
        """End what is under way, record the interruption, and stop for good."""
        await self._driver.stop()

    async def send(self, text: str, by: str = "") -> int:
        """Commit a person's message and return its place; a run takes it when its turn comes.

        `by` is who sent it where it came from elsewhere; the model does not read it.

        Raises WorkerError: `worker.input`, `worker.queue_full`, `worker.stopped`.
        """
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise WorkerError("worker.input", "the message is not valid Unicode text") from None
        if not text.strip() or size > self._limits.input_bytes:
            raise WorkerError(
                "worker.input",
                f"a message has 1 to {self._limits.input_bytes} bytes of text, this one {size}",
            )
        async with self._history.changing:
            return await self._enqueue(it.UserInput(at_ms=self._clock.wall_ms(), text=text, by=by))

    def remembered(self, plugin: str, event_id: str, command_id: str) -> int | None:
        """Return the place of the system item that this command has made, if it has."""
        return self._driver.transcript.command_seq(plugin, event_id, command_id)

    async def accept(self, item: it.SystemItem) -> tuple[int, bool]:
        """Commit a system item and return its place, and whether it is new.

        One whose plugin, event and command id are remembered is not committed again. Raises
        WorkerError: `worker.queue_full`, `worker.stopped`.
        """
        origin = item.provenance
        async with self._history.changing:
            known = self._driver.transcript.command_seq(
                origin.plugin, origin.event_id, origin.command_id
            )
            if known is not None:
                return known, False
            return await self._enqueue(item), True

    async def pause(self, by: str) -> None:
        """Start nothing more; the model call or tool call under way still finishes."""
        async with self._history.changing:
            if self._driver.transcript.paused_by is None:
                await self._driver.commit(it.Paused(at_ms=self._clock.wall_ms(), by=by))
        self._driver.wake()

    async def resume(self, by: str) -> None:
        """Go on after a pause or a fault. Raises WorkerError `worker.not_paused`."""
        async with self._history.changing:
            faulted = self._driver.fault is not None
            if faulted:
                self._driver.fault = None
                # What was remembered may differ from what is stored: watchers get a new snapshot.
                await self._driver.recover(lambda: self.bus.publish(self.snapshot()))
            if self._driver.transcript.paused_by is not None:
                await self._driver.commit(it.Resumed(at_ms=self._clock.wall_ms(), by=by))
            elif not faulted:
                parked = self._driver.transcript.parked
                raise WorkerError(
                    "worker.not_paused",
                    f"worker {self.name} is not paused",
                    hint=f"yoi worker approve {self.name}" if parked else None,
                )
        self._driver.wake()

    async def cancel(self) -> None:
        """End the run under way; what its calls have done stays in history.

        Raises WorkerError `worker.not_running` when no run is open.
        """
        transcript = self._driver.transcript
        if transcript.run is None and not transcript.compacting:
            raise WorkerError("worker.not_running", f"worker {self.name} has no run to cancel")
        self._driver.cancel()

    async def approve(self, decision: Decision, by: str) -> None:
        """Record what `by` decided about a call that waits; of several who decide, the first.

        Raises WorkerError: `worker.decided` where another has decided (`fields["by"]`), and
        `worker.no_approval` where the call waits no more, or never did.
        """
        async with self._history.changing:
            transcript = self._driver.transcript
            asked = next((p for p in transcript.parked if p.question == decision.question), None)
            if asked is None:
                raise self._not_waiting(decision.question)
            now = self._clock.wall_ms()
            ends = decision.scope in ("exact", "matching")
            decided = it.ApprovalDecided(
                at_ms=now,
                call_id=asked.call.id,
                approved=decision.approved,
                by=by,
                scope=decision.scope,
                until_ms=now + (decision.lasts_ms or self._limits.grant_ms) if ends else 0,
                matches=[match.to_table() for match in decision.matches],
            )
            await self._driver.commit(decided)
        self._driver.wake()

    def _not_waiting(self, question: int) -> WorkerError:
        hint = f"yoi worker show {self.name}"
        by = self._driver.transcript.decided.get(question)
        if by is not None:
            words = f"{by} has decided about the call that item {question} asks about"
            return WorkerError("worker.decided", words, hint=hint, by=by)
        return WorkerError(
            "worker.no_approval",
            f"no call of worker {self.name} waits for a decision at item {question}",
            hint=hint,
        )

    async def revoke(self, place: int, by: str) -> None:
        """Take back the grant given at item `place`. Raises WorkerError `worker.no_approval`."""
        async with self._history.changing:
            if place not in self._driver.transcript.grants:
                raise WorkerError(
                    "worker.no_approval",
                    f"worker {self.name} has no grant from item {place}",
                    hint=f"yoi worker approvals {self.name}",
                )
            now = self._clock.wall_ms()
            await self._driver.commit(it.ApprovalRevoked(at_ms=now, place=place, by=by))

    async def compact(self, words: str = "") -> None:
        """Have the model sum up the history; the summary is a new item, nothing is edited.

        The model is told `words`, too: what the summary must keep, or how it is written. Raises
        WorkerError `worker.transition` while a run is open, `worker.input` for too many words.
        """
        instruction = f"{COMPACT_INSTRUCTION}\n{words}".strip()
        if len(instruction) > self._limits.compact_chars:
            raise WorkerError(
                "worker.input", f"words for a summary have {self._limits.compact_chars} characters"
            )
        async with self._history.changing:
            transcript = self._driver.transcript
            if transcript.run is not None or transcript.compacting:
                raise WorkerError(
                    "worker.transition",
                    f"worker {self.name} has an open run",
                    hint=f"yoi worker cancel {self.name}",
                )
            asked = it.CompactionAsked(at_ms=self._clock.wall_ms(), instruction=instruction)
            await self._driver.commit(*self._driver.configuration(), asked)
        self._driver.wake()

    async def uncompact(self, by: str) -> int:
        """Undo the compaction in force and return its place: the model reads what it replaced.

        Raises WorkerError `worker.transition` while a run is open or where none is in force.
        """
        async with self._history.changing:
            transcript = self._driver.transcript
            place = transcript.summary_at
            if place is None or transcript.run is not None or transcript.compacting:
                raise WorkerError(
                    "worker.transition",
                    f"worker {self.name} has no summary to undo"
                    if place is None
                    else f"worker {self.name} has an open run",
                    hint=f"yoi worker show {self.name}",
                )
            await self._driver.commit(
                it.Uncompacted(at_ms=self._clock.wall_ms(), place=place, by=by)
            )
            await self._driver.recover(lambda: self.bus.publish(self.snapshot()))
        return place

    async def restore(self, place: int, by: str) -> None:
        """Send the text of item `place` again, which was set aside.

        Raises WorkerError `worker.input` where it is not set aside, or a summary covers it.
        """
        async with self._history.changing:
            if place not in self._driver.transcript.aside:
                raise WorkerError(
                    "worker.input",
                    f"item {place} of worker {self.name} is not set aside",
                    hint=f"yoi worker show {self.name}",
                )
            await self._driver.commit(
                it.Restored(at_ms=self._clock.wall_ms(), places=[place], by=by)
            )
        self._driver.wake()

    def as_sent(self) -> ModelInput:
        """Return what the model would be asked now: the legal view of what is committed."""
        return self._driver.request()

    async def history(self, after: int, limit: int) -> list[Stored]:
        """Return up to `limit` items that follow place `after`."""
        return await self._history.read(after, limit)

    def watch(self, listener: Listener) -> ev.Snapshot:
        """Return the worker as it is, and call `listener` with all that follows: no gap between."""
        self.bus.listen(listener)
        return self.snapshot()

    def snapshot(self) -> ev.Snapshot:
        """Return the worker as it is, work in flight included; see `SnapshotData`."""
        transcript = self._driver.transcript
        window = EntryWindow(self._limits)
        waiting = transcript.waiting
        for stored in sorted(transcript.window, key=lambda each: each.seq):
            if stored.seq == transcript.summary_at:
                window.left_out = stored.seq - 1
            elif stored.seq < (transcript.summary_at or 0) and stored.seq not in waiting:
                continue  # the model reads it verbatim beside the summary
            entry = view_entry(stored)
            if entry is not None:
                window.add(entry)
        provider, _, model = self.engine_name.partition(":")
        tools = [] if transcript.config is None else transcript.config.tools
        return ev.Snapshot(
            ev.SnapshotData(
                entries=window.entries,
                greeting=ev.Greeting(
                    worker_name=self.name,
                    provider=provider,
                    model=model or provider,
                    tools=[spec.name for spec in tools],
                ),
                status=self._driver.status,
                in_flight=self._driver.in_flight,
                waiting=[approval_data(parked) for parked in transcript.parked],
                alerts=self.alerts.recent[-self._limits.snapshot_alerts :],
                usage=ev.UsageData(
                    input_tokens=transcript.input_tokens, output_tokens=transcript.output_tokens
                ),
                left_out=window.left_out,
            )
        )

    def status(self) -> WorkerStatus:
        """Return the worker's state and counters."""
        transcript = self._driver.transcript
        run, now = transcript.run, self._clock.wall_ms()
        return WorkerStatus(
            name=self.name,
            status=str(self.phase),
            engine=self.engine_name,
            waiting=len(transcript.waiting),
            approvals=[approval_data(parked) for parked in transcript.parked],
            paused_by="fault"
            if self._driver.fault is not None
            else transcript.paused_by or self._driver.over_budget,
            run=None if run is None else run.kind,
            turn=0 if run is None else run.turns,
            items=transcript.head,
            context_items=len(transcript.window),
            context_bytes=transcript.window_bytes,
            llm_calls=transcript.llm_calls,
            input_tokens=transcript.input_tokens,
            output_tokens=transcript.output_tokens,
            last_error=self._driver.last_error,
            set_aside=sorted(transcript.aside),
            summary_at=transcript.summary_at,
            tokens_today=sum(transcript.spent.today(now)),
            money_today=self._budget.money_today(transcript.spent, now),
            grants=[
                grant
                for grant in transcript.grants.values()
                if grant.until_ms is None or now < grant.until_ms
            ],
            outside=transcript.outside,
            again_at_ms=transcript.again_at_ms,
            last_error_at=self._driver.last_error_at,
            alerts=self.alerts.recent,
        )

    async def _enqueue(self, item: Waiting) -> int:
        """Commit an input. People and plugins have separate room: neither can use the other's."""
        waiting = self._driver.transcript.waiting.values()
        if sum(type(each) is type(item) for each in waiting) >= self._limits.worker_inputs:
            raise WorkerError(
                "worker.queue_full",
                f"{self._limits.worker_inputs} inputs wait for worker {self.name} already",
            )
        stored = await self._driver.commit(item)
        self._driver.wake()
        return stored[0].seq
