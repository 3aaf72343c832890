"""Which items record what a driver does: pure functions of the transcript and the moment."""

from collections.abc import Iterable, Sequence

from yoi.workers import items as it
from yoi.workers import steps
from yoi.workers.context import outside_sources
from yoi.workers.engine import Answer
from yoi.workers.items import AnyItem
from yoi.workers.modelcall import usage_items
from yoi.workers.rescuer import HOST
from yoi.workers.tools import ToolOutcome
from yoi.workers.transcript import Transcript

UNKNOWN = "interrupted before the result was recorded; whether the call had an effect is unknown"


def tool_result(call: it.Call, outcome: it.Outcome, message: str, now: int) -> it.ToolResult:
    """Return the result of a call that the host decided: no tool gave it."""
    return it.ToolResult(
        at_ms=now, call_id=call.id, name=call.name, output=message, outcome=outcome
    )


def tool_output(
    call: it.Call, done: ToolOutcome, origin: it.Origin | None, now: int
) -> it.ToolResult:
    """Return the result that the tool of `origin` gave."""
    return it.ToolResult(
        at_ms=now,
        call_id=call.id,
        name=call.name,
        output=done.output,
        outcome=done.outcome,
        cut=done.cut,
        origin=origin,
    )


def recovered(transcript: Transcript, now: int, most_resumes: int) -> list[AnyItem]:
    """Return what records that the host was restarted: what was under way is interrupted.

    A run that ends the process each time must not do so for ever: after `most_resumes` the worker
    is paused.
    """
    lost: list[AnyItem] = []
    if transcript.on_trial:
        lost.append(it.Restored(at_ms=now, places=sorted(transcript.on_trial), by=HOST))
    if transcript.compacting:
        lost.append(it.CompactionFailed(at_ms=now, error="the worker was restarted"))
    run = transcript.run
    if run is None:
        return lost
    lost += [
        tool_result(pending.call, "interrupted", UNKNOWN, now)
        for pending in run.pending.values()
        if pending.started
    ]
    lost.append(it.RunResumed(at_ms=now))
    if run.resumes >= most_resumes and transcript.paused_by is None:
        lost.append(it.Paused(at_ms=now, by="host: the run was interrupted too often"))
    return lost


def cancelled(transcript: Transcript, now: int) -> list[AnyItem]:
    """Return what records that a person cancelled what is under way."""
    items: list[AnyItem] = []
    if transcript.compacting:
        items.append(it.CompactionFailed(at_ms=now, error="cancelled"))
    if transcript.run is not None:
        items += [
            tool_result(pending.call, "cancelled", "the run was cancelled", now)
            for pending in transcript.run.pending.values()
        ]
        items.append(it.RunEnd(at_ms=now, result="cancelled"))
    return items


def changed_configuration(transcript: Transcript, wanted: it.Configured) -> list[AnyItem]:
    """Return `wanted`, or nothing where the same is recorded already."""
    known = transcript.config
    if known is not None and _settings(known) == _settings(wanted):
        return []
    return [wanted]


def step_items(step: steps.Step, transcript: Transcript, now: int) -> list[AnyItem]:
    """Return what is committed of `step` before anything is done about it."""
    match step:
        case steps.BeginRun():
            return [it.RunStart(at_ms=now, kind=step.kind, takes=step.takes)]
        case steps.Refuse():
            return [tool_result(step.pending.call, step.outcome, step.message, now)]
        case steps.Park():
            call = step.pending.call
            return [_approval_asked(call, transcript, now, steps.alike(transcript, call))]
        case steps.Covered():
            call = step.pending.call
            return [
                _approval_asked(call, transcript, now),
                it.ApprovalDecided(at_ms=now, call_id=call.id, approved=True, by=step.by),
            ]
        case steps.Expire():
            call_id, by = step.pending.call.id, steps.NOBODY
            return [it.ApprovalDecided(at_ms=now, call_id=call_id, approved=False, by=by)]
        case steps.FinishRun():
            return [it.RunEnd(at_ms=now, result=step.result)]
        case steps.RunTool() if not step.pending.started:
            return [it.ToolStart(at_ms=now, call_id=step.pending.call.id)]
        case _:
            return []


def first_start(transcript: Transcript, parts: Iterable[it.Part], now: int) -> list[AnyItem]:
    """Return the start of the first call of `parts` when nothing stands before it.

    It is committed together with what came before: one commit fewer.
    """
    if transcript.paused_by is not None:
        return []
    for part in parts:
        if isinstance(part, it.Call):
            spec = steps.tool_spec(transcript, part.name)
            if spec is not None and steps.approval_of(transcript, spec, part) == "auto":
                return [it.ToolStart(at_ms=now, call_id=part.id)]
            return []
    return []


def calls_after(transcript: Transcript, done: it.Call) -> Sequence[it.Call]:
    """Return the calls of the open run that wait for the end of `done`."""
    run = transcript.run
    if run is None:
        return ()
    return [pending.call for pending in run.pending.values() if pending.call.id != done.id]


def summary(
    answer: Answer, number: int, asked: it.CompactionAsked, transcript: Transcript, now: int
) -> list[AnyItem]:
    """Return what records the model's `answer` to the request for a summary."""
    text = "".join(part.text for part in answer.parts if isinstance(part, it.Text)).strip()
    sources, more = outside_sources(transcript.window)
    done: AnyItem = it.CompactionFailed(at_ms=now, error="the model gave no summary")
    if text and answer.end == "complete":
        done = it.Compaction(
            at_ms=now,
            summary=text,
            sources=sources,
            more_sources=more,
            covers=asked.covers,
        )
    return [*usage_items(answer, number, now), done]


def _approval_asked(
    call: it.Call, transcript: Transcript, now: int, times: int = 1
) -> it.ApprovalAsked:
    outside = transcript.outside
    return it.ApprovalAsked(at_ms=now, call_id=call.id, after_outside=outside, times=times)


def _settings(config: it.Configured) -> tuple[object, ...]:
    return config.engine, config.instructions, config.tools, config.max_turns
