"""An upstream against a runtime that repeats, skips, lies, sends garbage, vanishes and returns."""

import dataclasses

import msgspec
import pytest
from tests.backend.world import SERVICE, WORKER, Client, World, empty, said, text, turn

from yoi.backend.source import LossKind
from yoi.backend.upstream import UpstreamState
from yoi.core.observation import ServiceView
from yoi.core.observation.measure import on_one_line
from yoi.errors import ProtocolMalformed
from yoi.limits import LIMITS
from yoi.protocol import events as ev
from yoi.protocol.observation import CloseCode, Subject, SubjectKind
from yoi.serving.admission import Declined
from yoi.serving.watcher import Watching


async def test_one_upstream_serves_all_clients_with_the_same_ids() -> None:
    world = World()
    one = await world.watched()
    other = await world.again()
    world.link.event(1, text("a"))
    world.link.event(2, text("b"))
    await turn()
    assert one.words == other.words == ["snapshot", "text_delta:a", "text_delta:b"]
    assert one.ids == other.ids
    assert len(world.source.links) == 1


async def test_the_ids_are_the_runtime_s_own_positions() -> None:
    world = World()
    client = await world.watched(at=41)
    world.link.event(42, text("a"))
    await turn()
    assert client.ids == ["0123456789abcdef-41.s", "0123456789abcdef-42"]


async def test_another_backend_goes_on_with_a_client_of_this_one() -> None:
    one, other = World(), World()
    client = await one.watched(at=41)
    await other.watched(at=41)
    for world in (one, other):
        world.link.event(42, text("a"))
    await turn()
    for world in (one, other):
        world.link.event(43, text("b"))
    again = await other.again(client.cursor)
    assert again.words == ["resumed", "text_delta:b", "bookmark"]
    assert again.ids == ["0123456789abcdef-43"]


async def test_a_backend_that_knows_only_later_events_answers_with_a_snapshot() -> None:
    one, other = World(), World()
    client = await one.watched(at=41)
    await other.watched(at=50)
    assert (await other.again(client.cursor)).words == ["!cursor_expired", "snapshot"]


async def test_a_runtime_that_skipped_some_of_its_events_is_followed_in_its_own_numbers() -> None:
    world = World()
    client = await world.watched(at=0)
    world.link.event(1, text("a"))
    await turn()
    before = client.cursor
    world.link.snapshot(900, empty())
    await turn()
    world.link.event(901, text("b"))
    await turn()
    assert client.ids == [f"0123456789abcdef-{end}" for end in ("0.s", "1", "900.s", "901")]
    assert (await world.again(before)).words == ["!cursor_expired", "snapshot"]


async def test_everybody_who_waits_is_let_in_by_one_snapshot() -> None:
    world = World()
    asking = [world.asking() for _ in range(50)]
    await turn()
    assert len(world.source.links) == 1
    world.link.snapshot(0, empty())
    leases = [await each for each in asking]
    assert {lease.channel for lease in leases} == {leases[0].channel}


async def test_a_lost_runtime_is_said_and_resumed_exactly() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    world.link.lose()
    await turn()
    assert world.source.open_links == 0
    world.timers.advance(0.25)
    assert world.link.resume.at.seq == 1
    assert world.link.resume.cursor == "at-0123456789abcdef-1"
    world.link.resumed()
    world.link.event(2, text("b"))
    world.link.caught_up()
    world.link.event(3, text("c"))
    await turn()
    assert client.words == [
        "snapshot",
        "text_delta:a",
        "!upstream_disconnect",
        "text_delta:b",
        "!upstream_restored",
        "text_delta:c",
    ]
    assert len(set(client.ids)) == len(client.ids)
    assert client.code is None


async def test_a_snapshot_at_the_very_place_is_an_exact_resume() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    world.link.lose()
    world.timers.advance(0.25)
    world.link.snapshot(1, empty())
    world.link.event(2, text("b"))
    await turn()
    assert "!upstream_resync" not in client.words
    assert client.words[-1] == "text_delta:b"
    assert "!upstream_restored" in client.words


