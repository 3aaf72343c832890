"""What is shown of a service is so: its health, its own word on itself, each fault once."""

import asyncio

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.core.lifecycle import Lifecycle
from yoi.limits import LIMITS, Limits
from yoi.permissions import PermissionSet
from yoi.protocol.cursors import CursorKeys
from yoi.protocol.ingress import TextFrame
from yoi.protocol.observation import Subject, SubjectKind
from yoi.protocol.outcomes import NO_COMMANDS, HandlerFailed
from yoi.protocol.status import ConnectionStatus
from yoi.runtime.observing import Observing
from yoi.runtime.service_status import health
from yoi.testing import ManualClock

KEYS = CursorKeys(b"key1", {b"key1": b"k" * 32})


def link(**known):
    return ConnectionStatus(name="g", ingress="events", url="wss://x/", state="open", **known)


@pytest.mark.parametrize(
    ("state", "links", "missing", "shown"),
    [
        (Lifecycle.RUNNING, [link()], [], "running"),
        (Lifecycle.RUNNING, [], [], "running"),
        (Lifecycle.RUNNING, [link(), link(down_since="2026-01-01T00:00:00Z")], [], "degraded"),
        (Lifecycle.RUNNING, [link()], ["bot"], "degraded"),
        (Lifecycle.FAILED, [link(down_since="2026-01-01T00:00:00Z")], ["bot"], "failed"),
        (Lifecycle.STOPPED, [], [], "stopped"),
    ],
)
def test_what_runs_and_lacks_something_is_degraded(state, links, missing, shown):
    assert health(state, links, missing) == shown


async def started(*instances, **options):
    bench = Bench(instances, **options)
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    return bench


async def test_a_missing_secret_is_told_at_start_and_in_the_status():
    asked = PermissionSet.parse(
        secrets=[{"name": "bot", "connection": "gateway", "at": ["/token"], "secret": "my-bot"}]
    )
    bench = await started(FakeInstance(lambda _: NO_COMMANDS), asked=asked)
    status = bench.service.status()
    assert (status.missing_secrets, status.health) == (["my-bot"], "degraded")
    told = [one for one in bench.diagnostics if one.code == "secret.missing"]
    assert [one.hint for one in told] == ["yoi secret set my-bot"]


async def test_the_same_fault_is_told_once_while_it_is_tried_again_and_counted_after():
    def broken(event):
        if not isinstance(event, TextFrame):
            return NO_COMMANDS
        return HandlerFailed("ValueError", "bad", "plugin.py:7 in on_text")

    bench = await started(FakeInstance(broken))
    for text in "abc":
        bench.link.receive(text)
        await bench.settle()
    told = [one.message for one in bench.diagnostics if one.code == "sandbox.exception"]
    assert told == ["ValueError: bad"]
    given_up = [one.message for one in bench.diagnostics if one.code == "service.dead_letter"]
    assert [
        words.endswith("was given up after 3 attempts: ValueError: bad") for words in given_up
    ] == [True] * 3
    assert bench.service.status().counters.failed == 9
    bench.clock.advance(61)
    bench.link.receive("d")
    await bench.settle()
    told = [one.message for one in bench.diagnostics if one.code == "sandbox.exception"]
    assert told[1:] == ["ValueError: bad (2 more events like it)"]


async def test_a_line_of_a_connection_names_its_service():
    bench = await started(FakeInstance(lambda _: NO_COMMANDS))
    scopes = {one.scope for one in bench.diagnostics}
    assert scopes == {"service:echo", "connection:echo/gateway"}


async def test_what_a_plugin_says_of_itself_is_asked_while_somebody_watches_and_only_then():
    bench = await started(FakeInstance(lambda _: NO_COMMANDS))
    asked, hurried = [], Limits(service_sample_ms=1)
    answered = asyncio.Event()

    async def ask(name):
        asked.append(name)
        answered.set()

    clock = ManualClock()
    watched = Observing(KEYS, lambda: {"echo": bench.service.status()}, clock, hurried, ask)
    watched.follow_services()
    channel = watched.hub.channel(Subject(SubjectKind.SERVICE, "echo"))

    class Listener:
        def published(self, seq, held):
            pass

        restarted = ended = published

    watched._ask_watched()
    assert asked == []
    channel.stream.listen(Listener())
    watched._ask_watched()
    await answered.wait()
    watched._ask_watched()
    await asyncio.sleep(0)
    assert asked == ["echo"]
    clock.advance(LIMITS.status_watched_ms / 1000)
    watched._ask_watched()
    await asyncio.sleep(0)
    assert asked == ["echo", "echo"]
    await watched.stop()


async def test_a_status_has_the_time_at_which_the_plugin_said_it():
    bench = await started(FakeInstance(lambda _: NO_COMMANDS))
    before = bench.service.status().plugin_status_at
    assert before is not None
    bench.clock.advance(7)
    await bench.service.ask_status()
    assert bench.service.status().plugin_status_at > before


async def test_the_status_says_what_the_plugin_may_do_under_the_grants_in_force():
    """P7: the review is readable where the service is watched; what is broad is said."""
    targets = [
        {"scheme": "wss", "host": "*", "path_prefixes": ["/"]},
        {"scheme": "wss", "host": "a.example", "path_prefixes": ["/ws"]},
        {"scheme": "wss", "host": "b.example", "path_prefixes": ["/ws"]},
    ]
    asked = PermissionSet.parse(websocket=targets)
    limits = Limits(status_permissions=2)
    bench = await started(FakeInstance(lambda _: NO_COMMANDS), asked=asked, limits=limits)
    status = bench.service.status()
    assert [(one.kind, one.state) for one in status.permissions] == [("websocket", "covered")] * 2
    assert [bool(one.broad) for one in status.permissions] == [True, False]
    assert status.permissions_left_out == 1
    assert bench.service.status().permissions is status.permissions, "made anew without a change"
    bench.service.spec.authority.regrant(PermissionSet())
    now = bench.service.status().permissions
    assert [one.state for one in now] == ["denied", "denied"]
    assert "not granted" in now[1].explanation
    await bench.service.stop()
