"""The rules of a history: what may follow what."""

import pytest
from tests.workers.worlds import spec

from yoi.errors import WorkerError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.limits import Limits
from yoi.protocol.events import Provenance
from yoi.workers import items as it
from yoi.workers.history import History
from yoi.workers.items import decode_item, encode_item
from yoi.workers.transcript import Transcript

CONFIG = it.Configured(at_ms=1, engine="e", instructions="", tools=[spec()], max_turns=5)
INPUT = it.UserInput(at_ms=1, text="hi")
START = it.RunStart(at_ms=1, kind="user_send", takes=[2])
CALL = it.Call("c", "echo", "{}")


def said(*parts, number=1, finish="complete"):
    return it.Assistant(at_ms=1, llm_call=number, model="m", parts=list(parts), finish=finish)


def result(outcome="returned", call_id="c"):
    return it.ToolResult(at_ms=1, call_id=call_id, name="echo", output="", outcome=outcome)


ASKED = it.ApprovalAsked(at_ms=1, call_id="c")
STARTED = it.ToolStart(at_ms=1, call_id="c")
END = it.RunEnd(at_ms=1, result="finished")
SUM = it.CompactionAsked(at_ms=1, instruction="sum up")
ASIDE = it.SetAside(at_ms=1, places=[1], reason="r", by="host")
OPEN = [CONFIG, INPUT, START]


def decided(approved):
    return it.ApprovalDecided(at_ms=1, call_id="c", approved=approved, by="ann")


@pytest.mark.parametrize(
    "items",
    [
        [INPUT, it.RunStart(at_ms=1, kind="user_send", takes=[1])],  # not configured
        [CONFIG, INPUT, it.RunStart(at_ms=1, kind="user_send", takes=[])],
        [CONFIG, INPUT, it.RunStart(at_ms=1, kind="user_send", takes=[2, 2])],
        [CONFIG, INPUT, it.RunStart(at_ms=1, kind="user_send", takes=[1])],
        [*OPEN, it.RunStart(at_ms=1, kind="user_send", takes=[2])],
        [*OPEN, CONFIG],
        [*OPEN, said(CALL), SUM],
        [it.Uncompacted(at_ms=1, by="a", place=1)],
        [it.Restored(at_ms=1, by="a", places=[1])],
        [ASIDE, ASIDE],
        [*OPEN, said(CALL), END],
        [*OPEN, said(CALL), said()],
        [*OPEN, said(CALL, CALL)],
        [*OPEN, said(it.Text("a")), said(number=2)],
        [*OPEN, said(CALL), result()],  # never started
        [*OPEN, said(CALL), STARTED, STARTED],
        [*OPEN, said(CALL), STARTED, result(), result()],
        [*OPEN, said(CALL), STARTED, ASKED],
        [*OPEN, said(CALL), ASKED, ASKED],
        [*OPEN, said(CALL), ASKED, STARTED],
        [*OPEN, said(CALL), ASKED, decided(False), STARTED],
        [*OPEN, said(CALL), ASKED, decided(True), decided(True)],
        [*OPEN, said(CALL), decided(True)],
        [*OPEN, said(CALL), result("refused", "other")],
        [*OPEN, said(CALL, finish="failed"), STARTED],  # a broken answer's calls do not count
        [*OPEN, END, END],
        [END],
        [STARTED],
        [it.Owned(at_ms=1, epoch=2), it.Owned(at_ms=1, epoch=1)],
        [it.RunResumed(at_ms=1)],
        [it.Resumed(at_ms=1, by="a")],
        [it.Paused(at_ms=1, by="a"), it.Paused(at_ms=1, by="a")],
        [it.Compaction(at_ms=1, summary="s")],
        [SUM, SUM],
        [CONFIG, INPUT, SUM, START],
    ],
)
def test_the_last_item_has_no_place_there(items):
    transcript = Transcript()
    for item in items[:-1]:
        transcript.apply(item, 10)
    head = transcript.head
    with pytest.raises(WorkerError) as caught:
        transcript.apply(items[-1], 10)
    assert caught.value.code == "worker.history_invalid"
    assert transcript.head == head


def test_rehearsing_changes_nothing_and_looks_at_every_item():
    transcript = Transcript()
    for item in [*OPEN, said(CALL)]:
        transcript.apply(item, 10)
    transcript.rehearse([STARTED, result(), said(number=2), END])
    assert not transcript.run.pending["c"].started
    with pytest.raises(WorkerError):
        transcript.rehearse([STARTED, result(), result()])


def test_remembered_commands_are_bounded():
    transcript = Transcript(Limits(notify_remembered=2))
    for number in range(3):
        origin = Provenance(
            plugin="p",
            plugin_id="p",
            digest="d",
            ingress="i",
            event_id="e",
            command_id=f"c{number}",
        )
        transcript.apply(it.SystemItem(at_ms=1, text="t", provenance=origin, wakes=False), 10)
    assert [transcript.command_seq("p", "e", f"c{n}") for n in range(3)] == [None, 2, 3]
    assert transcript.command_seq("p", "another", "c2") is None, "of each event, ids begin anew"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"type":"nothing"}', b'{"type":"run_start"}', b"\xff"]
)
def test_bytes_that_are_no_item(data):
    with pytest.raises(WorkerError) as caught:
        decode_item(data)
    assert caught.value.code == "worker.history_invalid"


async def test_a_history_whose_log_others_wrote_is_refused():
    journal = MemoryJournal()
    wide = LogBounds(records=100, size_bytes=10_000)
    await journal.commit([Append("worker:w", 0, [encode_item(END)], wide)])
    with pytest.raises(WorkerError) as caught:
        await History(journal, "w", lambda stored: None).load()
    assert caught.value.code == "worker.history_invalid"
    await journal.commit([Append("worker:v", 0, [encode_item(INPUT)] * 2, wide)])
    await journal.trim("worker:v", 1)
    with pytest.raises(WorkerError, match="missing"):
        await History(journal, "v", lambda stored: None).load()


async def test_a_full_history_refuses_and_says_so():
    history = History(MemoryJournal(), "w", lambda stored: None, Limits(history_records=1))
    async with history.changing:
        await history.commit([INPUT])
        with pytest.raises(WorkerError) as caught:
            await history.commit([INPUT])
    assert caught.value.code == "worker.history_full"
