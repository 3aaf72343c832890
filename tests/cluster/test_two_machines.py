"""M3: units on two machines with real hosts and NATS: where they run, and how they are moved.

M4: and commands for them, which are given on the other machine."""

import asyncio
import json
import signal

from tests.cluster.test_takeover import MANIFEST, WAIT_SECONDS, Gateway, HostProcess, code, nats
from tests.runtime.conftest import compiled_runner

from yoi.secrets.deployment import DeploymentKey

__all__ = ["compiled_runner", "nats"]

PLUGIN = """
from yoi_pdk import Context, GapEvent, Plugin, StartedEvent, TextEvent

class Echo(Plugin):
    told = "new"

    def on_started(self, event: StartedEvent, ctx: Context):
        self.told = f"from {event.moved_from}"

    def on_gap(self, event: GapEvent, ctx: Context):
        self.told += f" gap {event.payload['since']} {event.payload['until']}"

    def on_text(self, event: TextEvent, ctx: Context):
        count = int(ctx.state.get("count") or 0) + 1
        ctx.state["count"] = count
        return event.reply(f"{count}|{event.text}|{self.told}")
"""


NOTHING_DONE = ("service.elsewhere", "cluster.not_listening")


class Machine(HostProcess):
    """A host with two plugins, each with a gateway; the second runs on `b` only."""

    def __init__(self, folder, first, second, nats, prefix, key_file):
        super().__init__(folder, first, nats, prefix)
        host_toml = folder / "config/yoi/host.toml"
        host_toml.write_text(f'{host_toml.read_text()}key_file = "{key_file}"\n')
        for name, gateway in (("source", first), ("other", second)):
            source = self.folder / name
            source.mkdir(exist_ok=True)
            manifest = MANIFEST.format(port=gateway.port)
            if name == "other":
                manifest = manifest.replace('id = "echo"', 'id = "other"')
            (source / "plugin.toml").write_text(manifest)
            (source / "plugin.py").write_text(PLUGIN)

    async def prepare(self):
        await self.enable()
        child = await self._run("plugin", "enable", "./other", "--grant-requested", "--yes")
        assert await child.wait() == 0
        file = self.folder / ".yoi/yoi.toml"
        file.write_text(
            file.read_text().replace('name = "other"', 'name = "other"\nruns_on = ["b"]')
        )
        shown = await self.call("trust", "--show")
        await self.call("trust", "--digest", shown["digest"])

    async def call(self, *words):
        child = await self._run(*words, "--json")
        assert child.stdout is not None
        said = json.loads(await child.stdout.read())
        await child.wait()
        return said

    async def until_carried_out(self, *command):
        """Ask until it is: a machine looks now and then who runs what, and says so meanwhile."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                said = await self.call(*command)
                if "error" not in said:
                    return said
                assert said["error"]["code"] in NOTHING_DONE


async def test_units_move_one_by_one_and_nothing_is_lost(tmp_path, nats, compiled_runner):
    async with Gateway() as first, Gateway() as second:
        key = tmp_path / "key"
        DeploymentKey.create(key)
        a, b = (Machine(tmp_path / name, first, second, nats, "two", key) for name in "ab")
        for host in (a, b):
            await host.prepare()
        await a.start()
        await first.until(lambda: first.open)
        assert not second.sockets
        await b.start()
        await second.until(lambda: second.open)
        await b.line(code("notice.unit_taken"))
        await first.say("one")
        await first.until(lambda: "1|one|from None" in first.heard)
        # Moved by a person, wherever the command is given: the other goes on where this one was.
        given = await b.until_carried_out("runtime", "drain", "service:echo")
        assert given["handed_over"] == ["service:echo"]
        assert (given["machine"], given["owns"]) == ("a", [])
        await first.until(lambda: len(first.sockets) == 2)
        await first.say("two")
        await first.until(lambda: len(first.heard) == 2)
        count, text, told = first.heard[-1].split("|")
        assert (count, text) == ("2", "two")
        moved, _, gap = told.partition(" gap ")
        assert moved == "from a"
        since, until = gap.split()
        assert since < until
        # A command is carried out by the machine that runs the service, and says which one it is.
        restarted = await a.until_carried_out("service", "restart", "echo")
        assert (restarted["machine"], restarted["lifecycle"]) == ("b", "running")
        await a.call("service", "reconnect", "echo")
        await first.until(lambda: len(first.sockets) == 3)
        listed = await a.call("service", "list")
        assert [one["name"] for one in listed["services"]] == ["echo", "other"]
        assert listed["machines"] == {"echo": "b", "other": "b"}
        assert (await a.call("service", "dead-letters", "echo"))["machine"] == "b"
        owners = (await a.call("cluster", "leases"))["leases"]
        assert [(one["name"], one["machine"]) for one in owners] == [
            ("service:echo", "b"),
            ("service:other", "b"),
        ]
        assert owners[0]["moved_from"] == "a"
        # A machine that is told to stop hands over what another may run.
        b.send(signal.SIGTERM)
        assert await b.ended() == 0
        await first.until(lambda: len(first.sockets) == 4)
        await first.say("three")
        await first.until(lambda: len(first.heard) == 3)
        assert first.heard[-1].startswith("3|three|from b gap ")
        assert (await a.call("runtime", "drain"))["draining"]
        await first.until(lambda: not first.open)
        assert not (await a.call("runtime", "drain", "--undo"))["draining"]
        await first.until(lambda: first.open)
        a.send(signal.SIGTERM)
        assert await a.ended() == 0
    assert first.most_open == second.most_open == 1
    assert len(second.sockets) == 1
