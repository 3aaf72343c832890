"""S7, D2: what the gate allowed is carried out in order, each effect settles once, as it ended."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.connections import HttpAnswer, HttpFailure
from yoi.connections.answers import BodyKind
from yoi.errors import RequestFailure, WorkerError
from yoi.limits import Limits
from yoi.permissions import PermissionSet
from yoi.protocol.commands import OutputCommand
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands
from yoi.workers.notify import Notification, Notified

API = PermissionSet.parse(
    [{"kind": "host_api", "api": "request"}],
    [],
    [
        {
            "name": "api",
            "scheme": "https",
            "host": "api.example",
            "methods": ["GET"],
            "path_prefixes": ["/"],
        }
    ],
)


def commands(event: Any, *asked: tuple[str, dict[str, Any]]) -> Commands:
    return Commands(
        [
            OutputCommand(
                correlation_id="x",
                source_event_id=event.event_id,
                command_id=f"{event.event_id}:{index}",
                kind=kind,
                payload=payload,
                requested_at="2026-01-01T00:00:00Z",
            )
            for index, (kind, payload) in enumerate(asked)
        ]
    )


class Answering(FakeInstance):
    """Answers each text frame with the commands of `table`; remembers the other events."""

    def __init__(self, table: dict[str, list[tuple[str, dict[str, Any]]]]) -> None:
        super().__init__(self._answer)
        self.table = table
        self.heard: list[Any] = []

    def _answer(self, event: Any) -> Any:
        if isinstance(event, TextFrame):
            return commands(event, *self.table[event.text])
        self.heard.append(event)
        return NO_COMMANDS

    def of(self, kind: EventKind) -> list[Any]:
        return [event.payload for event in self.heard if event.kind == kind]


class SlowWorkers:
    """A notifier whose workers commit when they are let."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.refuse: dict[str, Exception] = {}

    async def notify(self, notification: Notification) -> Notified:
        self.began.append(notification.text)
        if (error := self.refuse.get(notification.text)) is not None:
            raise error
        await self.gate(notification.worker).wait()
        return Notified(1, True)

    def gate(self, worker: str) -> asyncio.Event:
        return self.gates.setdefault(worker, asyncio.Event())


def tell(worker: str, text: str) -> tuple[str, dict[str, Any]]:
    return ("notify", {"worker": worker, "text": text})


async def running(instance: FakeInstance, **options: Any) -> Bench:
    bench = Bench([instance], **options)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    return bench


def ends(bench: Bench) -> dict[str, str]:
    return {r.command_id.split(".")[-1]: r.status for r in bench.service.status().commands}


async def test_a_slow_worker_delays_only_its_own_notifications():
    workers = SlowWorkers()
    workers.gate("quick").set()
    told = [tell("slow", "s1"), tell("slow", "s2"), tell("quick", "q1")]
    instance = Answering({"go": [*told, ("websocket_send", {"text": "sent"})], "again": [told[2]]})
    bench = await running(instance, notifier=workers)
    bench.link.receive("go")
    bench.link.receive("again")
    await bench.settle()
    assert [text for _, text in bench.link.sent] == ["sent"], "a send does not wait for a worker"
    assert workers.began == ["s1", "q1", "q1"]
    assert ends(bench) == {"1:3": "done", "1:2": "done", "2:0": "done"}
    workers.gate("slow").set()
    await bench.settle()
    assert workers.began[-1] == "s2"
    assert set(ends(bench).values()) == {"done"}
    assert bench.service.status().counters.commands_done == 5


async def test_a_refused_notification_is_told_and_the_next_one_goes():
    workers = SlowWorkers()
    workers.gate("w").set()
    workers.refuse = {
        "bad": WorkerError("worker.queue_full", "full"),
        "odd": ZeroDivisionError("ours"),
    }
    instance = Answering({"go": [tell("w", "bad"), tell("w", "odd"), tell("w", "good")]})
    bench = await running(instance, notifier=workers)
    bench.link.receive("go")
    await bench.settle()
    assert ends(bench) == {"1:0": "failed", "1:1": "failed", "1:2": "done"}
    assert [p["code"] for p in instance.of(EventKind.SEND_FAILED)] == [
        "worker.queue_full",
        "usage.internal",
    ]


async def test_a_stop_leaves_what_had_begun_unknown():
    """D2: an interrupted effect is reported as unknown, never repeated."""
    workers = SlowWorkers()
    bench = await running(
        Answering({"go": [tell("slow", "begun"), tell("slow", "waits")]}), notifier=workers
    )
    bench.link.receive("go")
    await bench.settle()
    await bench.service.stop()
    await bench.settle()
    assert ends(bench) == {"1:0": "unknown", "1:1": "failed"}
    counters = bench.service.status().counters
    assert (counters.commands_unknown, counters.commands_failed) == (1, 1)
    assert workers.began == ["begun"]
    assert "notice.effect_unknown" in bench.codes()


async def test_notifications_that_wait_are_bounded():
    workers = SlowWorkers()
    bench = await running(
        Answering({"go": [tell("slow", str(n)) for n in range(5)]}),
        notifier=workers,
        limits=Limits(effects_waiting=3),
    )
    bench.link.receive("go")
    await bench.settle()
    assert [r.code for r in bench.service.status().commands] == ["service.effects_full"] * 2
    workers.gate("slow").set()
    await bench.settle()
    assert Counter(ends(bench).values()) == {"done": 3, "failed": 2}


async def test_the_instance_may_go_while_an_effect_is_under_way():
    workers = SlowWorkers()
    first, second = Answering({"go": [tell("slow", "one")]}), FakeInstance()
    bench = Bench([first, second], notifier=workers)
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive("go")
    await bench.settle()
    await bench.service.restart()
    workers.gate("slow").set()
    await bench.settle()
    assert ends(bench) == {"1:0": "done"}


