"""The event that tells of a committed item."""

from yoi.display import printable
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.items import Stored
from yoi.workers.transcript import Transcript


def announcement(stored: Stored, after: Transcript) -> list[ev.Event]:
    """Return the events of `stored`, which is the last item of `after`."""
    seq, item = stored
    match item:
        case it.UserInput():
            return [
                ev.UserMessage(
                    ev.UserMessageData(segments=[ev.Segment(kind="text", text=item.text)], seq=seq)
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
            ended = ev.LlmCallData(llm_call=item.llm_call, model=item.model)
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
            return [ev.ToolResult(_result(item)), *_turn_end(after)]
        case it.ApprovalAsked() if after.run is not None:
            call = after.run.pending[item.call_id].call
            return [ev.ApprovalRequest(approval_data(call))]
        case it.ApprovalDecided():
            decided = ev.ApprovalDoneData(id=item.call_id, approved=item.approved, by=item.by)
            return [ev.ApprovalDone(decided)]
        case it.RunEnd():
            failed: list[ev.Event] = []
            if item.error:
                failed.append(ev.Error(ev.ErrorData(code="provider_error", message=item.error)))
            return [*failed, ev.RunEnd(ev.RunEndData(result=item.result))]
        case it.CompactionAsked():
            return [ev.CompactStart()]
        case it.Compaction():
            return [ev.CompactDone(ev.CompactDoneData(new_segment_id=str(seq)))]
        case it.CompactionFailed():
            return [ev.CompactFailed(ev.CompactFailedData(error=item.error))]
        case _:
            return []


def approval_data(call: it.Call) -> ev.ApprovalRequestData:
    """Return what a person must see to decide about `call`."""
    return ev.ApprovalRequestData(id=call.id, name=call.name, arguments=call.arguments)


def _turn_end(after: Transcript) -> list[ev.Event]:
    """A turn ends with its last result, or with an answer that calls nothing."""
    if after.run is None or after.run.pending:
        return []
    return [ev.TurnEnd(ev.TurnEndData(turn=after.run.turns, result="finished"))]


def _result(item: it.ToolResult) -> ev.ToolResultData:
    summary = printable(item.output, LIMITS.message_chars)
    return ev.ToolResultData(
        id=item.call_id,
        summary=summary if item.outcome == "returned" else f"{item.outcome}: {summary}",
        is_error=item.outcome != "returned",
        output=None if summary == item.output else item.output,
    )
