"""The event that tells of a committed item."""

from typing import Any

import msgspec

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.items import Stored
from yoi.workers.transcript import PendingCall, Transcript


def announcement(stored: Stored, after: Transcript) -> list[ev.Event]:
    """Return the events of `stored`, which is the last item of `after`."""
    seq, item = stored
    match item:
        case it.UserInput():
            return [
                ev.UserMessage(
                    ev.UserMessageData(
                        segments=[ev.Segment(kind="text", text=item.text)],
                        seq=seq,
                        at_ms=item.at_ms,
                    )
                )
            ]
        case it.SystemItem():
            shown = ev.SystemItemData(
                seq=seq, text=item.text, at_ms=item.at_ms, provenance=item.provenance
            )
            return [ev.SystemItem(ev.SystemItemEnvelope(item=shown))]
        case it.RunStart():
            return [ev.InvokeStart(ev.InvokeStartData(kind=item.kind))]
        case it.RunResumed():
            return [ev.InvokeStart(ev.InvokeStartData(kind="wakeup"))]
        case it.Assistant() if after.run is not None:
            ended = ev.LlmCallData(
                llm_call=item.llm_call,
                model=item.model,
                seq=seq,
                at_ms=item.at_ms,
                finish=item.finish,
            )
            return [ev.LlmCallEnd(ended), *_turn_end(after)]
        case it.Usage():
            return [
                ev.Usage(
                    ev.UsageData(
                        input_tokens=item.input_tokens,
                        output_tokens=item.output_tokens,
                        cache_read_input_tokens=item.cache_read_tokens or None,
                    )
                )
            ]
        case it.ToolResult():
            return [ev.ToolResult(_result(stored.seq, item)), *_turn_end(after)]
        case it.ApprovalAsked() if after.run is not None:
            return [ev.ApprovalRequest(approval_data(after.run.pending[item.call_id]))]
        case it.ApprovalDecided():
            return [
                ev.ApprovalDone(
                    ev.ApprovalDoneData(
                        id=item.call_id,
                        approved=item.approved,
                        by=item.by,
                        scope=item.scope,
                        until_ms=item.until_ms,
                        seq=seq,
                    )
                )
            ]
        case it.RunEnd():
            failed: list[ev.Event] = []
            if item.error:
                failed.append(ev.Error(ev.ErrorData(code="provider_error", message=item.error)))
            return [
                *failed,
                ev.RunEnd(ev.RunEndData(result=item.result, seq=seq, at_ms=item.at_ms)),
            ]
        case it.Configured():
            tools = [spec.name for spec in item.tools]
            return [ev.Configured(ev.ConfiguredData(tools=tools, seq=seq))]
        case it.CompactionAsked():
            return [ev.CompactStart()]
        case it.Compaction():
            return [
                ev.CompactDone(
                    ev.CompactDoneData(
                        new_segment_id=str(seq), seq=seq, at_ms=item.at_ms, summary=item.summary
                    )
                )
            ]
        case it.CompactionFailed():
            return [ev.CompactFailed(ev.CompactFailedData(error=item.error))]
        case _:
            return []


def approval_data(parked: PendingCall) -> ev.ApprovalRequestData:
    """Return what a person must see to decide about a call that waits."""
    return ev.ApprovalRequestData(
        id=parked.call.id,
        name=parked.call.name,
        arguments=parked.call.arguments,
        item=parked.question,
        after_outside=parked.after_outside,
        times=parked.times,
    )


def _turn_end(after: Transcript) -> list[ev.Event]:
    """A turn ends with its last result, or with an answer that calls nothing."""
    if after.run is None or after.run.pending:
        return []
    return [ev.TurnEnd(ev.TurnEndData(turn=after.run.turns, result="finished"))]


def _result(seq: int, item: it.ToolResult) -> ev.ToolResultData:
    summary = printable(item.output, LIMITS.message_chars)
    return ev.ToolResultData(
        id=item.call_id,
        summary=summary if item.outcome == "returned" else f"{item.outcome}: {summary}",
        is_error=item.outcome != "returned",
        output=None if summary == item.output else item.output,
        seq=seq,
        at_ms=item.at_ms,
        name=item.name,
    )


def view_entry(stored: Stored) -> dict[str, Any] | None:
    """Return the item as a person who watches reads it, or None for what only the driver needs.

    The same as folding its events (core/observation/worker_view.py).
    """
    seq, item = stored
    head: dict[str, Any] = {"seq": seq, "type": "", "at_ms": item.at_ms}
    match item:
        case it.UserInput():
            return {**head, "type": "user_input", "text": item.text}
        case it.SystemItem():
            origin = msgspec.to_builtins(item.provenance)
            return {**head, "type": "system_item", "text": item.text, "provenance": origin}
        case it.Assistant():
            parts = [_part(part) for part in item.parts]
            return {
                **head,
                "type": "assistant",
                "llm_call": item.llm_call,
                "model": item.model,
                "finish": item.finish,
                "parts": parts,
            }
        case it.ToolResult():
            rest = msgspec.to_builtins(_result(seq, item))
            return {**rest, **head, "type": "tool_result"}
        case it.RunEnd():
            return {**head, "type": "run_end", "result": item.result}
        case it.Compaction():
            return {**head, "type": "compaction", "summary": item.summary}
        case _:
            return None


def _part(part: it.Part) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(part)
    shown.pop("replay", None)
    return shown
