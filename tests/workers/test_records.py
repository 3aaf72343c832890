"""Which items record what a driver does; each set may follow the history it is made from."""

from tests.workers.test_transcript import CALL, CONFIG, OPEN, STARTED, said
from tests.workers.worlds import spec

from yoi.workers import items as it
from yoi.workers import records
from yoi.workers.engine import Answer
from yoi.workers.transcript import Transcript

NOW = 7
SECOND = it.Call("d", "echo", "{}")


def after(*items):
    transcript = Transcript()
    for item in items:
        transcript.check(item)
        transcript.apply(item, 1)
    return transcript


def kinds(items):
    return [type(item) for item in items]


def test_nothing_under_way_leaves_nothing_to_recover():
    assert records.recovered(after(CONFIG), NOW, 3) == []


def test_a_started_call_is_interrupted_and_its_run_resumed():
    transcript = after(*OPEN, said(CALL, SECOND), STARTED)
    found = records.recovered(transcript, NOW, 3)
    assert kinds(found) == [it.ToolResult, it.RunResumed]
    assert (found[0].call_id, found[0].outcome) == ("c", "interrupted")
    transcript.rehearse(found)


def test_a_run_that_ends_the_process_each_time_is_paused():
    transcript = after(*OPEN, *[it.RunResumed(at_ms=1)] * 3)
    assert kinds(records.recovered(transcript, NOW, 3)) == [it.RunResumed, it.Paused]
    assert kinds(records.recovered(transcript, NOW, 4)) == [it.RunResumed]


def test_a_cancelled_run_gives_each_open_call_its_result():
    transcript = after(*OPEN, said(CALL, SECOND), STARTED)
    found = records.cancelled(transcript, NOW)
    assert kinds(found) == [it.ToolResult, it.ToolResult, it.RunEnd]
    assert {one.outcome for one in found[:2]} == {"cancelled"}
    transcript.rehearse(found)
    assert records.cancelled(after(CONFIG), NOW) == []


def test_a_configuration_is_recorded_when_it_differs():
    assert records.changed_configuration(after(CONFIG), CONFIG) == []
    assert records.changed_configuration(after(), CONFIG) == [CONFIG]


def test_only_a_call_that_nothing_holds_up_starts_with_its_answer():
    transcript = after(*OPEN, said(CALL))
    (start,) = records.first_start(transcript, [it.Text("x"), CALL, SECOND], NOW)
    assert start.call_id == "c"
    assert records.first_start(transcript, [it.Text("x")], NOW) == []
    assert records.first_start(transcript, [it.Call("c", "other", "{}")], NOW) == []
    asked = it.Configured(
        at_ms=1, engine="e", instructions="", tools=[spec(approval="ask")], max_turns=5
    )
    assert records.first_start(after(asked, *OPEN[1:], said(CALL)), [CALL], NOW) == []
    transcript.apply(it.Paused(at_ms=1, by="ann"), 1)
    assert records.first_start(transcript, [CALL], NOW) == []


def test_the_calls_after_one_are_those_that_wait():
    transcript = after(*OPEN, said(CALL, SECOND))
    assert records.calls_after(transcript, CALL) == [SECOND]
    assert records.calls_after(after(CONFIG), CALL) == ()


def test_a_summary_without_words_is_none():
    asked = it.CompactionAsked(at_ms=1, instruction="sum up", covers=2)
    transcript = after(CONFIG, asked)
    for answer in (Answer([it.Text(" ")], None, "complete"), Answer([it.Text("s")], None, "cut")):
        assert kinds(records.summary(answer, 1, asked, transcript, NOW)) == [it.CompactionFailed]
    (made,) = records.summary(Answer([it.Text(" s ")], None, "complete"), 1, asked, transcript, NOW)
    assert (made.summary, made.covers) == ("s", 2)