ANSWER = HttpAnswer(status=200, headers=(), body={"n": 1}, body_kind=BodyKind.JSON)
REFUSED = HttpFailure(error=RequestFailure("request.refused", "nothing listens"))
LOST = HttpFailure(error=RequestFailure("request.lost", "cut"), may_have_arrived=True)


@pytest.mark.parametrize(
    ("outcome", "status"), [(ANSWER, "done"), (REFUSED, "failed"), (LOST, "unknown")]
)
async def test_a_request_settles_as_it_ended(outcome, status):
    """B7: a request is done when its answer is there, not when it was begun."""
    begun, let = asyncio.Event(), asyncio.Event()

    async def send(prepared: Any, authorise: Any) -> Any:
        begun.set()
        await let.wait()
        return outcome

    request = ("request", {"target": "api", "method": "GET", "path": "/x"})
    instance = Answering({"go": [request, ("websocket_send", {"text": "after"})]})
    bench = await running(instance, asked=API, send=send)
    bench.link.receive("go")
    await begun.wait()
    await bench.settle()
    assert ends(bench) == {"1:1": "done"}, "the request has no outcome yet; the send did not wait"
    let.set()
    await bench.settle()
    assert ends(bench)["1:0"] == status
    (response,) = instance.of(EventKind.RESPONSE)
    assert response["ok"] is (status == "done")
    assert instance.of(EventKind.SEND_FAILED) == [], "the response says it already"


async def test_a_tool_s_caller_reads_what_became_of_a_notification():
    workers = SlowWorkers()
    workers.refuse = {"bad": WorkerError("worker.queue_full", "full")}
    instance = FakeInstance()
    answer = (
        '{"said": 1, "output_commands": ['
        '{"kind": "notify", "payload": {"worker": "w", "text": "good"}},'
        '{"kind": "notify", "payload": {"worker": "w", "text": "bad"}}]}'
    )
    instance.call_tool = lambda *_: answer  # type: ignore[method-assign]
    bench = await running(instance, notifier=workers)
    call = asyncio.create_task(bench.service.call_tool("t", {}))
    await bench.settle()
    assert not call.done(), "the call waits for its first notification"
    workers.gate("w").set()
    output = await call
    assert [one["code"] for one in output["refused"]] == ["worker.queue_full"]


async def test_a_tool_whose_service_stops_is_answered():
    workers = SlowWorkers()
    instance = FakeInstance()
    instance.call_tool = lambda *_: (  # type: ignore[method-assign]
        '{"output_commands": [{"kind": "notify", "payload": {"worker": "w", "text": "x"}}]}'
    )
    bench = await running(instance, notifier=workers)
    call = asyncio.create_task(bench.service.call_tool("t", {}))
    await bench.settle()
    await bench.service.stop()
    assert (await call)["refused"][0]["code"] == "service.stopping"
    assert ends(bench)
    assert bench.service.status().counters.commands_unknown == 1


async def test_a_caller_that_gives_up_does_not_take_the_notification_with_it():
    workers = SlowWorkers()
    instance = FakeInstance()
    instance.call_tool = lambda *_: (  # type: ignore[method-assign]
        '{"output_commands": [{"kind": "notify", "payload": {"worker": "w", "text": "x"}}]}'
    )
    bench = await running(instance, notifier=workers)
    call = asyncio.create_task(bench.service.call_tool("t", {}))
    await bench.settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    workers.gate("w").set()
    await bench.settle()
    assert set(ends(bench).values()) == {"done"}


async def test_a_failing_target_is_told_once_per_change_and_stands_in_the_status():
    """B7: a plugin's failing request is seen by its operator, with target, code and count."""
    outcomes = [REFUSED, REFUSED, _status(403), _status(403), _status(500), ANSWER, ANSWER]
    waiting = list(outcomes)

    async def send(prepared: Any, authorise: Any) -> Any:
        return waiting.pop(0)

    request = ("request", {"target": "api", "method": "GET", "path": "/x"})
    bench = await running(Answering({"go": [request]}), asked=API, send=send)
    for _ in outcomes:
        bench.link.receive("go")
        await bench.settle()
    told = [d for d in bench.diagnostics if d.scope == "request:echo/api"]
    assert [(d.code, d.fields["failed"]) for d in told] == [
        ("request.refused", 1),
        ("request.status", 3),
        ("request.status", 5),
        ("notice.request_recovered", 5),
    ]
    (api,) = bench.service.status().requests
    assert (api.target, api.requests, api.failed, api.code) == ("api", 7, 5, None)


def _status(status: int) -> HttpAnswer:
    return HttpAnswer(status=status, headers=(), body=None, body_kind=BodyKind.EMPTY)


async def test_requests_beyond_the_bound_are_refused_at_once_and_make_no_more():
    limits = Limits(requests_per_plugin=1, requests_waiting=1)
    asked, gate = [], asyncio.Event()

    async def send(*_: Any) -> Any:
        asked.append(1)
        await gate.wait()
        return REFUSED

    request = ("request", {"target": "api", "method": "GET", "path": "/x"})
    instance = Answering({"go": [request] * 5})
    bench = await running(instance, asked=API, send=send, limits=limits)
    bench.link.receive("go")
    await bench.settle()
    assert len(asked) == 2
    assert [one["code"] for one in instance.of(EventKind.SEND_FAILED)] == ["request.busy"] * 3
    gate.set()
    await bench.settle()
    assert len(instance.of(EventKind.RESPONSE)) == 2
