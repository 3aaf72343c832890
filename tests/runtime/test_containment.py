"""A fault of one service, a defect of ours included, is told as that service's and stays in it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.connections.background_work import BackgroundWork
from yoi.core.lifecycle import Lifecycle
from yoi.core.redaction import NOTHING
from yoi.core.session_effects import OpenReason
from yoi.errors import ConnectionFailure, JournalError, SandboxError
from yoi.limits import Limits
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Reply
from yoi.runtime.containment import contained, contained_work
from yoi.runtime.masked_sink import MaskedSink
from yoi.runtime.service_manager import ServiceManager
from yoi.runtime.service_spec import ServiceSpec
from yoi.runtime.services import Services

SOON = Limits(restart_first_ms=1, restart_max_ms=1)


def echo(event):
    return Reply(event.text) if isinstance(event, TextFrame) else NO_COMMANDS


def raiser(error: Exception) -> Callable[..., Any]:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise error

    return broken


@pytest.fixture
def loop_errors() -> Iterator[list[dict[str, Any]]]:
    """What reached the loop itself: there must be nothing."""
    seen: list[dict[str, Any]] = []

    async def install() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))

    seen.append({"install": install})
    yield seen
    assert seen == []


async def watched(seen: list[dict[str, Any]]) -> None:
    await seen.pop()["install"]()


async def running(*instances: FakeInstance, **options: Any) -> Bench:
    bench = Bench(instances or [FakeInstance(echo) for _ in range(3)], limits=SOON, **options)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    return bench


def named(spec: ServiceSpec, name: str) -> ServiceSpec:
    return replace(spec, name=name)  # type: ignore[arg-type]


async def until_replaced(bench: Bench) -> None:
    await bench.diagnostics.until(lambda: bench.codes().count("notice.lifecycle") >= 2)
    await bench.settle()


# -- making a service ------------------------------------------------------------------------------


async def test_a_service_that_cannot_be_made_is_failed_and_the_others_run():
    bench = Bench([FakeInstance(echo)])
    services = Services()
    manager = ServiceManager(services, bench.around)
    fault = SandboxError("sandbox.world", "it is built for another world")
    applied = await manager.apply([named(bench.spec, "bad").failed(fault), bench.spec])
    assert applied.started == ["bad", "echo"]
    bad, good = services.status("bad"), services.status("echo")
    assert (bad.lifecycle, bad.last_error_code, bad.restart_at) == ("failed", "sandbox.world", None)
    assert [(d.code, d.scope) for d in bad.diagnostics] == [("sandbox.world", "service:bad")]
    assert good.lifecycle == "running"
    await manager.stop()
    assert services.status("bad").lifecycle == "stopped"


async def test_a_person_may_start_it_again_and_hears_why_not():
    bench = Bench([])
    services = Services()
    manager = ServiceManager(services, bench.around)
    await manager.apply([bench.spec.failed(JournalError("journal.io", "the disk is full"))])
    await services["echo"].restart()
    status = services.status("echo")
    assert (status.lifecycle, status.last_error_code) == ("failed", "journal.io")
    await manager.stop()


async def test_a_service_that_could_not_be_made_is_made_when_it_can_be():
    bench = Bench([FakeInstance(echo)])
    services = Services()
    manager = ServiceManager(services, bench.around)
    await manager.apply([bench.spec.failed(JournalError("journal.io", "the disk is full"))])
    applied = await manager.apply([bench.spec])
    assert applied.restarted == ["echo"]
    assert services["echo"].lifecycle is Lifecycle.RUNNING
    await manager.stop()


async def test_a_constructor_that_raises_costs_that_service(monkeypatch):
    bench = Bench([FakeInstance(echo)])
    services = Services()
    manager = ServiceManager(services, bench.around)
    broken = replace(named(bench.spec, "bad"), ingresses=(object(),))  # type: ignore[arg-type]
    await manager.apply([broken, bench.spec])
    bad = services.status("bad")
    assert (bad.lifecycle, bad.last_error_code) == ("failed", "usage.internal")
    assert "AttributeError" in (bad.last_error or "")
    assert services["echo"].lifecycle is Lifecycle.RUNNING
    await manager.stop()


async def test_a_connection_that_cannot_be_made_costs_that_service(loop_errors):
    await watched(loop_errors)
    bench = Bench([FakeInstance(echo) for _ in range(6)], limits=SOON)
    (connection,) = bench.spec.connections
    spec = replace(
        bench.spec, connections=(replace(connection, open=raiser(ValueError("no such header"))),)
    )
    services = Services()
    manager = ServiceManager(services, bench.around)
    await manager.apply([spec])
    await bench.diagnostics.until(lambda: "service.quarantined" in bench.codes())
    assert services.status("echo").last_error_code == "usage.internal"
    await manager.stop()


async def test_grants_that_cannot_be_put_in_force_end_the_service(monkeypatch):
    bench = Bench([FakeInstance(echo), FakeInstance(echo)])
    services = Services()
    manager = ServiceManager(services, bench.around)
    await manager.apply([bench.spec, named(bench.spec, "other")])
    link = bench.links[0]
    monkeypatch.setattr(services["echo"], "regrant", raiser(KeyError("x")))
    applied = await manager.apply([bench.spec, named(bench.spec, "other")])
    assert applied.restarted == ["echo"]
    assert link.closed
    assert services.status("echo").lifecycle == "failed"
    assert services.status("other").lifecycle == "running"
    await manager.stop()


async def test_a_service_that_cannot_be_stopped_holds_no_grant_and_nobody_else(monkeypatch):
    bench = Bench([FakeInstance(echo), FakeInstance(echo)])
    services = Services()
    manager = ServiceManager(services, bench.around)
    await manager.apply([bench.spec, named(bench.spec, "other")])
    stuck = services["echo"]
    generation = stuck.spec.authority.generation
    monkeypatch.setattr(stuck, "retire", raiser(RuntimeError("x")))
    applied = await manager.apply([named(bench.spec, "other")])
    assert applied.stopped == ["echo"]
    assert stuck.spec.authority.generation == generation + 1
    assert [d.scope for d in bench.diagnostics if d.code == "usage.internal"] == ["service:echo"]
    await manager.stop()


async def test_a_status_that_raises_hides_no_other(monkeypatch):
    bench = Bench([FakeInstance(echo), FakeInstance(echo)])
    services = Services()
    manager = ServiceManager(services, bench.around)
    await manager.apply([bench.spec, named(bench.spec, "other")])
    monkeypatch.setattr(bench.links[0], "status", raiser(KeyError("x")))
    statuses = services.statuses()
    assert statuses["echo"].last_error_code == "usage.internal"
    assert statuses["other"].last_error_code is None
    await manager.stop()


# -- callbacks from the loop -----------------------------------------------------------------------


async def test_a_defect_while_a_frame_is_taken_in_replaces_the_instance(loop_errors, monkeypatch):
    await watched(loop_errors)
    bench = await running()
    adapter = bench.service._connections._adapters["gateway"]
    monkeypatch.setattr(adapter, "_offer", raiser(KeyError("secret words")))
    bench.link.receive("x")
    monkeypatch.undo()
    await bench.diagnostics.until(lambda: bench.codes().count("notice.lifecycle") == 2)
    entry = bench.diagnostics.first("usage.internal")
    assert "KeyError" in entry.message
    assert "secret words" not in entry.message
    bench.link.receive("y")
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["y"]
    await bench.service.stop()


async def test_a_defect_when_a_timer_is_due_replaces_the_instance(loop_errors, monkeypatch):
    await watched(loop_errors)
    bench = await running()
    monkeypatch.setattr(bench.service._executor._events, "offer", raiser(KeyError("x")))
    bench.service._executor._timers.set("events", "t", 0)
    await bench.diagnostics.until(lambda: bench.codes().count("notice.lifecycle") == 2)
    assert "KeyError" in bench.diagnostics.first("usage.internal").message
    await bench.service.stop()


async def test_a_timer_of_an_ingress_that_is_gone_is_told_and_dropped(loop_errors):
    await watched(loop_errors)
    bench = await running()
    bench.service._executor._timers.set("no such ingress", "t", 0)
    await bench.diagnostics.until(lambda: "notice.dropped" in bench.codes())
    assert bench.service.available
    await bench.service.stop()


async def test_a_defect_while_an_answer_is_acted_on_gives_the_events_up(loop_errors, monkeypatch):
    """How much of the answer was carried out is not known, so it is not tried again."""
    await watched(loop_errors)
    bench = await running()
    monkeypatch.setattr(bench.service, "room", raiser(KeyError("x")))
    monkeypatch.setattr(
        bench.service._dispatcher._gate, "judge_reply", raiser(ZeroDivisionError("x"))
    )
    bench.link.receive("x")
    await bench.diagnostics.until(lambda: "service.dead_letter" in bench.codes())
    monkeypatch.undo()
    await bench.diagnostics.until(lambda: bench.codes().count("notice.lifecycle") == 2)
    bench.link.receive("y")
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["y"]
    assert len(bench.service.dead_letters) == 1
    await bench.service.stop()


async def test_a_defect_while_events_are_handed_over_replaces_the_instance(
    loop_errors, monkeypatch
):
    await watched(loop_errors)
    bench = await running()
    monkeypatch.setattr(bench.turns, "submit", raiser(RuntimeError("x")))
    bench.link.receive("x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    monkeypatch.undo()
    await bench.diagnostics.until(lambda: bench.codes().count("notice.lifecycle") == 2)
    assert "RuntimeError" in bench.diagnostics.first("usage.internal").message
    await bench.service.stop()


async def test_a_defect_in_a_restart_is_one_more_failure(loop_errors, monkeypatch):
    await watched(loop_errors)
    bench = await running()
    calls = bench.service.spec.calls
    monkeypatch.setattr(calls, "begin", raiser(KeyError("x")))
    bench.service.guest_lost(SandboxError("sandbox.trap", "gone"))
    await bench.diagnostics.until(lambda: "usage.internal" in bench.codes())
    monkeypatch.undo()
    await bench.diagnostics.until(lambda: bench.codes().count("notice.lifecycle") == 2)
    assert bench.service.lifecycle is Lifecycle.RUNNING
    await bench.service.stop()


# -- the guard itself ------------------------------------------------------------------------------


class BrokenSink:
    """Raises whatever is reported to it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return raiser(LookupError(name))


