"""The front door: what it opens, what it offers, and that all of it is closed whatever fails."""

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from tests.runtime.heard import Heard
from tests.runtime.hosts import FreshPlans, quiet_host, watching_host

import yoi
from yoi.client import Target, affordances, command
from yoi.control.client import call
from yoi.decisions.port import WholeWorkspace
from yoi.errors import (
    ControlError,
    EnablementError,
    ObserveError,
    ServiceError,
    TrustError,
    WorkerError,
)
from yoi.host import BackendHost, Parts
from yoi.host.opened import Opened
from yoi.limits import LIMITS
from yoi.protocol.board_events import BoardSnapshot, TicketChanged
from yoi.protocol.events import RunEnd, Snapshot, UserMessage
from yoi.runtime.workspace import Plan, operator_file
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.tickets.store import Change, TicketStore
from yoi.types import SystemClock

ANYWHERE = '[observation]\nlisten = "127.0.0.1:0"\n'


@pytest.fixture
def workspace(tmp_path):
    operator_file(tmp_path).parent.mkdir()
    operator_file(tmp_path).write_text(ANYWHERE)
    return tmp_path


def whole(workspace, **options) -> yoi.Host:
    """Return a host for which all that the workspace says is decided."""
    return yoi.Host(workspace, decisions=WholeWorkspace(), **options)


# -- the package -----------------------------------------------------------------------------------


