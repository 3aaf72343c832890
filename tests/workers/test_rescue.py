"""A provider that refuses: the worker shortens, searches, waits, and goes on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.workers.providers import StrictServer
from tests.workers.test_notify import desk, note
from tests.workers.wire import Reply, text
from tests.workers.worlds import World, answers, run_ended, texts, tool

from yoi.errors import ModelError, WorkerError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.context import conversation, model_input
from yoi.workers.engine import Answer, TokenUsage
from yoi.workers.engines import make_engine
from yoi.workers.profile import WorkerProfile
from yoi.workers.rescue import PROBES, Search, covers
from yoi.workers.scripted import CallTool, Fail, Say
from yoi.workers.view import as_sent


class Picky:
    """A model that refuses requests by rule, and answers others with what it read last."""

    name = "picky"

    def __init__(self, refuses):
        self.refuses = refuses
        self.asked = []

    async def ask(self, request):
        self.asked.append(request)
        error = self.refuses(request)
        if error is not None:
            raise error
        yield Answer([it.Text(f"answer {len(self.asked)}")], TokenUsage(10, 5))

    async def close(self):
        pass


def words(request):
    return json.dumps([getattr(m, "text", "") for m in request.messages])


def too_long(most):
    def refuses(request):
        if len(words(request)) > most:
            return ModelError("model.window", "too long", retryable=False, status=400)
        return None

    return refuses


def filtered(*bad, status=400):
    def refuses(request):
        if any(word in words(request) for word in bad):
            return ModelError("model.rejected", "no", status=status, for_content=status == 400)
        return None

    return refuses


async def check_view(world):
    """What is kept in memory and the whole history give the model the same."""
    stored = await world.worker.history(0, 1000)
    assert world.worker.as_sent() == as_sent(model_input(stored), world.setup.engine.name)


async def test_a_full_window_is_summed_up_in_pieces_and_the_run_goes_on():
    engine = Picky(too_long(4000))
    async with World(engine) as world:
        await world.worker.pause("ann")
        for n in range(5):
            await world.worker.accept(outside(f"{n} " + "all quiet. " * 120))
        await world.worker.send("hello")
        await world.worker.resume("ann")
        await world.until(ev.RunEnd)
        items = await world.items()
        assert items[-1].result == "finished"
        assert sum(isinstance(i, it.RunStart) for i in items) == 1
        done = [i for i in items if isinstance(i, it.Compaction)]
        assert done
        assert all(i.covers and i.sources[0].plugin == "chat" for i in done)
        assert "hello" in texts(engine.asked[-1])[-1]  # the newest is read verbatim
        assert "answer" in texts(engine.asked[-1])[0]
        await check_view(world)
        await world.restart()
        await check_view(world)


def outside(words, n=[0]):  # noqa: B006
    n[0] += 1
    made = note(words, command_id=f"o{n[0]}")
    origin = ev.Provenance(
        plugin="chat",
        plugin_id=made.plugin_id,
        digest=made.digest,
        ingress=made.ingress,
        event_id=made.event_id,
        command_id=made.command_id,
    )
    return it.SystemItem(at_ms=1, text=words, provenance=origin, wakes=True)


async def test_one_text_larger_than_the_window_is_set_aside():
    async with World(Picky(too_long(2000))) as world:
        await world.run("x" * 5000)
        items = await world.items()
        assert items[-1].result == "finished"
        (aside,) = [i for i in items if isinstance(i, it.SetAside)]
        assert aside.places == [1]
        assert "window" in aside.reason
        await world.run("short")
        assert (await world.items())[-1].result == "finished"
        await check_view(world)


async def test_a_known_window_is_never_met():
    async with World(answers(*[[Say("b" * 400)]] * 30), window=1000, compact_at=50) as world:
        for n in range(12):
            await world.run(f"{n} " + "a" * 300)
        items = await world.items()
        assert any(isinstance(i, it.Compaction) and i.covers for i in items)
        assert all(i.input_tokens < 1000 for i in items if isinstance(i, it.Usage))
        await check_view(world)


async def test_a_summary_can_be_undone_and_redone():
    script = answers([Say("a")], [Say("the summary")])
    async with World(script) as world:
        await world.run("first")
        await world.worker.compact()
        await world.until(ev.CompactDone)
        assert "the summary" in words(world.worker.as_sent())
        await world.worker.uncompact("ann")
        assert "the summary" not in words(world.worker.as_sent())
        assert "first" in words(world.worker.as_sent())
        await world.run("second")
        await check_view(world)
        await world.restart()
        await check_view(world)
        assert world.worker.status().summary_at is None
        with pytest.raises(WorkerError):
            await world.worker.uncompact("ann")
        await world.worker.compact()
        await world.until(ev.CompactDone, 2)
        await check_view(world)
        await world.worker.uncompact("ann")
        assert "first" in words(world.worker.as_sent())


async def test_a_refused_text_is_found_set_aside_and_told():
    engine = Picky(filtered("zebra"))
    async with World(engine) as world:
        await world.run("one")
        await world.run("two")
        await desk(world).notify(note("a striped zebra"))
        await world.until(ev.RunEnd, 3)
        items = await world.items()
        assert items[-1].result == "finished"
        place = next(n for n, i in enumerate(items, 1) if isinstance(i, it.SystemItem))
        assert world.worker.status().set_aside == [place]
        alert = world.worker.status().alerts[-1].message
        assert f"yoi worker restore w {place}" in alert
        assert "zebra" not in words(engine.asked[-1])
        await world.run("three")
        assert "set aside" in words(engine.asked[-1])
        await check_view(world)
        await world.restart()
        assert world.worker.status().set_aside == [place]
        engine.refuses = filtered("nothing")
        await world.worker.restore(place, "ann")
        await world.run("four")
        assert "zebra" in words(engine.asked[-1])
        with pytest.raises(WorkerError):
            await world.worker.restore(place, "ann")


async def test_an_old_refused_text_among_many_is_found_within_eight_requests():
    engine = Picky(filtered("nothing"))
    async with World(engine) as world:
        for n in range(12):
            await world.run(f"message {n} end")
        engine.refuses, before = filtered("message 3 end"), len(engine.asked)
        await world.run("and now?")
        assert (await world.items())[-1].result == "finished"
        assert len(world.worker.status().set_aside) == 1
        assert len(engine.asked) - before <= PROBES + 2
        assert "message 4 end" in words(engine.asked[-1])
        await check_view(world)


@pytest.mark.parametrize("status", [400, 500])
async def test_where_no_text_is_the_cause_nothing_is_set_aside(status):
    engine = Picky(filtered("", status=status))
    async with World(engine) as world:
        await world.worker.send("hello")
        if status == 400:
            await world.until_status("paused")
            assert "host" in world.worker.status().paused_by
            assert len(engine.asked) <= PROBES + 2
            engine.refuses = filtered("nothing")
            await world.worker.resume("ann")
        await world.until(run_ended("finished" if status == 400 else "failed"))
        assert world.worker.status().set_aside == []
        await check_view(world)


async def test_a_refusal_that_passes_sets_nothing_aside():
    left = [ModelError("model.rejected", "no", status=400, for_content=True)]
    async with World(Picky(lambda _: left.pop() if left else None)) as world:
        await world.run("hello")
        assert (await world.items())[-1].result == "finished"
        assert not any(isinstance(i, it.SetAside) for i in await world.items())


async def test_a_run_that_failed_in_passing_is_taken_up_again():
    script = answers(*[[Fail("down", retryable=True)]] * 5, [Say("here")])
    async with World(script, agains=3) as world:
        await world.worker.send("hello")
        await world.until(ev.RunEnd, 2)
        items = await world.items()
        ends = [i for i in items if isinstance(i, it.RunEnd)]
        assert [e.result for e in ends] == ["failed", "finished"]
        assert ends[0].again_at_ms - ends[0].at_ms == 60_000
        starts = [i for i in items if isinstance(i, it.RunStart)]
        assert [(s.kind, s.takes) for s in starts] == [("user_send", [1]), ("wakeup", [])]
        assert texts(script.asked[-1]) == ["hello"]
        await check_view(world)


async def test_inputs_are_not_taken_up_for_ever():
    async with World(answers(*[[Fail("down", retryable=True)]] * 50), agains=3) as world:
        await world.worker.send("hello")
        await world.until(ev.RunEnd, 4)
        ends = [i for i in await world.items() if isinstance(i, it.RunEnd)]
        assert [bool(e.again_at_ms) for e in ends] == [True, True, True, False]
        assert world.worker.status().again_at_ms is None


async def test_a_call_that_nobody_decides_about_is_answered_at_its_deadline():
    script = answers([CallTool("pay", '{"text":"x"}')], [Say("understood")])
    async with World(script, [tool("pay", "ask")], approval_deadline_ms=3000) as world:
        await world.worker.send("pay the bill")
        await world.until(run_ended("finished"))
        items = await world.items()
        (decided,) = [i for i in items if isinstance(i, it.ApprovalDecided)]
        assert (decided.approved, decided.by) == (False, "host: nobody decided in time")
        (result,) = [i for i in items if isinstance(i, it.ToolResult)]
        assert result.outcome == "denied"
        assert "nobody decided" in result.output
        assert items[-1].result == "finished"
        assert sum(world.slept) == 3


async def test_the_real_client_meets_a_window_and_goes_on():
    profile = {"name": "w", "model": "openai-compatible:m"}
    async with StrictServer(lambda _: Reply(text("fine")), window=2000) as server:
        engine = make_engine(WorkerProfile.parse({**profile, "base_url": server.url}), None)
        async with World(engine) as world:
            for n in range(8):
                await world.run(f"{n} " + "word " * 300)
            assert (await world.items())[-1].result == "finished"
    assert set(server.refused) == {"context_length_exceeded"}


@given(st.integers(1, 30), st.data())
def test_the_search_finds_one_culprit(many, data):
    places = tuple(range(many, 0, -1))
    culprit = data.draw(st.sampled_from(places))
    search, probes = Search(places), 0
    while not search.over:
        probes += 1
        search.went(answered=culprit in search.leave_out)
    assert probes <= PROBES
    assert culprit in search.found
    assert len(search.found) <= max(1, many // 4)


@given(st.integers(2, 20), st.integers(2, 3), st.data())
def test_the_search_finds_all_of_several_new_texts(many, fresh, data):
    places = tuple(range(many, 0, -1))
    new = places[: min(fresh, many)]
    culprits = set(data.draw(st.lists(st.sampled_from(new), min_size=1, unique=True)))
    search = Search(places, len(new))
    while not search.over:
        search.went(answered=culprits <= set(search.leave_out))
    assert set(search.found) == culprits


def test_a_fault_that_passes_does_not_end_the_search():
    search = Search((3, 2, 1), 1)
    for answered in (False, False):  # the newest; then all, in a bad moment
        search.went(answered=answered)
    while not search.over:
        search.went(answered=2 in search.leave_out)
    assert search.found == (2,)


@given(
    st.lists(st.text(min_size=1, max_size=40), max_size=20), st.integers(0, 400), st.integers(0, 9)
)
def test_each_summary_makes_progress(said, room, keep):
    history = []
    for line in said:
        history.append(it.Stored(len(history) + 1, it.UserInput(at_ms=1, text=line)))
        start = it.RunStart(at_ms=1, kind="user_send", takes=[len(history)])
        history.append(it.Stored(len(history) + 1, start))
    heard = conversation(history)
    count = covers(heard, room, keep)
    assert (count == 0) == (not said)
    assert count <= len(heard)
