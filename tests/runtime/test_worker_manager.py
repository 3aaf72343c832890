"""What stands between services and workers while the host starts, stops and masks."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from yoi.core.redaction import Masker
from yoi.errors import ServiceError, WorkerError, YoiError
from yoi.journal.memory import MemoryJournal
from yoi.limits import LIMITS
from yoi.runtime.worker_manager import HostTools, WorkerManager
from yoi.testing import ManualClock
from yoi.types import Secret
from yoi.workers.items import public_entry
from yoi.workers.notify import Notification
from yoi.workers.profile import WorkerProfile

VALUE = "xoxb-4711-secret-value"


class Secrets:
    def secret(self, name):
        return Secret(name, VALUE) if name == "token" else None


class Services:
    """Knows the service `desk`, which was granted the secret `token` and tells it if it can."""

    def __iter__(self):
        return iter(())

    def __getitem__(self, name):
        if name != "desk":
            raise ServiceError("service.unknown", name)
        masker = Masker([Secret("token", VALUE)])
        return SimpleNamespace(
            spec=SimpleNamespace(injector=SimpleNamespace(masker=lambda: masker)),
            call_tool=self.call_tool,
        )

    async def call_tool(self, tool, arguments):
        if tool == "fail":
            raise ServiceError("service.unknown", f"it is {VALUE}")
        return {"answer": [f"it is {VALUE}"]}


def workers(**limits):
    heard = []
    made = WorkerManager(
        MemoryJournal(),
        Services(),
        Secrets(),
        heard.append,
        ManualClock(),
        replace(LIMITS, **limits),
    )
    return made, heard


def note(number=1, text="hi", plugin="desk"):
    return Notification(
        worker="w",
        text=text,
        plugin=plugin,
        plugin_id="project:desk",
        digest="sha256:ab",
        ingress="events",
        event_id="e",
        command_id=f"c{number}",
    )


TABLE = {
    "name": "w",
    "model": "scripted",
    "script": [{"say": "x"}],
    "notify": [{"plugin": "desk", "start_run": False}],
}
PROFILE = WorkerProfile.parse(TABLE)


async def test_what_is_heard_before_the_workers_are_there_waits_within_bounds():
    made, _ = workers(worker_inputs=2)
    early = [asyncio.create_task(made.notify(note(n))) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.wait({early[2]})
    with pytest.raises(WorkerError) as caught:
        await early[2]
    assert caught.value.code == "worker.queue_full"
    await made.apply([PROFILE])
    assert [(await each).new for each in early[:2]] == [True, True]
    await made.stop()


async def test_what_a_service_tells_a_worker_that_is_still_to_come_waits_for_it():
    """A unit that is taken over starts its services first, and then its workers."""
    made, _ = workers()
    other = WorkerProfile.parse({**TABLE, "name": "other"})
    await made.apply([other])
    with made.expecting([other, PROFILE]):
        early = asyncio.create_task(made.notify(note()))
        # One that runs as it is keeps nothing waiting.
        assert (await made.notify(replace(note(), worker="other"))).new
        assert not early.done()
        await made.apply([other, PROFILE])
    assert (await early).new
    # A new rule of a worker that runs: the service that it names is started before, too.
    wider = WorkerProfile.parse({**TABLE, "notify": [*TABLE["notify"], {"plugin": "shop"}]})
    with made.expecting([other, wider]):
        early = asyncio.create_task(made.notify(note(2, plugin="shop")))
        await made.apply([other, wider])
    with pytest.raises(ServiceError):  # it got as far as the secrets of a plugin that is not here
        await early
    # Where `apply` was not reached, nothing waits for ever.
    with made.expecting([PROFILE]):
        early = asyncio.create_task(made.notify(note(3)))
        await asyncio.sleep(0)
    assert (await early).new
    await made.stop()


async def test_a_stopping_host_says_so_instead_of_denying():
    made, _ = workers()
    await made.apply([PROFILE])
    await made.stop()
    with pytest.raises(YoiError) as caught:
        await made.notify(note())
    assert caught.value.code == "worker.stopped"


async def test_a_worker_that_moves_says_so_instead_of_denying():
    """What a durable service tells it meanwhile is told again where both go on."""
    made, _ = workers()
    await made.apply([PROFILE])
    with made.moving([PROFILE.name]):
        assert (await made.notify(note())).new, "it is still here"
        await made.apply([])
        with pytest.raises(YoiError) as caught:
            await made.notify(note(2))
        assert caught.value.code == "worker.stopped"
    with pytest.raises(YoiError) as caught:
        await made.notify(note(2))
    assert caught.value.code != "worker.stopped"
    await made.stop()


async def test_a_granted_secret_never_enters_a_history():
    """W9, T3."""
    made, _ = workers()
    await made.apply([PROFILE])
    await made.notify(note(text=f"the token is {VALUE}"))
    (item,) = await made.worker_set.worker("w").history(0, 10)
    assert public_entry(item)["text"] == "the token is [masked]"
    await made.stop()


async def test_a_tool_tells_no_secret_of_its_plugin():
    tools = HostTools(Services())
    assert await tools.call("desk", "tell", {}) == {"answer": ["it is [masked]"]}
    with pytest.raises(ServiceError) as failed:
        await tools.call("desk", "fail", {})
    assert failed.value.message == "it is [masked]"


def test_what_cannot_be_masked_is_not_committed():
    with pytest.raises(ServiceError):
        HostTools(Services()).redact("gone", VALUE)


async def test_a_worker_that_cannot_run_is_told():
    made, heard = workers()
    keyless = WorkerProfile.parse({"name": "k", "model": "openai:m", "api_key": "gone"})
    await made.apply([keyless, PROFILE])
    assert [(one.scope, one.code) for one in heard] == [("worker:k", "worker.profile")]
    assert [worker.name for worker in made.worker_set.workers] == ["w"]
    await made.stop()
