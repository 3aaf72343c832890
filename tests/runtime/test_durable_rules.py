"""D1, D2: rules of the service log's design that no crash alone shows; each test is named so."""

import asyncio
from dataclasses import replace

import pytest
from tests.canary import Canaries
from tests.runtime.fakes import ALLOWED, FakeInstance
from tests.runtime.test_durable import DyingJournal, World, let_go  # noqa: F401
from tests.runtime.test_executor import ANSWER
from tests.runtime.test_service import command

from yoi.permissions import Decision, PermissionSet
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands
from yoi.protocol.service_log import Effected, decode
from yoi.types import Secret

DENIED = Decision(allowed=False, code="denied.not_granted", message="no more")


def api(**more):
    target = {
        "name": "api",
        "scheme": "https",
        "host": "api.example",
        "methods": ["POST"],
        "path_prefixes": ["/"],
        "idempotent": True,
    }
    secret = {"name": "bot", "request": "api", "at": ["/headers/authorization"]}
    asked = PermissionSet.parse([{"kind": "host_api", "api": "request"}], [], [target], [secret])
    return asked.granting({"bot": "stored"}) if more.get("granted", True) else PermissionSet()


class Held:
    """A store of one secret."""

    def __init__(self, value):
        self.held = Secret("stored", value)

    def get(self, name):
        return self.held

    def secret(self, name):
        return self.held

    async def replace(self, name, value):
        raise AssertionError("nothing is rotated")


def entries(journal):
    return [decode(data, 1) for data in journal._logs["service:echo"].records]


@pytest.mark.parametrize("kind", ["notify", "request"])
async def test_commands_while_down(kind):
    """What was revoked while the host was down is refused, told, and not repeated later."""
    asked, heard = [], []

    async def send(prepared, authorise):
        authorise(prepared.method, prepared.url).require()
        asked.append(prepared.command_id)
        await never()

    def answering(event):
        if isinstance(event, TextFrame):
            what = {
                "notify": {"worker": "w", "text": "x"},
                "request": {"target": "api", "method": "POST", "path": "/x"},
            }[kind]
            return Commands([command(event, kind, what, "c")])
        heard.append((event.kind, event.payload.get("code") or event.payload.get("error")))
        return NO_COMMANDS

    world, journal = World(), DyingJournal()
    options = {"asked": api(), "send": send, "secrets": Held("s" * 20)}
    first = world.bench(journal, FakeInstance(answering), **options)
    await first.service.start()
    first.link.arrive()
    await first.settle()
    notify, world.workers.notify = world.workers.notify, never
    first.link.receive("go")
    await first.settle()
    journal.dead.set()
    world.workers.notify = notify
    before = len(asked)
    # Today's decisions: nothing is granted any more.
    kept = journal.survivor()
    second = world.bench(kept, FakeInstance(answering), may_notify=lambda _: DENIED, **options)
    if kind == "request":
        second.spec.authority.regrant(api(granted=False))
    await second.service.start()
    await second.settle()
    assert (world.workers.told, len(asked)) == ({}, before)
    counters = second.service.status().counters
    if kind == "notify":
        assert counters.commands_denied == 1
        ends = [one for one in entries(kept) if isinstance(one, Effected)]
        assert [(one.command_id, one.outcome, one.code) for one in ends] == [
            ("c", "failed", "denied.not_granted")
        ]
        assert (EventKind.DENIED, "denied.not_granted") in heard
    else:
        assert counters.commands_unknown == 1
    await second.service.stop()
    third = world.bench(kept, FakeInstance(answering), may_notify=lambda _: ALLOWED, **options)
    await third.service.start()
    await third.settle()
    assert (world.workers.told, len(asked)) == ({}, before)
    await third.service.stop()


async def never(*_):
    await asyncio.get_running_loop().create_future()


async def test_secrets_at_rest():
    """No filled document is written: commands keep their places, frames and answers are masked."""
    canaries = Canaries()
    value = canaries.secret("bot", signs="")
    asked = []

    async def send(prepared, authorise):
        asked.append(dict(prepared.headers))
        return replace(ANSWER, body={"echo": f"you are {value}"})

    def answering(event):
        if not isinstance(event, TextFrame):
            return NO_COMMANDS
        insert = [{"at": "/headers/authorization", "secret": "bot", "prefix": "Bearer "}]
        request = {
            "target": "api",
            "method": "POST",
            "path": "/x",
            "headers": {"authorization": ""},
            "insert": insert,
        }
        return Commands([command(event, "request", request, "c")])

    world, journal = World(), DyingJournal()
    bench = world.bench(
        journal, FakeInstance(answering), asked=api(), send=send, secrets=Held(value)
    )
    await bench.service.start()
    bench.link.arrive()
    bench.link.receive(f"somebody says {value}")
    await bench.settle()
    assert asked == [{"authorization": f"Bearer {value}"}]
    records = journal._logs["service:echo"].records
    assert any(b'"request"' in one for one in records)
    assert any(b"somebody says" in one for one in records)
    assert any(b"you are" in one for one in records)
    await bench.service.stop()
    assert canaries.grep_everything(log=records, status=bench.service.status()) == []
