"""What a worker does next: a pure function of its transcript."""

from dataclasses import dataclass

from yoi.protocol.events import InvokeKind
from yoi.workers import items as it
from yoi.workers.grants import canonical
from yoi.workers.items import ToolSpec
from yoi.workers.same import answers_where_asked
from yoi.workers.tools import read_arguments
from yoi.workers.transcript import PendingCall, Transcript


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done until something arrives, or until the wall clock says `until_ms`.

    `paused` says whether a person is needed.
    """

    paused: bool
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class BeginRun:
    """Start a run with the inputs at `takes`."""

    kind: InvokeKind
    takes: list[int]


@dataclass(frozen=True, slots=True)
class AskModel:
    """Call the model."""

    turn: int


@dataclass(frozen=True, slots=True)
class RunTool:
    """Carry out the call; `spec` is its tool."""

    pending: PendingCall
    spec: ToolSpec


@dataclass(frozen=True, slots=True)
class Refuse:
    """Record a result for a call that is not carried out."""

    pending: PendingCall
    outcome: it.Outcome
    message: str


@dataclass(frozen=True, slots=True)
class Park:
    """Ask a person about the call, and wait."""

    pending: PendingCall


@dataclass(frozen=True, slots=True)
class Covered:
    """Record that an earlier approval covers the call: whose, and where it stands."""

    pending: PendingCall
    by: str


@dataclass(frozen=True, slots=True)
class Expire:
    """Record that no person decided about the call in time."""

    pending: PendingCall


@dataclass(frozen=True, slots=True)
class Summarise:
    """Ask the model for the summary that was asked for."""


@dataclass(frozen=True, slots=True)
class FinishRun:
    """End the run."""

    result: it.RunOutcome


Step = (
    Wait | BeginRun | AskModel | RunTool | Refuse | Park | Covered | Expire | Summarise | FinishRun
)


NOBODY = "host: nobody decided in time"
"""The name recorded as who decided about a call whose deadline has passed."""


def next_step(transcript: Transcript, now_ms: int = 0, deadline_ms: int | None = None) -> Step:
    """Return the one thing to do at wall time `now_ms`.

    A call that waits for a person longer than `deadline_ms` is answered without one.
    """
    run = transcript.run
    if run is not None:
        for pending in run.pending.values():
            if pending.started:  # it is under way: a pause waits for it
                return _call_step(transcript, pending, now_ms, deadline_ms)
    if transcript.compacting:
        return Summarise()
    if transcript.paused_by is not None:
        return Wait(paused=True)
    if run is None:
        return _begin(transcript, now_ms)
    for pending in run.pending.values():
        return _call_step(transcript, pending, now_ms, deadline_ms)
    if run.answered:
        return FinishRun("finished")
    assert transcript.config is not None
    if run.turns >= transcript.config.max_turns or transcript.full:
        return FinishRun("limit_reached")
    return AskModel(run.turns + 1)


def _begin(transcript: Transcript, now_ms: int) -> Step:
    """One run takes what waits up to the first message of a person, that one included.

    What a run that failed in passing had taken is in the conversation: the next run answers it.
    """
    takes: list[int] = []
    wakes = False
    for seq, item in transcript.waiting.items():
        takes.append(seq)
        if isinstance(item, it.UserInput):
            return BeginRun("user_send", takes)
        wakes = wakes or item.wakes
    if wakes:
        return BeginRun("notify", takes)
    again = transcript.again_at_ms
    if again is not None and now_ms >= again:
        return BeginRun("wakeup", takes)
    return Wait(paused=False, until_ms=again)


def tool_spec(transcript: Transcript, name: str) -> ToolSpec | None:
    """Return the tool called `name` of the current configuration."""
    if transcript.config is None:
        return None
    return next((spec for spec in transcript.config.tools if spec.name == name), None)


def _before_asking(
    transcript: Transcript, pending: PendingCall, spec: ToolSpec, now_ms: int
) -> Step:
    """Return the question to a person, or what makes it needless."""
    call, run = pending.call, transcript.run
    same = (call.name, canonical(call.arguments))
    if run is not None and same in run.denied:
        return Refuse(pending, "denied", "the same call was not approved before in this run")
    shared = None if run is None else run.shared.get(same)
    if shared is not None:
        return Covered(pending, f"{shared.by}, asked at item {shared.question}")
    for grant in transcript.grants.values():
        if grant.covers(call, spec, now_ms, outside=transcript.outside):
            return Covered(pending, f"{grant.by}, by the grant at item {grant.item}")
    # A person is not asked about a call that would be refused in any case.
    arguments = read_arguments(call, spec)
    return Refuse(pending, "refused", arguments) if isinstance(arguments, str) else Park(pending)


def alike(transcript: Transcript, call: it.Call) -> int:
    """Return how often the newest answer makes `call`, which waits: the same tool and arguments."""
    same = (call.name, canonical(call.arguments))
    pending = () if transcript.run is None else transcript.run.pending.values()
    calls = [one.call for one in pending]
    return sum((one.name, canonical(one.arguments)) == same for one in calls)


def approval_of(transcript: Transcript, spec: ToolSpec, call: it.Call) -> it.Approval:
    """Return what the operator decided about `call` of `spec`, text from outside considered."""
    if not transcript.outside or spec.after_outside == "allow":
        return spec.approval
    if transcript.run is not None and answers_where_asked(transcript.run.heard, spec, call):
        return spec.approval
    if spec.after_outside == "deny":
        return "deny"
    return "ask" if spec.approval == "auto" else spec.approval


def _call_step(
    transcript: Transcript, pending: PendingCall, now_ms: int, deadline_ms: int | None
) -> Step:
    spec = tool_spec(transcript, pending.call.name)
    if spec is None:
        return Refuse(pending, "refused", f"there is no tool called {pending.call.name!r}")
    approval = approval_of(transcript, spec, pending.call)
    if approval != spec.approval == "auto" and approval == "deny":
        return Refuse(pending, "denied", "not allowed once text from outside was read")
    if approval == "deny":
        return Refuse(pending, "denied", "the operator does not allow this tool")
    if approval == "ask":
        if not pending.asked:
            return _before_asking(transcript, pending, spec, now_ms)
        if pending.approved is None:
            if deadline_ms is None:
                return Wait(paused=True)
            until = pending.asked_at_ms + deadline_ms
            return Expire(pending) if now_ms >= until else Wait(paused=True, until_ms=until)
        if not pending.approved:
            late = pending.decided_by == NOBODY
            who = "nobody decided in time, so this call was not approved"
            return Refuse(pending, "denied", who if late else "a person did not approve this call")
    return RunTool(pending, spec)