async def test_a_snapshot_of_another_place_begins_anew_for_everybody() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    await turn()
    before = client.cursor
    world.link.lose()
    world.timers.advance(0.25)
    world.link.snapshot(0, empty(), epoch="fedcba9876543210")
    await turn()
    world.link.event(1, text("z"), epoch="fedcba9876543210")
    await turn()
    assert client.words == [
        "snapshot",
        "text_delta:a",
        "!upstream_disconnect",
        "!upstream_resync",
        "snapshot",
        "text_delta:z",
    ]
    late = await world.again(before)
    assert late.words == ["!cursor_epoch_changed", "snapshot"]


async def test_the_runtime_may_begin_anew_on_a_connection_that_stays() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    world.link.snapshot(900, empty())
    await turn()
    world.link.event(901, text("b"))
    await turn()
    assert client.words == ["snapshot", "!upstream_resync", "snapshot", "text_delta:b"]
    assert world.source.open_links == 1


async def test_repeats_are_dropped() -> None:
    world = World()
    client = await world.watched()
    for seq, words in [(1, "a"), (1, "a"), (2, "b"), (1, "a"), (2, "b"), (3, "c")]:
        world.link.event(seq, text(words))
    await turn()
    assert client.words == ["snapshot", "text_delta:a", "text_delta:b", "text_delta:c"]
    assert world.upstreams.counters.repeats == 3
    assert world.source.open_links == 1