SINK_CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("opened", ("s", None, "127.0.0.1", OpenReason.FIRST)),
    ("text", ("s", "x", 1)),
    ("binary", ("s", b"x")),
    ("closed", ("s", 1000, "", True)),
    ("gap", ("s", 0, 1, "lost")),
    ("failed", (ConnectionFailure("connection.lost", "x"), None)),
    ("reconnect_needed", ("s", "lost", 1, 0.0, False)),
    ("notice", ("notice.paused", "x", {})),
]


@pytest.mark.parametrize(("name", "args"), SINK_CALLS, ids=[name for name, _ in SINK_CALLS])
async def test_nothing_that_a_sink_raises_reaches_the_driver(name, args):
    heard = []
    loop = asyncio.get_running_loop()
    sink = MaskedSink(
        BrokenSink(), lambda: NOTHING, BackgroundWork(), loop, "an event", heard.append
    )
    getattr(sink, name)(*args)
    assert [error.code for error in heard] == ["usage.internal"]


async def test_even_a_fault_in_failing_stays_in():
    contained("a call", raiser(KeyError("x")), raiser(ValueError("y")))()
    work = asyncio.get_running_loop().create_future()
    work.set_exception(KeyError("x"))
    await contained_work("a task", work, raiser(ValueError("y")))


async def test_a_cancelled_task_is_not_a_fault():
    heard = []
    work = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(contained_work("a task", work, heard.append))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == []
