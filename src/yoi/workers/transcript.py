"""What a worker's items add up to, and the rules that every next item must keep.

Sans I/O: `check` refuses an item that has no place here, `apply` adds one that is committed.
The same fold reads a stored history and follows a live one, so a restart sees what was there.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from yoi.errors import WorkerError
from yoi.limits import LIMITS, Limits
from yoi.workers import items as it
from yoi.workers.budget import Spent
from yoi.workers.context import conversation
from yoi.workers.grants import Grant, canonical
from yoi.workers.items import AnyItem, Stored

if TYPE_CHECKING:
    from yoi.protocol.published import PublicationMark


@dataclass(slots=True)
class PendingCall:
    """A tool call that has no result yet."""

    call: it.Call
    started: bool = False
    asked: bool = False
    approved: bool | None = None
    asked_at_ms: int = 0
    decided_by: str = ""
    question: int = 0
    """Where the question to a person stands."""
    after_outside: bool = False
    times: int = 1


@dataclass(frozen=True, slots=True)
class Shared:
    """An approval that is also for `left` further calls of the same answer, which are the same."""

    left: int
    by: str
    question: int


@dataclass(slots=True)
class OpenRun:
    """The run that has begun and not ended."""

    seq: int
    kind: str
    turns: int = 0
    resumes: int = 0
    answered: bool = False
    pending: OrderedDict[str, PendingCall] = field(default_factory=OrderedDict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    """The calls of this run that a person did not approve, by name and arguments."""
    heard: list[it.SystemItem] = field(default_factory=list)
    """The messages from outside that it took, or took up again after a passing fault."""
    shared: dict[tuple[str, str], Shared] = field(default_factory=dict)
    """The approvals of the newest answer that are for further calls of it, likewise."""


Waiting = it.UserInput | it.SystemItem


class Transcript:
    """A worker's state as its committed items define it."""

    def __init__(self, limits: Limits = LIMITS, undone: frozenset[int] = frozenset()) -> None:
        self.undone = undone
        """The compactions that a later item undoes; see `History.load`."""
        self.not_yet_undone: list[int] = []
        """Those of them that were read, and the item that undoes each was not."""
        self.head = 0
        self.epoch = 0
        """Of the machine that owns the log; 0 where no machine but one ever had it."""
        self.by: PublicationMark | None = None
        """The publication that this machine goes by, or went by."""
        self.config: it.Configured | None = None
        self.run: OpenRun | None = None
        self.paused_by: str | None = None
        self.compacting: it.CompactionAsked | None = None
        self.summary_at: int | None = None
        """Where the compaction stands that is in force."""
        self.aside: set[int] = set()
        self.on_trial: set[int] = set()
        """Those of `aside` that the host has not decided about."""
        self.grants: dict[int, Grant] = {}
        """What people granted with their approvals, by place."""
        self.decided: OrderedDict[int, str] = OrderedDict()
        """Who decided the newest questions, by the question's place."""
        self.outside = False
        """Whether the model reads text from outside, or a summary that was made from some."""
        self.again_at_ms: int | None = None
        self.agains = 0
        """Runs in a row that ended for a passing reason."""
        self.again_heard: list[it.SystemItem] = []
        """What the newest of them had heard from outside: the next run answers it."""
        self.context_tokens = 0
        """What the provider counted for the newest request since the last compaction."""
        self.spent = Spent()
        """What the newest day has cost."""
        self.llm_calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.waiting: OrderedDict[int, Waiting] = OrderedDict()
        self.window: list[Stored] = []
        self.window_bytes = 0
        self._limits = limits
        self.commands: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        """The newest notifications, by plugin, event and command: where they stand."""

    def command_seq(self, plugin: str, event_id: str, command_id: str) -> int | None:
        """Return where the notification stands, if it is remembered.

        It is known by its plugin, the event that it answers and its command id.
        """
        return self.commands.get((plugin, event_id, command_id))

    @property
    def full(self) -> bool:
        """Return whether the model's context is at its bound, so that only compaction helps."""
        return (
            len(self.window) >= self._limits.context_items
            or self.window_bytes >= self._limits.context_bytes
        )

    @property
    def parked(self) -> list[PendingCall]:
        """Return the calls that wait for a person."""
        if self.run is None:
            return []
        return [p for p in self.run.pending.values() if p.asked and p.approved is None]

    def check(self, item: AnyItem) -> None:
        """Raise WorkerError `worker.history_invalid` when `item` may not follow."""
        problem = self._problem(item)
        if problem is not None:
            raise WorkerError(
                "worker.history_invalid", f"{type(item).__name__} after item {self.head}: {problem}"
            )

    def rehearse(self, items: Sequence[AnyItem]) -> None:
        """Raise WorkerError unless all of `items` may follow, one after the other."""
        if len(items) == 1:
            self.check(items[0])
            return
        copy = Transcript(self._limits)
        copy.head, copy.config, copy.paused_by = self.head, self.config, self.paused_by
        copy.compacting, copy.llm_calls, copy.epoch = self.compacting, self.llm_calls, self.epoch
        copy.waiting = self.waiting.copy()
        copy.again_heard = self.again_heard
        copy.again_at_ms, copy.summary_at = self.again_at_ms, self.summary_at
        copy.aside, copy.outside = self.aside.copy(), self.outside
        if self.run is not None:
            pending = OrderedDict((key, replace(call)) for key, call in self.run.pending.items())
            copy.run = replace(
                self.run,
                pending=pending,
                denied=set(self.run.denied),
                shared=dict(self.run.shared),
            )
        copy.grants = dict(self.grants)
        for item in items:
            copy.apply(item, 0)

    def apply(self, item: AnyItem, size: int) -> int:
        """Add a committed item of `size` stored bytes and return its place."""
        self.check(item)
        self.head += 1
        seq = self.head
        match item:
            case it.Configured():
                self.config = item
            case it.Owned():
                self.epoch, self.by = item.epoch, item.by or self.by
            case it.UserInput():
                self.waiting[seq] = item
            case it.SystemItem():
                self.waiting[seq] = item
                self._remember(item, seq)
            case it.RunStart():
                taken = [self.waiting.pop(place) for place in item.takes]
                heard = [one for one in taken if isinstance(one, it.SystemItem)]
                self.outside = self.outside or bool(heard)
                heard = [*self.again_heard, *heard]
                self.run = OpenRun(seq=seq, kind=item.kind, heard=heard)
                self.again_at_ms, self.again_heard = None, []
            case it.RunEnd():
                assert self.run is not None
                self.again_heard = self.run.heard if item.again_at_ms else []
                self.run = None
                self.grants = {at: g for at, g in self.grants.items() if g.run is None}
                self.again_at_ms = item.again_at_ms or None
                self.agains = self.agains + 1 if item.again_at_ms else 0
            case it.Paused():
                self.paused_by = item.by
            case it.Resumed():
                self.paused_by = None
            case it.CompactionAsked():
                self.compacting = item
            case it.Compaction() | it.CompactionFailed():
                self.compacting = None
            case it.ApprovalRevoked():
                del self.grants[item.place]
            case it.SetAside():
                self.aside.update(item.places)
                self.on_trial = set(item.places) if item.trial else set()
            case it.Restored():
                self.aside.difference_update(item.places)
                self.on_trial.difference_update(item.places)
            case it.Uncompacted():
                if item.place == self.summary_at:
                    self.summary_at = None
                else:
                    self.not_yet_undone.pop()
            case it.Usage():
                self.context_tokens = item.input_tokens + item.output_tokens
                self.llm_calls = max(self.llm_calls, item.llm_call)
                self.spent.add(item.at_ms, item.input_tokens, item.output_tokens)
                self.input_tokens += item.input_tokens
                self.output_tokens += item.output_tokens
            case _:
                self._apply_to_run(seq, item)
        self.window.append(Stored(seq, item))
        self.window_bytes += size
        if isinstance(item, it.Compaction):
            if seq in self.undone:
                self.not_yet_undone.append(seq)
            else:
                self._compact(seq, item, size)
        return seq

    def _apply_to_run(self, seq: int, item: AnyItem) -> None:
        run = self.run
        assert run is not None
        match item:
            case it.RunResumed():
                run.resumes += 1
            case it.Assistant():
                self.llm_calls = item.llm_call
                run.turns += 1
                run.resumes = 0
                run.shared = {}
                if item.finish == "complete":
                    calls = [part for part in item.parts if isinstance(part, it.Call)]
                    run.answered = not calls
                    run.pending = OrderedDict((call.id, PendingCall(call)) for call in calls)
            case it.ToolStart():
                run.pending[item.call_id].started = True
            case it.ToolResult():
                del run.pending[item.call_id]
                if item.origin is not None and item.origin.outside:
                    self.outside = True
                run.resumes = 0
            case it.ApprovalAsked():
                pending = run.pending[item.call_id]
                pending.asked, pending.asked_at_ms, pending.question = True, item.at_ms, seq
                pending.after_outside, pending.times = item.after_outside, item.times
            case it.ApprovalDecided():
                run.pending[item.call_id].approved = item.approved
                run.pending[item.call_id].decided_by = item.by
                self._decided(seq, item, run)
            case _:  # pragma: no cover - every item is handled here or in apply
                raise AssertionError(item)

    def _decided(self, seq: int, item: it.ApprovalDecided, run: OpenRun) -> None:
        pending = run.pending[item.call_id]
        call = pending.call
        self.decided[pending.question] = item.by
        while len(self.decided) > self._limits.worker_decided:
            self.decided.popitem(last=False)
        same = (call.name, canonical(call.arguments))
        if not item.approved:
            run.denied.add(same)
            return
        shared = run.shared.pop(same, Shared(pending.times, item.by, pending.question))
        if shared.left > 1:
            run.shared[same] = replace(shared, left=shared.left - 1)
        if item.scope != "once" and self.config is not None:
            spec = next((one for one in self.config.tools if one.name == call.name), None)
            if spec is None:
                return
            exact = item.scope == "exact"
            self.grants[seq] = Grant(
                item=seq,
                tool=call.name,
                scope=item.scope,
                by=item.by,
                origin=spec.origin,
                arguments=same[1] if exact else None,
                matches=item.matches,
                until_ms=item.until_ms or None,
                run=run.seq if item.scope == "run" else None,
                after_outside=pending.after_outside,
            )
            while len(self.grants) > self._limits.worker_grants:
                del self.grants[min(self.grants)]

    def _problem(self, item: AnyItem) -> str | None:
        match item:
            case it.RunStart():
                return self._run_start_problem(item)
            case it.CompactionAsked():
                return self._compaction_problem()
            case it.Compaction() | it.CompactionFailed():
                return None if self.compacting else "no compaction was asked for"
            case it.Assistant():
                return self._assistant_problem(item)
            case it.ToolStart() | it.ToolResult() | it.ApprovalAsked() | it.ApprovalDecided():
                return self._call_problem(item)
            case it.Owned() if item.epoch < self.epoch:
                return "its owner is older than the one before"
            case it.RunResumed() if self.run is None:
                return "no run is open"
            case it.RunEnd():
                if self.run is None:
                    return "no run is open"
                return "a tool call has no result" if self.run.pending else None
            case it.Configured() if self.run is not None or self.compacting:
                return "a run is open"
            case it.ApprovalRevoked():
                return None if item.place in self.grants else "there is no such grant"
            case it.Uncompacted():
                if self.run is not None or self.compacting:
                    return "a run is open"
                # While a history is read, what it undoes is known before.
                in_force = item.place in (self.summary_at, *self.not_yet_undone[-1:])
                return None if in_force else "no such compaction is in force"
            case it.SetAside() if not item.places or self.aside & set(item.places):
                return "it is set aside already"
            case it.Restored() if not item.places or not self.aside >= set(item.places):
                return "it is not set aside"
            case it.Paused() if self.paused_by is not None:
                return "it is paused already"
            case it.Resumed() if self.paused_by is None:
                return "it is not paused"
            case _:
                return None

    def _run_start_problem(self, item: it.RunStart) -> str | None:
        if self.run is not None or self.compacting:
            return "a run is open"
        if self.config is None:
            return "the worker is not configured"
        if not item.takes and self.again_at_ms is None:
            return "a run takes inputs"
        if len(set(item.takes)) != len(item.takes):
            return "a run takes inputs, each once"
        if any(taken not in self.waiting for taken in item.takes):
            return "it takes an input that does not wait"
        return None

    def _compaction_problem(self) -> str | None:
        if self.compacting:
            return "another was asked for"
        if self.run is not None and (self.run.pending or self.run.answered):
            return "a run is open, and not before a model call"
        return None

    def _assistant_problem(self, item: it.Assistant) -> str | None:
        if self.run is None or self.run.pending or self.run.answered:
            return "the model was not asked"
        if item.llm_call <= self.llm_calls:
            return "model calls are counted upwards"
        ids = [part.id for part in item.parts if isinstance(part, it.Call)]
        return "two calls have one id" if len(set(ids)) != len(ids) else None

    def _call_problem(
        self, item: it.ToolStart | it.ToolResult | it.ApprovalAsked | it.ApprovalDecided
    ) -> str | None:
        pending = None if self.run is None else self.run.pending.get(item.call_id)
        if pending is None:
            return "no such call waits for a result"
        match item:
            case it.ToolStart() if pending.started:
                return "the call was started already"
            case it.ApprovalAsked() if pending.asked or pending.started:
                return "nothing is left to decide"
            case it.ApprovalDecided() if not pending.asked or pending.approved is not None:
                return "nobody asked, or it was decided"
            case it.ToolStart() if pending.asked and not pending.approved:
                return "a person has not approved the call"
            case it.ToolResult() if item.outcome in ("returned", "failed") and not pending.started:
                return "the call was never started"
            case _:
                return None

    def _remember(self, item: it.SystemItem, seq: int) -> None:
        origin = item.provenance
        self.commands[origin.plugin, origin.event_id, origin.command_id] = seq
        while len(self.commands) > self._limits.notify_remembered:
            self.commands.popitem(last=False)

    def _compact(self, seq: int, item: it.Compaction, size: int) -> None:
        # What is still needed: the configuration, inputs that wait, what the summary does not
        # cover, and the summary itself: it stands first, as it does for the model.
        rest = conversation(self.window[:-1])[item.covers :] if item.covers else []
        needed = {place for heard in rest for place in heard.places} - {self.summary_at}
        kept = [
            s
            for s in self.window[:-1]
            if s.seq in self.waiting or s.item is self.config or s.seq in needed
        ]
        self.aside &= needed
        if self.aside:
            # Written anew: the items that said so are covered.
            note = it.SetAside(at_ms=item.at_ms, places=sorted(self.aside), reason="", by="host")
            kept.append(Stored(seq, note))
        self.on_trial &= self.aside
        self.summary_at, self.context_tokens = seq, 0
        self.outside = bool(item.sources)
        self.window = [Stored(seq, item), *kept]
        self.window_bytes = size + sum(len(it.encode_item(s.item)) for s in kept)