LIES = {
    "a gap": lambda link: link.event(3, text("x")),
    "another epoch": lambda link: link.event(2, text("x"), epoch="fedcba9876543210"),
    "resumed out of nothing": lambda link: link.resumed(),
    "a snapshot that is none": lambda link: link.snapshot(2, text("x")),
    "too deep": lambda link: link.event(
        2, ev.UnknownEvent("x", msgspec.Raw(b"[" * 99 + b"]" * 99))
    ),
    "too big": lambda link: link.event(2, text("x"), raw=b" " * (LIMITS.observed_event_bytes + 1)),
    "work in flight without bound": lambda link: link.event(
        2, text("x" * (LIMITS.observed_inflight_bytes + 1))
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_what_cannot_be_is_never_passed_on(lie) -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    await turn()
    lie(world.link)
    await turn()
    assert client.words == ["snapshot", "text_delta:a", "!malformed_frame"]
    assert world.source.open_links == 0
    world.timers.advance(0.25)
    assert world.link.resume.at.seq == 1
    world.link.resumed()
    world.link.event(2, text("b"))
    world.link.caught_up()
    await turn()
    assert sorted(client.words[3:]) == ["!upstream_restored", "text_delta:b"]
    assert client.code is None


async def test_a_place_that_stays_malformed_is_left_by_a_snapshot() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    world.link.event(5, text("gap"))
    world.timers.advance(0.25)
    world.link.resumed()
    world.link.event(5, text("gap"))
    world.timers.advance(0.5)
    assert world.link.resume is None
    # Even at the same place: what was folded until now is not trusted.
    world.link.snapshot(1, empty())
    await turn()
    world.link.event(2, text("b"))
    await turn()
    assert client.words[-3:] == ["!upstream_resync", "snapshot", "text_delta:b"]
    assert "text_delta:gap" not in client.words


async def test_an_event_before_any_snapshot_is_malformed() -> None:
    world = World()
    asking = world.asking()
    await turn()
    world.link.event(1, text("a"))
    declined = await asking
    assert declined.name == "runtime_unavailable"
    assert world.hub.channel(WORKER) is None


async def test_a_refused_cursor_is_not_presented_again() -> None:
    world = World()
    await world.watched()
    world.link.event(1, text("a"))
    world.link.lose()
    world.timers.advance(0.25)
    assert world.link.resume is not None
    world.link.lose(LossKind.CURSOR)
    world.timers.advance(0.5)
    assert world.link.resume is None


async def test_unknown_is_told_at_once_and_leaves_nothing_behind() -> None:
    world = World()
    asking = world.asking()
    await turn()
    world.link.lose(LossKind.NOT_FOUND)
    assert await asking == Declined("worker_not_found")
    assert list(world.upstreams) == []
    assert world.timers.pending == 0


async def test_an_unknown_runtime_looks_like_an_unknown_worker() -> None:
    world = World()
    answer = await world.lease(Subject(SubjectKind.WORKER, "w", "elsewhere"))
    assert answer == Declined("worker_not_found")
    answer = await world.lease(Subject(SubjectKind.SERVICE, "s", "elsewhere"))
    assert answer == Declined("service_not_found")


async def test_a_runtime_that_restarts_may_not_know_its_workers_yet() -> None:
    world = World()
    client = await world.watched()
    world.link.lose()
    world.timers.advance(0.25)
    world.link.lose(LossKind.NOT_FOUND)
    world.timers.advance(0.5)
    world.link.snapshot(0, empty(), epoch="fedcba9876543210")
    await turn()
    assert client.code is None
    assert client.words[-2:] == ["!upstream_resync", "snapshot"]


async def test_a_worker_that_stays_away_is_gone() -> None:
    world = World()
    client = await world.watched()
    world.link.lose()
    while client.code is None and world.clock.monotonic() < 60:
        world.timers.advance(10)
        world.link.lose(LossKind.NOT_FOUND)
        await turn()
    assert client.code is CloseCode.NOT_FOUND
    assert client.words[-1] == "!worker_not_found"
    assert list(world.upstreams) == []


async def test_the_end_of_a_stream_is_its_end_here() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    world.link.lose(LossKind.ENDED)
    await turn()
    assert client.words == ["snapshot", "text_delta:a", "!stream_closed"]
    assert client.code is CloseCode.STREAM_CLOSED
    client.leave()
    assert world.timers.pending == 0
    # Of the same name, but another: it is asked for anew.
    again = await world.watched()
    assert again.words == ["snapshot"]


async def test_waits_between_attempts_grow_and_a_steady_connection_forgives() -> None:
    world = World()
    await world.watched()
    waits = []
    for _ in range(8):
        world.link.lose()
        before, tries = world.clock.monotonic(), len(world.source.links)
        while len(world.source.links) == tries:
            world.timers.advance(0.05)
        waits.append(world.clock.monotonic() - before)
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.25, abs=0.06)
    assert waits[-1] == pytest.approx(10, abs=0.06)
    world.link.snapshot(0, empty())
    world.timers.advance(5)
    world.link.lose()
    world.timers.advance(0.3)
    assert world.source.open_links == 1


async def test_a_connection_that_never_holds_does_not_spin() -> None:
    world = World()
    await world.watched()
    for _ in range(100):
        world.link.event(9, text("gap"))
        tries = len(world.source.links)
        world.timers.advance(10)
        if len(world.source.links) == tries + 1:
            world.link.snapshot(0, empty())
    assert world.clock.monotonic() >= 900


async def test_the_runtime_s_own_wait_is_kept() -> None:
    world = World()
    await world.watched()
    world.link.lose(retry_after_ms=3000)
    world.timers.advance(2.9)
    assert world.source.open_links == 0
    world.timers.advance(0.2)
    assert world.source.open_links == 1


async def test_who_comes_while_the_runtime_is_away_sees_the_last_state_and_is_told() -> None:
    world = World()
    first = await world.watched()
    world.link.event(1, text("a"))
    world.link.lose()
    await turn()
    cursor = first.cursor
    late = await world.again()
    resuming = await world.again(cursor)
    assert late.words == ["snapshot", "!upstream_disconnect"]
    assert resuming.words == ["resumed", "bookmark", "!upstream_disconnect"]
    world.timers.advance(0.25)
    world.link.resumed()
    world.link.caught_up()
    await turn()
    assert late.words[-1] == "!upstream_restored"
    assert late.view() == first.view()


async def test_a_runtime_that_does_not_answer_is_told_in_time() -> None:
    world = World()
    asking = world.asking()
    await turn()
    world.timers.advance(4.9)
    await turn()
    assert not asking.done()
    world.timers.advance(0.2)
    declined = await asking
    assert declined.name == "runtime_unavailable"
    assert declined.retry_after_ms


async def test_a_runtime_that_refuses_is_told_at_once() -> None:
    world = World()
    asking = world.asking()
    await turn()
    world.link.lose(LossKind.REFUSED)
    assert (await asking).name == "runtime_unavailable"


async def test_a_watcher_that_leaves_while_it_waits_is_not_counted() -> None:
    world = World()
    asking = world.asking()
    await turn()
    asking.cancel()
    await turn()
    (upstream,) = world.upstreams
    assert upstream.holders == 0
    world.timers.advance(30)
    assert list(world.upstreams) == []
    assert not world.link.open


async def test_an_upstream_outlives_its_last_client_for_a_while() -> None:
    world = World()
    client = await world.watched()
    client.leave()
    world.timers.advance(29)
    assert world.link.open
    back = await world.again(client.cursor)
    world.timers.advance(60)
    assert world.link.open
    assert back.words == ["resumed", "bookmark"]
    back.leave()
    back.lease.release()
    world.timers.advance(30)
    assert not world.link.open
    assert [upstream.state for upstream in world.upstreams] == [UpstreamState.IDLE]


async def test_who_comes_back_to_a_parked_stream_gets_exactly_what_it_missed() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, text("a"))
    await turn()
    cursor = client.cursor
    client.leave()
    world.timers.advance(30)
    asking = world.asking()
    await turn()
    assert world.link.resume.at.seq == 1
    world.link.resumed()
    world.link.event(2, text("b"))
    assert not asking.done()
    world.link.caught_up()
    back = Client(await asking).open(cursor)
    assert back.words == ["resumed", "text_delta:b", "bookmark"]
    assert back.ids[0].rpartition("-")[0] == client.ids[0].rpartition("-")[0]


async def test_only_so_many_parked_streams_are_kept() -> None:
    world = World(dataclasses.replace(LIMITS, upstreams_parked=2))
    for name in ("a", "b", "c"):
        subject = Subject(SubjectKind.WORKER, name, "r")
        asking = world.asking(subject)
        await turn()
        world.link.snapshot(0, empty())
        (await asking).release()
        world.timers.advance(30)
    assert [upstream.subject.name for upstream in world.upstreams] == ["b", "c"]
    assert {channel.subject.name for channel in world.hub} == {"b", "c"}


async def test_only_so_many_streams_are_open() -> None:
    world = World(dataclasses.replace(LIMITS, upstreams=1))
    await world.watched()
    declined = await world.lease(Subject(SubjectKind.WORKER, "other", "r"))
    assert declined.name == "runtime_unavailable"
    assert len(world.source.links) == 1


async def test_two_runtimes_with_one_name_are_two_streams() -> None:
    world = World(sources=("r", "q"))
    asking = [world.asking(), world.asking(Subject(SubjectKind.WORKER, "w", "q"))]
    await turn()
    for source in world.sources.values():
        source.link.snapshot(0, empty())
    one, other = [Client(await each).open() for each in asking]
    world.sources["q"].link.event(1, text("from q"))
    world.sources["r"].link.event(1, text("from r"))
    await turn()
    assert one.words == ["snapshot", "text_delta:from r"]
    assert other.words == ["snapshot", "text_delta:from q"]
    assert {frame.envelope.runtime_id for frame in other.frames} == {"q"}
    world.sources["r"].link.lose()
    assert "!upstream_disconnect" not in other.words