def test_importing_yoi_loads_no_room_and_each_name_when_it_is_asked_for():
    script = (
        "import sys, yoi\n"
        "assert [m for m in sys.modules if m.startswith('yoi.')] == []\n"
        "assert yoi.__version__ and 'yoi.version' in sys.modules\n"
        "assert issubclass(yoi.YoiError, Exception)\n"
        "assert 'yoi.host' not in sys.modules\n"
        "assert yoi.Host.__module__ == 'yoi.host.host'\n"
        "assert {'Host', 'YoiError', '__version__'} <= set(dir(yoi))\n"
        "try: yoi.nothing\n"
        "except AttributeError as exc: assert 'nothing' in str(exc)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# -- what it opens and offers ----------------------------------------------------------------------


async def test_a_token_s_commands_reach_the_workers_of_this_process_alone(workspace):
    with operator_file(workspace).open("a") as file:
        file.write('[[workers]]\nname = "w"\nmodel = "scripted"\nscript = [{ say = "hi" }]\n')
    async with whole(workspace) as host:
        tokens = TokenStore(tokens_file(workspace))
        _, secret = tokens.create("ops", commands=["send", "pause"])
        target = Target.worker(host.url, "w", token=secret)
        assert await affordances(target) == ["pause", "send"]
        ended = asyncio.Event()
        worker = host.workers["w"]
        worker.bus.listen(lambda event: ended.set() if isinstance(event, RunEnd) else None)
        assert await command(target, "send", {"text": "hello"}) == {"seq": 1}
        async with asyncio.timeout(20):
            await ended.wait()
        assert (await worker.history(0, 1))[0].item.by == "token:ops"
        elsewhere = Target.worker(host.url, "w", token=secret, runtime_id="other")
        for asked, name in ((elsewhere, "send"), (target, "cancel")):
            with pytest.raises(ObserveError) as caught:
                await command(asked, name)
            assert caught.value.code in ("observe.not_found", "observe.forbidden")
        tokens.revoke("ops")
        with pytest.raises(ObserveError) as caught:
            await command(target, "pause")
        assert caught.value.code == "observe.unauthorized"


async def test_a_host_can_be_asked_watched_and_left(workspace):
    async with whole(workspace) as host:
        assert host.url is not None
        assert host.url.startswith("http://127.0.0.1:")
        assert host.url in (host.new_console_url() or "")
        status = await asyncio.to_thread(call, workspace, "host.status")
        access = await asyncio.to_thread(call, workspace, "observation.access")
        assert (status["services"], access["url"]) == (0, host.url)
        assert (len(host.services), len(host.workers)) == (0, 0)
        assert list(host.services) == list(host.workers) == []
        assert (await host.reload()).started == []
        with pytest.raises(ServiceError) as unknown:
            host.services["echo"]
        assert unknown.value.code == "service.unknown"
        with pytest.raises(WorkerError):
            host.workers["triage"]
        assert "echo" not in host.services
        assert "triage" not in host.workers
    with pytest.raises(ControlError) as gone:
        await asyncio.to_thread(call, workspace, "host.status")
    assert gone.value.code == "control.unreachable"


async def test_without_a_backend_there_is_no_console(workspace):
    operator_file(workspace).write_text('[runtime]\nid = "west"\nlisten = "127.0.0.1:0"\n')
    async with yoi.Host.runtime(workspace, decisions=WholeWorkspace()) as host:
        assert host.url is not None
        assert host.new_console_url() is None
        with pytest.raises(ControlError):
            await asyncio.to_thread(call, workspace, "observation.access")


async def test_a_backend_alone(workspace):
    async with BackendHost(workspace, decisions=WholeWorkspace()) as host:
        assert host.sources == []
        assert host.url is not None
        assert host.url in (host.new_console_url() or "")
    with pytest.raises(RuntimeError):
        await host.__aenter__()


async def test_one_host_in_a_workspace(workspace):
    async with whole(workspace):
        with pytest.raises(ControlError) as refused:
            async with whole(workspace):
                pass
        assert refused.value.code == "control.in_use"
        assert await asyncio.to_thread(call, workspace, "host.status")


async def test_a_host_is_entered_once_and_asked_only_while_entered(workspace):
    host = whole(workspace)
    with pytest.raises(RuntimeError):
        _ = host.services
    with pytest.raises(RuntimeError):
        await host.reload()
    async with host:
        pass
    with pytest.raises(RuntimeError):
        await host.__aenter__()


async def test_settings_that_cannot_be_read_end_the_start_and_change_nothing_later(workspace):
    operator_file(workspace).write_text("no TOML [")
    with pytest.raises(EnablementError):
        async with whole(workspace):
            pass
    operator_file(workspace).write_text(ANYWHERE)
    heard = Heard()
    async with watching_host(workspace, heard.append) as host:
        operator_file(workspace).write_text("no TOML [")
        with pytest.raises(EnablementError):
            await host.reload()
        await heard.until(lambda: "enablement.toml" in heard.codes)
        operator_file(workspace).write_text(ANYWHERE)
        assert (await host.reload()).stopped == []


async def test_decisions_that_cannot_be_read_any_more_are_an_alert(workspace, monkeypatch):
    heard = Heard()

    def damaged(plans):
        raise TrustError("trust.damaged", "what was decided cannot be read")

    limits = replace(LIMITS, alert_sample_ms=20)
    async with quiet_host(workspace, heard.append, limits) as host:
        with monkeypatch.context() as patch:
            patch.setattr(FreshPlans, "read", damaged)
            with pytest.raises(TrustError):
                await host.reload()
            await heard.until(lambda: "alert.opened" in heard.codes)
            assert "trust.damaged" in heard.first("alert.opened").message
        await host.reload()
        await heard.until(lambda: "alert.closed" in heard.codes)


async def test_what_a_listener_raises_is_its_own_fault(workspace):
    def broken(entry):
        raise BrokenPipeError

    operator_file(workspace).write_text(ANYWHERE + '[[workers]]\nname = "w"\nmodel = "none"\n')
    async with whole(workspace, on_diagnostic=broken) as host:
        assert list(host.workers) == []


async def test_what_does_not_exist_cannot_be_observed(workspace):
    async with whole(workspace) as host:
        for subject, code in [
            ("service:echo", "observe.not_found"),
            ("worker:w", "observe.not_found"),
            ("echo", "observe.target"),
            ("plugin:echo", "observe.target"),
            ("service:", "observe.target"),
            ("board:other", "observe.not_found"),
        ]:
            with pytest.raises(ObserveError) as refused:
                host.observe(subject)
            assert refused.value.code == code


WORKER = """
[[workers]]
name = "w"
model = "scripted"
script = [{ say = "one" }, { say = "two" }]
"""


async def test_a_worker_is_observed_from_its_snapshot_on(workspace):
    operator_file(workspace).write_text(ANYWHERE + WORKER)
    async with whole(workspace) as host, host.observe("worker:w") as events:
        assert [worker.name for worker in host.workers] == ["w"]
        seen = [await anext(events)]
        await host.workers["w"].send("hello")
        async with asyncio.timeout(10):
            async for event in events:
                seen.append(event)
                if isinstance(event, RunEnd):
                    break
        kinds = [type(event) for event in seen]
        assert kinds[0] is Snapshot
        assert kinds.count(Snapshot) == 1
        assert UserMessage in kinds
        later = host.observe("worker:w")
        assert isinstance(await anext(later), Snapshot)
        later.close()
        with pytest.raises(StopAsyncIteration):
            await anext(later)


async def test_the_work_items_are_observed(workspace):
    async with quiet_host(workspace, Heard().append) as host, host.observe("board:tickets") as told:
        assert isinstance(await anext(told), BoardSnapshot)
        store = TicketStore(workspace, SystemClock(), LIMITS)
        store.new("A", "x", Change("ada", "2026-01-01T00:00:00Z"))
        async with asyncio.timeout(60):
            changed = await anext(told)
        assert (type(changed), changed.data.title) == (TicketChanged, "A")


async def test_a_slow_reader_begins_afresh_and_an_end_is_an_end(workspace):
    operator_file(workspace).write_text(ANYWHERE + WORKER)
    async with quiet_host(workspace, Heard().append) as host:
        events = host.observe("worker:w")
        assert isinstance(await anext(events), Snapshot)
        stream = events._stream
        # As if more had come than the ring holds.
        while stream.head < 3:
            await host.workers["w"].pause("me")
            await host.workers["w"].resume("me")
        while stream.oldest <= stream.head:
            stream._evict()
        assert isinstance(await anext(events), Snapshot)
        operator_file(workspace).write_text(ANYWHERE)
        await host.reload()
        left = [event async for event in events]
        assert not any(isinstance(event, Snapshot) for event in left)
        assert stream.listeners == 1, "the reader is forgotten; the channel is there"


# -- whatever fails --------------------------------------------------------------------------------


class Fault(Exception):
    """Injected."""


@dataclass
class Trace:
    """What a host opened and closed, in order; raises where the test says."""

    fail_opening: str = ""
    fail_closing: frozenset[str] = frozenset()
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def enter(self, original: Any, there: Opened, what: str, part: Any) -> Any:
        if what == self.fail_opening:
            raise Fault(what)
        value = await original(there, what, Traced(self, what, part))
        self.opened.append(what)
        return value


@dataclass
class Traced:
    trace: Trace
    what: str
    part: Any

    async def __aenter__(self) -> Any:
        return await self.part.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await self.part.__aexit__(None, None, None)
        self.trace.closed.append(self.what)
        if self.what in self.trace.fail_closing:
            raise Fault(self.what)


@pytest.fixture
def tracing(monkeypatch):
    original = Opened.enter

    def install(trace: Trace) -> Trace:
        async def enter(self: Opened, what: str, part: Any) -> Any:
            return await trace.enter(original, self, what, part)

        monkeypatch.setattr(Opened, "enter", enter)
        return trace

    return install


async def held() -> tuple[int, int, int]:
    """Return how many threads, descriptors and tasks there are once the loop has done its part."""
    for _ in range(20):
        await asyncio.sleep(0)  # a transport closes its socket in a later turn
    return counted()


def counted() -> tuple[int, int, int]:
    gc.collect()
    # Those of asyncio.to_thread, and of AnyIO for watches of files, belong to the loop: they stay
    # for the next call, and there is one more where the last one was still at work.
    pooled = ("asyncio_", "AnyIO worker thread")
    threads = [t for t in threading.enumerate() if not t.name.startswith(pooled)]
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return len(threads), descriptors, len(asyncio.all_tasks())


def no_more(now: tuple[int, ...], before: tuple[int, ...]) -> bool:
    """Whether nothing was added; a thread that was still ending before may be gone now."""
    return all(one <= other for one, other in zip(now, before, strict=True))


def hosts(workspace) -> Iterator[Any]:
    yield partial(yoi.Host, workspace, decisions=WholeWorkspace())
    yield partial(yoi.Host.runtime, workspace, decisions=WholeWorkspace())
    yield partial(BackendHost, workspace, decisions=WholeWorkspace())


@pytest.fixture(params=["serve", "runtime", "backend"])
def new_host(request, workspace):
    both = ANYWHERE + '[runtime]\nlisten = "127.0.0.1:0"\n'
    operator_file(workspace).write_text(both)
    return dict(zip(["serve", "runtime", "backend"], hosts(workspace), strict=True))[request.param]


async def steps_of(new_host, tracing) -> list[str]:
    """Return the steps of a host that opens and closes, which is also the first test of both."""
    trace = tracing(Trace())
    async with new_host():
        pass
    assert trace.closed == list(reversed(trace.opened))
    assert len(set(trace.opened)) == len(trace.opened)
    return trace.opened


async def test_a_fault_at_each_step_of_opening_closes_all_that_was_opened(new_host, tracing):
    steps = await steps_of(new_host, tracing)
    before = await held()
    for number, step in enumerate(steps):
        trace = tracing(Trace(fail_opening=step))
        with pytest.raises(Fault, match=step):
            await new_host().__aenter__()
        assert trace.opened == steps[:number]
        assert trace.closed == list(reversed(trace.opened))
        assert no_more(await held(), before), step
    # And whatever failed, the workspace is free for the next one.
    tracing(Trace())
    async with new_host():
        pass


async def test_a_fault_at_each_step_of_closing_leaves_nothing_open(new_host, tracing):
    steps = await steps_of(new_host, tracing)
    before = await held()
    for step in steps:
        trace = tracing(Trace(fail_closing=frozenset({step})))
        with pytest.raises(Fault, match=step):
            async with new_host():
                pass
        assert trace.closed == list(reversed(steps))
        assert no_more(await held(), before), step


async def test_of_several_faults_the_first_is_raised_and_the_others_are_told(new_host, tracing):
    steps = await steps_of(new_host, tracing)
    tracing(Trace(fail_closing=frozenset(steps)))
    with pytest.raises(Fault, match=steps[-1]) as raised:
        async with new_host():
            pass
    told = "\n".join(raised.value.__notes__)
    assert all(f"while closing {step}" in told for step in steps)

    tracing(Trace(fail_opening=steps[-1], fail_closing=frozenset(steps[:2])))
    with pytest.raises(Fault, match=steps[-1]) as raised:
        await new_host().__aenter__()
    assert len(raised.value.__notes__) == 2

    tracing(Trace(fail_closing=frozenset(steps[:1])))
    with pytest.raises(ZeroDivisionError) as body:
        async with new_host():
            raise ZeroDivisionError
    assert len(body.value.__notes__) == 1


async def test_a_start_that_is_given_up_closes_everything(workspace, tracing):
    """A signal while the first reload runs."""
    trace, reading, proceed = tracing(Trace()), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    parts = Parts.serving(workspace, SystemClock(), WholeWorkspace())

    class SlowPlans(FreshPlans):
        def read(self) -> Plan:
            loop.call_soon_threadsafe(reading.set)
            proceed.wait(10)
            return Plan((), ())

    slow = Parts(plans=SlowPlans(workspace), watch=parts.watch, showing=parts.showing)
    entering = asyncio.ensure_future(whole(workspace, parts=slow).__aenter__())
    await reading.wait()
    entering.cancel()
    proceed.set()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert trace.closed == list(reversed(trace.opened))
    assert "the watched files" in trace.opened


async def test_a_damaged_file_of_state_closes_what_was_opened_before_it(workspace, tracing):
    """A real failure, not an injected one."""
    trace = tracing(Trace())
    (workspace / ".yoi" / "journal.db").write_bytes(b"no database" * 100)
    with pytest.raises(yoi.YoiError) as raised:
        await whole(workspace).__aenter__()
    assert raised.value.code.startswith("journal.")
    assert trace.opened[-1] == "the plugins' threads"
    assert trace.closed == list(reversed(trace.opened))
    sqlite3.connect(workspace / ".yoi" / "state.db").close()
