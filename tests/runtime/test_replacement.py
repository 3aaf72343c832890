"""D4: another version takes over without dropping a session, or the one before it goes on.

The same with a real host, package and socket: test_replacement_live.py.
"""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.fakes import Bench, FakeInstance, NoWorkers

from yoi.core.ingress_queue import IngressPolicy
from yoi.core.lifecycle import Lifecycle
from yoi.errors import GuestRefused, GuestTrapped, JournalError, ServiceError
from yoi.journal.memory import MemoryJournal
from yoi.limits import Limits
from yoi.permissions import Url
from yoi.protocol.commands import OutputCommand
from yoi.protocol.ingress import EventKind, IngressEvent, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands, HandlerFailed, Reply
from yoi.protocol.service_log import Handled, decode
from yoi.runtime.service_manager import ServiceManager
from yoi.runtime.services import Services

QUICK = Limits(retry_first_ms=0, restart_first_ms=1, restart_max_ms=1)
TOLD = ("events",)
QUIET = {"told_of_start": (), "deliver": frozenset({EventKind.TEXT})}
"""A new instance has nothing to hear before the first frame."""


class Guest(FakeInstance):
    """Answers `NAME:TEXT` and remembers, in order, what it was told."""

    def __init__(self, name, answer=None):
        super().__init__(answer or self.echo)
        self.name = name
        self.told = []

    def echo(self, event):
        if isinstance(event, IngressEvent):
            self.told.append(event)
            return NO_COMMANDS
        self.told.append(event.text)
        return Reply(f"{self.name}:{event.text}")

    @property
    def frames(self):
        return [one for one in self.told if isinstance(one, str)]

    @property
    def events(self):
        return [one.kind for one in self.told if not isinstance(one, str)]

    def stop(self, budget_ms):
        self.calls.append("stop")
        return {}


def failing(name, fails):
    """Return a guest whose first event ends as `fails` says."""

    def answer(event):
        if isinstance(fails, Exception):
            raise fails
        return fails

    return Guest(name, answer)


async def running(*instances, **options):
    options = {"told_of_start": TOLD, "limits": QUICK, **options}
    bench = Bench(instances, **options)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    return bench


async def until(bench, condition):
    """Wait for what no diagnostic tells of."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)
            await bench.settle()


def sent(bench):
    return [payload for _, payload in bench.links[0].sent]


durably = pytest.mark.parametrize("durable", [False, True], ids=["memory", "disk"])


@durably
async def test_a_new_version_takes_over_and_the_session_goes_on(durable):
    old, new = Guest("old"), Guest("new")
    bench = await running(old, durable=durable)
    bench.link.receive("a")
    await bench.settle()
    assert await bench.service.replace(bench.version(new))
    bench.link.receive("b")
    await bench.settle()
    assert sent(bench) == ["old:a", "new:b"]
    assert len(bench.links) == 1, "the same connection"
    assert "close 1012" not in bench.link.log
    assert bench.service.spec.version == "0.2.0"
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert bench.service.refused is None
    assert old.calls == ["start", "stop", "close"]
    assert new.calls == ["start"]


@durably
async def test_it_hears_first_that_it_replaces_and_what_is_open(durable):
    new = Guest("new")
    bench = await running(Guest("old"), durable=durable)
    session = bench.link.session
    await bench.service.replace(bench.version(new))
    await bench.settle()
    started, still_open = new.told
    assert started.kind == EventKind.STARTED
    assert started.payload["replaced"] is True
    assert [one["session"] for one in started.payload["connections"]] == [session]
    assert still_open.kind == EventKind.OPEN
    assert still_open.payload["reason"] == "still_open"
    assert still_open.payload["session"] == session


@durably
async def test_what_is_in_hand_is_ended_by_the_old_and_what_waits_is_handled_by_the_new(durable):
    old, new = Guest("old"), Guest("new")
    bench = await running(old, durable=durable)
    bench.turns.hold("echo")
    bench.link.receive("in hand")
    await bench.settle()
    replacing = asyncio.create_task(bench.service.replace(bench.version(new)))
    await bench.settle()
    bench.link.receive("later")
    bench.turns.release()
    await replacing
    await bench.settle()
    assert old.frames == ["in hand"]
    assert new.frames == ["later"]
    assert sent(bench) == ["old:in hand", "new:later"]


async def test_the_new_version_is_loaded_before_the_old_one_stands_still():
    """Compiling and importing are no pause."""
    old, new = Guest("old"), Guest("new")
    bench = await running(old)
    spec = bench.version(new)
    loading = asyncio.Event()

    def load():
        loading.set()
        return new

    bench.turns.hold("echo:beside")
    replacing = asyncio.create_task(bench.service.replace(replace(spec, load=load)))
    await bench.settle()
    assert not loading.is_set()
    bench.link.receive("meanwhile")
    await bench.settle()
    assert sent(bench) == ["old:meanwhile"]
    bench.turns.release()
    await replacing
    assert bench.service.spec.version == "0.2.0"


REFUSALS = {
    "load": lambda: GuestRefused("sandbox.load", "no module named x"),
    "start raises": lambda: _starts(GuestRefused("sandbox.exception", "the state is not mine")),
    "start spins": lambda: _starts(GuestTrapped("sandbox.deadline", "start() took too long")),
    "first event raises": lambda: failing("new", HandlerFailed("KeyError", "'x'", "")),
    "first event traps": lambda: failing("new", GuestTrapped("sandbox.trap", "unreachable")),
    "first event spins": lambda: failing("new", GuestTrapped("sandbox.deadline", "too long")),
}


def _starts(error):
    guest = Guest("new")

    def start(config_json, budget_ms):
        guest.calls.append("start")
        raise error

    guest.start = start
    return guest


@durably
@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_version_that_fails_leaves_the_one_before_in_its_place(fault, durable):
    old = Guest("old")
    bench = await running(old, durable=durable)
    session = bench.link.session
    bench.link.receive("a")
    await bench.settle()
    assert await bench.service.replace(bench.version(REFUSALS[fault]()))
    bench.link.receive("b")
    await bench.settle()
    assert sent(bench) == ["old:a", "old:b"]
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert bench.service.spec.version == "0.1.0"
    assert bench.link.session == session
    assert old.calls == ["start"], "the instance itself goes on, with all that it remembers"
    status = bench.service.status()
    assert status.version == "0.1.0"
    assert status.refused_version is not None
    assert status.refused_version.version == "0.2.0"
    assert status.health == "degraded"
    told = bench.diagnostics.first("service.version_refused")
    assert told.hint == "yoi service restart echo"
    assert status.counters.restarts == 0


@durably
async def test_a_frame_that_the_new_version_could_not_handle_is_handled_by_the_old(durable):
    """Without an event of its own (`told_of_start`), the first frame is the trial."""
    old = Guest("old")
    new = failing("new", HandlerFailed("KeyError", "'x'", ""))
    bench = await running(old, durable=durable, **QUIET)
    await bench.service.replace(bench.version(new))
    await bench.settle()
    bench.link.receive("a")
    bench.link.receive("b")
    await bench.settle()
    assert old.frames == ["a", "b"]
    assert bench.service.dead_letters == ()
    assert bench.service.spec.version == "0.1.0"


async def test_later_failures_are_the_new_versions_own():
    def answer(event):
        if isinstance(event, TextFrame):
            raise GuestTrapped("sandbox.trap", "unreachable")
        return NO_COMMANDS

    old = Guest("old")
    bench = await running(old)
    again = Guest("again")
    await bench.service.replace(bench.version(Guest("new", answer), again))
    await bench.settle()
    bench.link.receive("a")
    await bench.diagnostics.until(lambda: "notice.restart" in bench.codes())
    await until(bench, lambda: again.frames == ["a"])
    assert bench.service.spec.version == "0.2.0"
    assert old.frames == []
    await bench.service.stop()


def ask(event, *items):
    return Commands(
        [
            OutputCommand(
                correlation_id="x",
                source_event_id=event.event_id,
                command_id=f"{event.event_id}:{n}",
                kind=kind,
                payload=payload,
                requested_at="2026-01-01T00:00:00Z",
            )
            for n, (kind, payload) in enumerate(items)
        ]
    )


@durably
async def test_state_that_a_refused_version_set_is_undone(durable):
    bench = await running(Guest("old"), durable=durable)
    bench.state.set("echo", "k", '"old"')
    new = failing("new", HandlerFailed("KeyError", "'x'", ""))
    spec = bench.version(new)

    def start(config_json, budget_ms):
        assert spec.calls("state.get", '["k"]') == '{"ok":{"value":"\\"old\\""}}'
        spec.calls("state.set", '["k", "\\"new\\""]')
        return {}

    new.start = start
    await bench.service.replace(spec)
    await bench.settle()
    assert bench.state.get("echo", "k") == '"old"'
    assert bench.service.spec.version == "0.1.0"


@durably
async def test_state_of_a_version_that_is_kept_stays_and_the_old_one_may_set_none(durable):
    old, new = Guest("old"), Guest("new")
    bench = await running(old, durable=durable)
    first, spec = bench.spec, bench.version(new)

    def start(config_json, budget_ms):
        spec.calls("state.set", '["k", "1"]')
        return {}

    def stop(budget_ms):
        answers.append(first.calls("state.set", '["k", "0"]'))
        return {}

    answers = []
    new.start, old.stop = start, stop
    await bench.service.replace(spec)
    await bench.settle()
    assert bench.state.get("echo", "k") == "1"
    assert "service.stopping" in answers[0]


async def test_a_second_version_during_the_trial_of_the_first_ends_that_trial():
    one, two, three = Guest("one"), Guest("two"), Guest("three")
    bench = await running(one, **QUIET)
    await bench.service.replace(bench.version(two))
    await bench.service.replace(bench.version(three, version="0.3.0"))
    await bench.settle()
    bench.link.receive("a")
    await bench.settle()
    assert three.frames == ["a"]
    assert one.calls == two.calls == ["start", "stop", "close"]


async def test_two_replacements_at_once_come_one_after_the_other():
    guests = [Guest(str(n)) for n in range(3)]
    bench = await running(guests[0])
    done = await asyncio.gather(
        bench.service.replace(bench.version(guests[1])),
        bench.service.replace(bench.version(guests[2], version="0.3.0")),
    )
    await bench.settle()
    assert done == [True, True]
    assert bench.service.spec.version == "0.3.0"
    assert [one.calls for one in guests] == [["start", "stop", "close"]] * 2 + [["start"]]
    assert len(bench.links) == 1


async def test_a_version_that_nothing_asks_of_is_kept_in_the_end():
    old, new = Guest("old"), Guest("new")
    limits = replace(QUICK, replacement_trial_ms=1)
    bench = await running(old, **QUIET, limits=limits)
    await bench.service.replace(bench.version(new))
    await bench.diagnostics.until(lambda: "notice.replaced" in bench.codes())
    await bench.settle()
    assert old.calls == ["start", "stop", "close"]


async def test_a_tool_call_that_is_answered_keeps_the_version():
    old, new = Guest("old"), Guest("new")
    bench = await running(old, **QUIET)
    await bench.service.replace(bench.version(new))
    assert old.calls == ["start"]
    assert await bench.service.call_tool("t", {}) == {"summary": "done"}
    await bench.settle()
    assert old.calls == ["start", "stop", "close"]


async def test_a_tool_call_that_traps_on_trial_has_the_old_version_back():
    old, new = Guest("old"), Guest("new")

    def call_tool(name, input_json, budget_ms, call_id):
        raise GuestTrapped("sandbox.trap", "unreachable")

    new.call_tool = call_tool
    bench = await running(old, **QUIET)
    await bench.service.replace(bench.version(new))
    with pytest.raises(GuestTrapped):
        await bench.service.call_tool("t", {})
    await bench.settle()
    assert bench.service.spec.version == "0.1.0"
    bench.link.receive("a")
    await bench.settle()
    assert old.frames == ["a"]


async def test_a_tool_call_that_traps_while_the_first_event_is_out_costs_neither():
    """Both are with the new instance: what is out comes back before the old one is handed it."""
    old, new = Guest("old"), Guest("new")
    bench = await running(old, **QUIET)

    def call_tool(name, input_json, budget_ms, call_id):
        def gone(events, budget_ms):
            raise GuestTrapped("sandbox.gone", "the instance has been discarded")

        new.dispatch = gone
        raise GuestTrapped("sandbox.trap", "unreachable")

    new.call_tool = call_tool
    await bench.service.replace(bench.version(new))
    bench.turns.hold()
    calling = asyncio.create_task(bench.service.call_tool("t", {}))
    await bench.settle()
    bench.link.receive("a")
    await bench.settle()
    bench.turns.release()
    with pytest.raises(GuestTrapped):
        await calling
    await bench.settle()
    assert old.frames == ["a"]
    assert old.seen[-1][1] == 1, "no attempt was made"
    assert bench.service.spec.version == "0.1.0"


async def test_tool_calls_wait_while_the_new_version_starts():
    old, new = Guest("old"), Guest("new")
    bench = await running(old)
    answers = []

    def start(config_json, budget_ms):
        loop.call_soon_threadsafe(lambda: answers.append(loop.create_task(ask_for_tool())))
        return {}

    async def ask_for_tool():
        return await bench.service.call_tool("t", {})

    def told(name):
        def call_tool(tool, input_json, budget_ms, call_id):
            return f'{{"by": "{name}"}}'

        return call_tool

    loop = asyncio.get_running_loop()
    new.start, new.call_tool, old.call_tool = start, told("new"), told("old")
    await bench.service.replace(bench.version(new))
    await bench.settle()
    assert await answers[0] == {"by": "new"}


async def test_an_instance_that_was_lost_is_replaced_and_the_session_stays():
    def trap(event):
        if isinstance(event, TextFrame):
            raise GuestTrapped("sandbox.trap", "unreachable")
        return NO_COMMANDS

    limits = Limits(restart_first_ms=60_000, restart_max_ms=60_000, retry_first_ms=0)
    bench = await running(Guest("old", trap), limits=limits)
    session = bench.link.session
    bench.link.receive("a")
    await bench.diagnostics.until(lambda: "notice.restart" in bench.codes())
    new = Guest("new")
    assert await bench.service.replace(bench.version(new))
    await bench.settle()
    assert new.frames == ["a"]
    assert bench.service.lifecycle is Lifecycle.RUNNING
    assert bench.link.session == session
    assert len(bench.links) == 1


async def test_a_lost_instance_whose_new_version_fails_too_is_restarted_as_it_was():
    def trap(event):
        if isinstance(event, TextFrame):
            raise GuestTrapped("sandbox.trap", "unreachable")
        return NO_COMMANDS

    old = Guest("old again")
    limits = Limits(restart_first_ms=100, restart_max_ms=100, retry_first_ms=0)
    bench = await running(Guest("old", trap), old, limits=limits)
    bench.link.receive("a")
    await bench.diagnostics.until(lambda: "notice.restart" in bench.codes())
    await bench.service.replace(bench.version(_starts(GuestRefused("sandbox.load", "no"))))
    await until(bench, lambda: bench.service.lifecycle is Lifecycle.RUNNING)
    await until(bench, lambda: old.frames == ["a"])
    assert bench.service.spec.version == "0.1.0"
    await bench.service.stop()


@durably
async def test_a_stop_during_a_replacement_waits_for_it_and_wins(durable):
    old, new = Guest("old"), Guest("new")
    bench = await running(old, durable=durable)
    bench.turns.hold("echo:beside")
    replacing = asyncio.create_task(bench.service.replace(bench.version(new)))
    await bench.settle()
    stopping = asyncio.create_task(bench.service.stop())
    await bench.settle()
    bench.turns.release()
    assert await replacing
    await stopping
    assert bench.service.lifecycle is Lifecycle.STOPPED
    assert old.calls[-1] == new.calls[-1] == "close"


async def test_a_stop_during_a_trial_leaves_nothing_behind():
    old, new = Guest("old"), Guest("new")
    bench = await running(old, **QUIET)
    await bench.service.replace(bench.version(new))
    await bench.service.stop()
    assert bench.service.lifecycle is Lifecycle.STOPPED
    assert old.calls == new.calls == ["start", "stop", "close"]


async def test_who_asked_and_was_cancelled_does_not_leave_it_half_done():
    old, new = Guest("old"), Guest("new")
    bench = await running(old)
    bench.turns.hold()
    bench.link.receive("a")
    await bench.settle()
    asking = asyncio.create_task(bench.service.replace(bench.version(new)))
    await bench.settle()
    asking.cancel()
    await bench.settle()
    bench.turns.release()
    await bench.settle()
    bench.link.receive("b")
    await bench.settle()
    assert sent(bench) == ["old:a", "new:b"]


class FullJournal(MemoryJournal):
    """Refuses commits while told to."""

    full = False
    unanswered = False
    """Whether it refuses answers alone."""

    async def commit(self, appends):
        records = (decode(data, 0) for append in appends for data in append.records)
        if self.full or (self.unanswered and any(isinstance(one, Handled) for one in records)):
            raise JournalError("journal.full", "no room")
        await super().commit(appends)


async def test_a_log_that_refuses_while_the_new_version_starts_leaves_the_old_one():
    journal = FullJournal()
    limits = replace(QUICK, service_log_retry_ms=1, service_log_retry_max_ms=1)
    again, new = Guest("again"), Guest("new")
    bench = await running(Guest("old"), again, durable=True, journal=journal, limits=limits)

    def start(config_json, budget_ms):
        journal.full = True
        bench.link.receive("a")
        return {}

    new.start = start
    submit = bench.turns.submit

    def later(key, turn):
        async def wait():
            if key == "echo" and journal.full:
                await bench.settle()
            turn()

        asyncio.get_running_loop().create_task(wait())

    bench.turns.submit = later
    await bench.service.replace(bench.version(new))
    bench.turns.submit = submit
    await bench.settle()
    journal.full = False
    await until(bench, lambda: again.frames == ["a"])
    assert bench.service.spec.version == "0.1.0"
    assert bench.service.refused.status.code == "journal.full"
    await bench.service.stop()


async def test_a_log_that_refuses_during_the_trial_has_the_old_version_back():
    journal = FullJournal()
    limits = replace(QUICK, service_log_retry_ms=1, service_log_retry_max_ms=1)
    again, new = Guest("again"), Guest("new")
    bench = await running(
        Guest("old"), again, durable=True, journal=journal, limits=limits, **QUIET
    )
    await bench.service.replace(bench.version(new))
    journal.full = True
    bench.link.receive("a")
    await bench.diagnostics.until(lambda: "journal.full" in bench.codes())
    journal.full = False
    await until(bench, lambda: again.frames == ["a"])
    assert bench.service.spec.version == "0.1.0"
    assert bench.service.refused.status.code == "journal.full"
    assert new.frames == []
    await bench.service.stop()


async def test_a_first_answer_that_the_log_does_not_take_has_the_old_version_back():
    """S7: a version is kept at the commit of its first answer, not at the answer."""
    journal = FullJournal()
    limits = replace(QUICK, service_log_retry_ms=1, service_log_retry_max_ms=1)
    again, new = Guest("again"), Guest("new")
    bench = await running(
        Guest("old"), again, durable=True, journal=journal, limits=limits, **QUIET
    )
    await bench.service.replace(bench.version(new))
    journal.unanswered = True
    bench.link.receive("a")
    await bench.diagnostics.until(lambda: "journal.full" in bench.codes())
    assert new.frames == ["a"]
    journal.unanswered = False
    await until(bench, lambda: again.frames == ["a"])
    assert bench.service.spec.version == "0.1.0"
    assert bench.service.refused.status.code == "journal.full"
    assert "stop" in new.calls
    await until(bench, lambda: sent(bench) == ["again:a"])
    await bench.service.stop()


async def test_a_timer_that_is_due_meanwhile_fires_in_the_new_version():
    def sets(event):
        if isinstance(event, TextFrame):
            return ask(event, ("timer_set", {"name": "t", "after_ms": 3_600_000}))
        return NO_COMMANDS

    new = Guest("new")
    bench = await running(Guest("old", sets))
    bench.link.receive("a")
    await bench.settle()
    bench.turns.hold("echo")
    replacing = asyncio.create_task(bench.service.replace(bench.version(new)))
    await bench.settle()
    bench.service._executor._timer_due("events", "t")
    bench.turns.release()
    await replacing
    await bench.settle()
    assert new.events == [EventKind.STARTED, EventKind.OPEN, EventKind.TIMER]
    assert new.told[0].payload["timers"] == [{"ingress": "events", "name": "t"}]


async def test_the_answer_to_a_request_under_way_reaches_the_new_version():
    asked, go = asyncio.Event(), asyncio.Event()
    prepared = []

    class Requests:
        """Stands for the requests of the old version."""

    new = Guest("new")

    def wants(event):
        if isinstance(event, TextFrame):
            return ask(event, ("request", {"target": "api", "method": "GET", "path": "/"}))
        return NO_COMMANDS

    bench = await running(Guest("old", wants))
    http = bench.spec.requests

    async def carry_out(one, wanted):
        asked.set()
        await go.wait()
        return {"ok": True, "status": 200}

    class One:
        target = "api"

    http.prepare = lambda payload, command_id: prepared.append(command_id) or One()
    http.carry_out = carry_out
    bench.link.receive("a")
    await asked.wait()
    await bench.service.replace(bench.version(new))
    go.set()
    await until(bench, lambda: EventKind.RESPONSE in new.events)
    (response,) = [e for e in new.told if getattr(e, "kind", "") == EventKind.RESPONSE]
    assert response.payload["command_id"] == prepared[0]


async def test_a_notification_under_way_is_carried_out_once():
    told, go = [], asyncio.Event()

    class Workers(NoWorkers):
        async def notify(self, notification):
            told.append(notification.text)
            await go.wait()

    def tells(event):
        if isinstance(event, TextFrame):
            return ask(event, ("notify", {"worker": "ops", "text": event.text}))
        return NO_COMMANDS

    bench = await running(Guest("old", tells), notifier=Workers())
    bench.link.receive("a")
    await bench.settle()
    await bench.service.replace(bench.version(Guest("new")))
    go.set()
    await bench.settle()
    assert told == ["a"]
    assert bench.service.status().counters.commands_done == 1


async def test_a_connection_that_is_paused_reads_again_under_the_new_version():
    bench = await running(Guest("old"), max_events=4)
    bench.turns.hold()
    for n in range(4):
        bench.link.receive(str(n))
    assert "pause" in bench.link.log
    replacing = asyncio.create_task(bench.service.replace(bench.version(new := Guest("new"))))
    await bench.settle()
    bench.turns.release()
    await replacing
    await bench.settle()
    assert bench.link.log[-1] == "resume"
    assert sent(bench)[-1].endswith(":3")
    assert new.calls == ["start"]


# -- what is unchanged ------------------------------------------------------------------------


def declared(bench, **changes):
    (spec,) = bench.spec.connections
    return replace(spec, settings=replace(spec.settings, **changes))


CHANGES = {
    "url": {"url": Url.parse("ws://x.example/other")},
    "ping_ms": {"ping_ms": 1234},
    "send_per_second": {"send_per_second": 7},
    "deliver": {"deliver": frozenset()},
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_connection_that_is_declared_otherwise_is_dialled_again(what):
    new = Guest("new")
    bench = await running(Guest("old"))
    spec = bench.version(new, connections=(declared(bench, **CHANGES[what]),))
    await bench.service.replace(spec)
    await bench.settle()
    assert len(bench.links) == 2
    assert bench.links[0].log[-1] == "close 1012"
    assert bench.links[1].log == ["start"]
    assert new.told[0].payload["connections"] == []


async def test_a_connection_with_other_uses_of_secrets_is_dialled_again():
    bench = await running(Guest("old"))
    (spec,) = bench.spec.connections
    other = replace(spec, secret_uses=lambda: frozenset({("bot", None, "store")}))
    await bench.service.replace(bench.version(Guest("new"), connections=(other,)))
    await bench.settle()
    assert bench.links[0].closed
    assert len(bench.links) == 2


async def test_a_connection_of_which_policy_says_something_else_is_dialled_again():
    bench = await running(Guest("old"))
    (spec,) = bench.spec.connections
    other = replace(spec, adopt=lambda link: False)
    await bench.service.replace(bench.version(Guest("new"), connections=(other,)))
    await bench.settle()
    assert bench.links[0].closed
    assert len(bench.links) == 2


async def test_one_is_kept_one_is_closed_one_is_dialled():
    bench = await running(Guest("old"))
    second = declared(bench, name="second")
    kept = bench.links[0]
    await bench.service.replace(
        bench.version(Guest("2"), connections=(*bench.spec.connections, second))
    )
    await bench.settle()
    assert len(bench.links) == 2
    added = bench.links[1]
    assert added.log == ["start"]
    added.arrive()
    await bench.service.replace(bench.version(Guest("3"), version="0.3.0"))
    await bench.settle()
    assert added.closed
    assert not kept.closed
    assert kept.session is not None
    assert [one.name for one in bench.service.status().connections] == ["gateway"]


async def test_what_waits_for_an_ingress_that_is_gone_is_kept_as_a_dead_letter():
    bench = await running(Guest("old"))
    bench.turns.hold("echo")
    bench.link.receive("in hand")
    await bench.settle()
    bench.link.receive("waits")
    other = declared(bench, ingress="other")
    rules = {"other": bench.spec.rules["events"]}
    spec = bench.version(
        new := Guest("new"),
        ingresses=(IngressPolicy("other"),),
        rules=rules,
        connections=(other,),
        told_of_start=("other",),
    )
    replacing = asyncio.create_task(bench.service.replace(spec))
    await bench.settle()
    bench.turns.release()
    await replacing
    await bench.settle()
    (letter,) = bench.service.dead_letters
    assert letter.event.text == "waits"
    assert letter.code == "service.ingress_gone"
    bench.links[1].arrive()
    bench.links[1].receive("b")
    await bench.settle()
    assert new.frames == ["b"]


async def test_what_waits_for_an_ingress_that_is_gone_is_there_again_when_the_version_is_refused():
    bench = await running(old := Guest("old"))
    bench.turns.hold("echo")
    bench.link.receive("in hand")
    await bench.settle()
    bench.link.receive("waits")
    spec = bench.version(
        failing("new", HandlerFailed("KeyError", "'x'", "")),
        ingresses=(IngressPolicy("other"),),
        rules={"other": bench.spec.rules["events"]},
        connections=(),
        told_of_start=("other",),
    )
    replacing = asyncio.create_task(bench.service.replace(spec))
    await bench.settle()
    bench.turns.release()
    await replacing
    await bench.settle()
    assert old.frames == ["in hand", "waits"]
    assert bench.service.dead_letters == ()
    assert len(bench.links) == 2, "the connection that was removed is dialled again"


# -- what the manager makes of it -------------------------------------------------------------


async def managed(*instances, **options):
    bench = Bench(instances, told_of_start=TOLD, limits=QUICK, **options)
    services = Services()
    manager = ServiceManager(services, bench.around)
    await manager.apply([bench.spec])
    bench.link.arrive()
    await bench.settle()
    return bench, manager, services


async def test_a_changed_package_is_replaced_in_place():
    bench, manager, services = await managed(Guest("old"))
    (service,) = services
    applied = await manager.apply([bench.version(Guest("new"))])
    assert applied.replaced == ["echo"]
    assert applied.restarted == []
    assert list(services) == [service]
    assert bench.link.session is not None
    await manager.stop()


async def test_a_refused_version_is_told_and_not_tried_again_by_itself():
    bench, manager, services = await managed(Guest("old"))
    refused = bench.version(_starts(GuestRefused("sandbox.load", "no")))
    applied = await manager.apply([refused])
    assert [(one.name, one.code) for one in applied.refused] == [("echo", "sandbox.load")]
    assert applied.replaced == []
    again = await manager.apply([refused])
    assert (again.refused, again.replaced, again.restarted) == ([], [], [])
    (service,) = services
    assert service.spec.version == "0.1.0"
    await manager.stop()


async def test_a_refused_version_is_tried_again_when_a_person_restarts():
    bench, manager, services = await managed(Guest("old"))
    refused = bench.version(_starts(GuestRefused("sandbox.load", "no")), Guest("new"))
    await manager.apply([refused])
    (service,) = services
    await service.restart()
    assert service.spec.version == "0.2.0"
    assert service.refused is None
    await manager.stop()


async def test_who_takes_the_new_version_back_has_what_runs():
    bench, manager, services = await managed(Guest("old"))
    await manager.apply([bench.version(_starts(GuestRefused("sandbox.load", "no")))])
    await manager.apply([bench.spec])
    (service,) = services
    assert service.refused is None
    assert service.status().health == "running"
    await manager.stop()


async def test_where_events_outlive_the_host_elsewhere_the_service_is_made_anew():
    bench, manager, services = await managed(Guest("old"))
    rules = {"events": replace(bench.spec.rules["events"], durable=True)}
    (before,) = services
    applied = await manager.apply([bench.version(Guest("new"), rules=rules)])
    assert applied.restarted == ["echo"]
    assert list(services) != [before]
    assert bench.links[0].closed
    await manager.stop()


# -- any order of it all ----------------------------------------------------------------------

ENDS = {
    "good": lambda name: Guest(name),
    "does not load": lambda name: GuestRefused("sandbox.load", "no"),
    "does not start": lambda name: _starts(GuestTrapped("sandbox.deadline", "too long")),
    "raises first": lambda name: failing(name, HandlerFailed("KeyError", "'x'", "")),
    "traps first": lambda name: failing(name, GuestTrapped("sandbox.trap", "unreachable")),
}
STEPS = st.sampled_from(
    ["frame", "frame", "frame", "hold", "release", "wait", "restart", "trap", *ENDS]
)


@pytest.mark.parametrize("told", [TOLD, ()], ids=["told", "quiet"])
@durably
@settings(max_examples=25)
@given(steps=st.lists(STEPS, max_size=25))
def test_each_frame_is_handled_once_and_in_order_whatever_is_replaced_meanwhile(
    steps, durable, told
):
    """A frame may come again as a further attempt, never as a first one; none is lost."""
    asyncio.run(_any_order(steps, durable, told))


async def _any_order(steps, durable, told):
    handled = []

    class Remembering(Guest):
        def echo(self, event):
            if isinstance(event, TextFrame):
                handled.append((int(event.text), event.attempt))
            return NO_COMMANDS

    def made(end, name):
        guest = ENDS[end](name)
        return Remembering(name) if end == "good" else guest

    bench = Bench(
        [Remembering(f"r{n}") for n in range(60)],
        durable=durable,
        limits=QUICK,
        told_of_start=told,
        deliver=frozenset({EventKind.TEXT}),
        max_events=256,
    )
    await bench.service.start()
    session = bench.link.arrive()
    await bench.settle()
    frames, asked, versions = 0, [], 1
    for step in steps:
        match step:
            case "frame" if bench.link.session is not None:
                bench.link.receive(str(frames))
                frames += 1
            case "hold" if bench.turns.held is None:
                bench.turns.hold("echo")
            case "release":
                bench.turns.release()
            case "wait":
                await bench.settle()
            case "restart" if bench.turns.held is None:
                with contextlib.suppress(ServiceError):
                    await bench.service.restart()
            case "trap":
                error = GuestTrapped("sandbox.trap", "unreachable")
                if bench.service.lifecycle is Lifecycle.RUNNING and not bench.service._queue.busy:
                    bench.service.lost_in_call(bench.service._slot.instance, error)
            case _ if step in ENDS:
                versions += 1
                spares = [Remembering(f"s{n}") for n in range(60)]
                spec = bench.version(made(step, step), *spares, version=str(versions))
                asked.append(asyncio.create_task(bench.service.replace(spec)))
    bench.turns.release()
    await asyncio.gather(*asked)
    if bench.service.lifecycle is Lifecycle.QUARANTINED:
        await bench.service.stop()
        return
    await until(bench, lambda: {number for number, _ in handled} == set(range(frames)))
    firsts = [number for number, attempt in handled if attempt == 1]
    assert firsts == sorted(set(firsts))
    assert bench.links[0].session == session
    assert len(bench.links) == 1
    assert bench.service.dead_letters == ()
    await bench.service.stop()