async def test_a_cursor_of_one_runtime_is_foreign_at_another() -> None:
    world = World(sources=("r", "q"))
    client = await world.watched()
    asking = world.asking(Subject(SubjectKind.WORKER, "w", "q"))
    await turn()
    world.sources["q"].link.snapshot(0, empty())
    other = Client(await asking).open(client.cursor)
    assert other.words == ["!cursor_foreign", "snapshot"]


async def test_a_service_is_watched_the_same_way() -> None:
    world = World()
    asking = world.asking(SERVICE)
    await turn()
    world.link.snapshot(0, ServiceView({"name": "s"}).snapshot())
    client = Client(await asking).open()
    world.link.event(1, ev.UnknownEvent("later", msgspec.Raw(b'{"x":1}')))
    await turn()
    assert client.words == ["service_snapshot", "later"]
    assert client.frames[0].envelope.service_id == "s"


async def test_paths_of_the_runtime_s_machine_stay_there() -> None:
    world = World()
    snapshot = empty()
    snapshot.data.greeting.cwd = "/home/operator/secret-project"
    asking = world.asking()
    await turn()
    world.link.snapshot(0, snapshot)
    client = Client(await asking).open()
    world.link.event(1, snapshot)
    await turn()
    assert client.words == ["snapshot", "snapshot"]
    assert b"secret-project" not in client.data


async def test_closing_lets_go_of_everything_and_of_everybody_who_waits() -> None:
    world = World()
    client = await world.watched()
    waiting = world.asking(Subject(SubjectKind.WORKER, "other", "r"))
    await turn()
    world.upstreams.close()
    assert (await waiting).name == "shutdown"
    assert world.source.open_links == 0
    client.leave()
    assert world.timers.pending == 0


async def test_late_words_of_an_attempt_that_was_given_up_are_not_heard() -> None:
    world = World()
    client = await world.watched()
    old = world.link
    old.lose()
    old.open = True  # a source that breaks its word
    old.event(1, text("ghost"))
    old.snapshot(5, empty())
    old.lose()
    await turn()
    assert client.words == ["snapshot", "!upstream_disconnect"]


async def test_a_client_that_takes_nothing_delays_nobody() -> None:
    world = World()
    client = await world.watched()
    stalled = await world.again()
    stalled.watcher.pause(0.0)
    for seq in range(1, 101):
        world.link.event(seq, text("x"))
    await turn()
    assert len(client.ids) == 101
    assert len(stalled.ids) == 1
    assert world.hub.watched == 2
    assert Watching("somebody") == stalled.watcher.watching


def test_json_is_passed_on_in_one_line() -> None:
    raw = b'{"event":\n "x",\r\n "data": {"a": [1, 2]}}'
    assert on_one_line(raw, LIMITS) == b'{"event":"x","data":{"a":[1,2]}}'
    compact = b'{"event":"x","data":{"a":"\\n"}}'
    assert on_one_line(compact, LIMITS) is compact
    many = b'{"event":"x","data":[' + b",".join([b"{}"] * 500) + b"]}"
    assert on_one_line(many, LIMITS) is many
    with pytest.raises(ProtocolMalformed):
        on_one_line(b"[" * 5000 + b"]" * 5000, LIMITS)


async def test_committed_words_are_in_the_next_snapshot() -> None:
    world = World()
    client = await world.watched()
    world.link.event(1, said("hello", 1))
    world.link.event(2, text("a"))
    await turn()
    late = await world.again()
    assert late.view() == client.view()
    assert [entry["text"] for entry in late.view()["data"]["entries"]] == ["hello"]


async def test_names_of_nobody_do_not_take_the_places_of_others() -> None:
    world = World(dataclasses.replace(LIMITS, upstreams=3))
    for number in range(3):
        asking = world.asking(Subject(SubjectKind.WORKER, f"nobody{number}", "r"))
        await turn()
        world.link.lose()  # the runtime is away: whether there is such a worker is not known
        assert (await asking).name == "runtime_unavailable"
    client = await world.watched()
    assert client.words == ["snapshot"]
    assert len(list(world.upstreams)) == 1
    world.timers.advance(60)
    assert client.code is None
