"""D4 with real parts: a package, the sandbox, a WebSocket server, a host that reloads.

The rules, one by one: test_replacement.py.
"""

from dataclasses import replace

import pytest
from tests.runtime.hosts import quiet_host
from tests.runtime.test_frame_path import MANIFEST, Workspace, gateway, link

from yoi.limits import LIMITS

DURABLE = MANIFEST.replace(
    "deadline_ms = {deadline_ms}", 'deadline_ms = {deadline_ms}\ndurability = "disk"'
)


@pytest.fixture
def workspace(tmp_path, compiled_runner):
    return Workspace(tmp_path)


def impatient(workspace):
    """Return its host, which waits less for a start() that does not end."""
    limits = replace(LIMITS, start_ms=1_500)
    return quiet_host(workspace.folder, workspace.diagnostics.append, limits)


def plugin(version, start="", first=""):
    """Return the source of a version, and what it does in `start` and with its first event."""
    return f'''
from yoi_pdk import Plugin, StartedEvent

class Echo(Plugin):
    def start(self, ctx, config):
        self.began_at = ctx.state.get("count", 0)
        self.replaced = None
        {start or "pass"}

    def on_event(self, event, ctx):
        if isinstance(event, StartedEvent):
            self.replaced = event.replaced
            {first or "pass"}

    def on_text(self, event, ctx):
        count = ctx.state.get("count", 0) + 1
        ctx.state["count"] = count
        return event.reply(f"{version}:{{count}}:{{event.text}}")

    def status(self):
        return {{"began_at": self.began_at, "replaced": self.replaced}}
'''


async def answered(server, text, number):
    await server.ask(text)
    await server.until(lambda: len(server.received) == number)


@pytest.mark.parametrize("manifest", [MANIFEST, DURABLE], ids=["memory", "disk"])
async def test_a_changed_package_takes_over_on_the_same_socket(workspace, manifest):
    async with gateway() as server:
        workspace.install(server.url, plugin("one"), manifest=manifest)
        workspace.enable()
        async with impatient(workspace) as host:
            await server.until(lambda: server.clients)
            await answered(server, "a", 1)
            before = link(host.services["echo"]).session
            workspace.install(server.url, plugin("two"), manifest=manifest)
            workspace.enable()
            applied = await host.reload()
            await answered(server, "b", 2)
            service = host.services["echo"]
            await service.ask_status()
            status = service.status()
            assert applied.replaced == ["echo"]
            assert link(service).session == before
            assert status.plugin_status == {"began_at": 1, "replaced": True}
    assert server.received == ["one:1:a", "two:2:b"]
    assert len(server.clients) == 1


REFUSED = {
    "source": "class Echo(",
    "start": plugin("two", start='raise ValueError("this is not my state")'),
    "spin": plugin("two", start="while True: pass"),
    "first": plugin("two", first='raise KeyError("sessions")'),
    "first spins": plugin("two", first="while True: pass"),
    "memory": plugin("two", first='self.kept = "x" * (1 << 30)'),
}


@pytest.mark.parametrize("manifest", [MANIFEST, DURABLE], ids=["memory", "disk"])
@pytest.mark.parametrize("fault", REFUSED)
async def test_a_broken_package_leaves_the_one_before_on_the_same_socket(
    workspace, fault, manifest
):
    async with gateway() as server:
        workspace.install(server.url, plugin("one"), manifest=manifest)
        workspace.enable()
        async with impatient(workspace) as host:
            await server.until(lambda: server.clients)
            await answered(server, "a", 1)
            before = link(host.services["echo"]).session
            workspace.install(server.url, REFUSED[fault], manifest=manifest)
            workspace.enable()
            applied = await host.reload()
            await answered(server, "b", 2)
            status = host.services["echo"].status()
            assert [one.name for one in applied.refused] == ["echo"]
            assert status.refused_version is not None
            assert status.connections[0].session == before
            assert status.counters.restarts == 0
    assert server.received == ["one:1:a", "one:2:b"]
    assert len(server.clients) == 1


async def test_a_connection_that_is_declared_otherwise_is_dialled_again(workspace):
    async with gateway() as server:
        workspace.install(server.url, plugin("one"))
        workspace.enable()
        async with impatient(workspace) as host:
            await server.until(lambda: server.clients)
            other = MANIFEST + "ping_ms = 5000\n"
            workspace.install(server.url, plugin("two"), manifest=other)
            workspace.enable()
            assert (await host.reload()).replaced == ["echo"]
            await server.until(lambda: len(server.clients) == 2)
            await answered(server, "b", 1)
    assert server.received == ["two:1:b"]
