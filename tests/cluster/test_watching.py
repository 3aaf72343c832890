"""M5: backends find the runtimes of a deployment, follow what moves, and serve a client in turn."""

import asyncio
import json
import signal
from contextlib import asynccontextmanager

import pytest
from tests.cluster.test_takeover import LEASE_MS, Gateway, HostProcess
from tests.journal.nats import running
from tests.runtime.conftest import compiled_runner
from websockets.asyncio.client import connect

from yoi.cli.elsewhere import ELSEWHERE
from yoi.cli.host_calls import ask
from yoi.client import Server, Target, affordances, approve, command, fetch
from yoi.decisions.port import WholeWorkspace
from yoi.errors import ObserveError
from yoi.host.backend_host import BackendHost
from yoi.limits import LIMITS
from yoi.protocol.observation import Subject, SubjectKind
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.host_settings import HostSettings
from yoi.types import Secret

__all__ = ["compiled_runner"]
WAIT_SECONDS = 90.0
TOOL = """
[[tools]]
name = "pay"
description = "Pay somebody"
input_schema = { type = "object" }
"""
ON_TOOL = """
    def on_tool(self, call, ctx):
        return ToolResult("paid")
"""
WORKER = """
[[workers]]
name = "agent"
model = "scripted"
tools = [{ plugin = "echo", tool = "pay" }]
notify = [{ plugin = "echo" }]
script = [{ when = "pay", call = "pay" }, { say = "done" }]
"""
SENDERS = """
[[plugins.enabled.senders]]
when = { at = "/type", equals = "message" }
at = "/author"
in = ["ann"]
pair = "/say"
"""
STREAM = "/api/runtimes/desk/services/echo/events/ws"


class Machine(HostProcess):
    """`yoi runtime` on a machine of its own, with the deployment's key."""

    def __init__(self, folder, gateway, nats, key_file):
        super().__init__(folder, gateway, nats, "desk")
        host_toml = folder / "config/yoi/host.toml"
        host_toml.write_text(f'{host_toml.read_text()}key_file = "{key_file}"\n')
        yoi_toml = self.folder / ".yoi/yoi.toml"
        yoi_toml.write_text(yoi_toml.read_text().replace("[observation]", "[runtime]") + WORKER)
        manifest = self.folder / "source/plugin.toml"
        manifest.write_text(manifest.read_text() + TOOL)
        plugin = self.folder / "source/plugin.py"
        plugin.write_text(plugin.read_text() + ON_TOOL)

    async def enable(self):
        await super().enable()
        yoi_toml = self.folder / ".yoi/yoi.toml"
        yoi_toml.write_text(yoi_toml.read_text() + SENDERS)

    async def start(self):
        self._child = await self._run("runtime", "--trust-workspace", "--verbose", "--json")


class Watcher:
    """A client that stays on its socket."""

    def __init__(self, socket):
        self._socket = socket
        self.frames = []

    async def until(self, true):
        """Return the next frame of which `true` is."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                self.frames.append(json.loads(await self._socket.recv()))
                if true(self.frames[-1]):
                    return self.frames[-1]


@asynccontextmanager
async def watching(host, token, cursor=None, stream=STREAM):
    where = host.url.replace("http", "ws", 1) + stream
    where += "" if cursor is None else f"?cursor={cursor}"
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(where, additional_headers=headers, subprotocols=["yoi.observe.v1"]) as made:
        yield Watcher(made)


async def listed(host, token):
    """Return the deployment's services with their machines, and its state."""
    server = Server(host.url, Secret("session", token))
    [runtime] = json.loads(await fetch(server, "/api/runtimes", tls=None, limits=LIMITS))
    return {one["id"]: one["machine"] for one in runtime["services"]}, runtime["state"]


async def until_listed(host, token, wanted):
    async with asyncio.timeout(WAIT_SECONDS):
        found = None
        while found != (wanted, "available"):
            found = await listed(host, token)


def backend(folder, nats, key_file):
    """A backend of the deployment, which knows no runtime."""
    (folder / ".yoi").mkdir(parents=True)
    (folder / ".yoi/yoi.toml").write_text(
        f'[cluster]\nnats = ["{nats.url}"]\nname = "desk"\nlease_ms = {LEASE_MS}\n'
        'size_bytes = 67108864\n\n[observation]\nlisten = "127.0.0.1:0"\n'
    )
    machine = HostSettings(key_file=key_file)
    return BackendHost(folder, decisions=WholeWorkspace(), machine=machine)


async def asked(folder, method, **params):
    """Return what the commands of `yoi` ask in the folder of a backend."""
    return await asyncio.to_thread(ask, folder, method, **params)


async def a_call_is_approved(host, folder, token):
    """The worker is elsewhere; its command, its approval and its history pass through a backend."""
    watch = (await asked(folder, "worker.watch", name="agent"))["watch"]
    await asked(folder, "worker.send", name="agent", text="pay")
    seen = []
    async with asyncio.timeout(WAIT_SECONDS):
        while "approval_request" not in seen:
            seen += [
                one["event"] for one in (await asked(folder, "worker.poll", watch=watch))["events"]
            ]
    await asked(folder, "worker.unwatch", watch=watch)
    waiting = []
    async with asyncio.timeout(WAIT_SECONDS):
        while not waiting:
            waiting = (await asked(folder, "worker.status", name="agent"))["approvals"]
    worker = Target(
        Server(host.url, Secret("t", token)), Subject(SubjectKind.WORKER, "agent", "desk")
    )
    assert "approve" in await affordances(worker)
    await approve(worker, waiting[0]["item"])
    with pytest.raises(ObserveError) as caught:
        await command(worker, "send", {"text": 3})
    assert caught.value.code == "worker.command"
    said = []
    async with asyncio.timeout(WAIT_SECONDS):
        while not any(one["type"] == "run_end" for one in said):
            said = (await asked(folder, "worker.history", name="agent"))["items"]
    assert "paid" in json.dumps(said)
    [decided] = [one for one in said if one["type"] == "approval_decided"]
    assert decided["by"] == "operator"


def says(text):
    return json.dumps({"type": "message", "author": "bob", "say": text})


async def a_sender_is_paired(folder, gateway):
    """The code is made on the worker's machine, and said there; who said it stands in a log."""
    made = await asked(folder, "worker.pair", name="agent")
    await gateway.say(says(made["code"]))
    paired = []
    async with asyncio.timeout(WAIT_SECONDS):
        while not paired:
            [of_echo] = await asked(folder, "worker.senders", name="agent")
            paired = of_echo["paired"]
    assert [one["sender"] for one in paired] == ["bob"]


async def work_items_are_shown_by_machine(host, token, machine):
    """What is a file on one machine is seen through a backend, under that machine."""
    child = await machine._run("ticket", "new", "Pay", "-m", "now")
    assert await child.wait() == 0
    async with watching(host, token, stream="/api/runtimes/desk/boards/a/events/ws") as watcher:
        await watcher.until(lambda frame: "Pay" in json.dumps(frame))
    server = Server(host.url, Secret("session", token))
    async with asyncio.timeout(WAIT_SECONDS):
        boards = []
        while not boards:
            [runtime] = json.loads(await fetch(server, "/api/runtimes", tls=None, limits=LIMITS))
            boards = runtime["boards"]
    assert [(one["id"], one["machine"], one["items"]) for one in boards] == [("a", "a", 1)]


async def a_place_of_before_is_told_to_begin_anew(host, token, cursor):
    """Through the other backend, with what was read before the stream moved; and how it moved."""
    async with watching(host, token, cursor) as watcher:
        # A backend that still has what came before the move passes that on first.
        told = await watcher.until(lambda frame: "resync" in json.dumps(frame))
        assert told["diagnostic"]["action"] == "resync"
        await watcher.until(snapshot)
    server = Server(host.url, Secret("session", token))
    [runtime] = json.loads(await fetch(server, "/api/runtimes", tls=None, limits=LIMITS))
    [move] = runtime["services"][0]["moves"]
    assert (move["source"], move["target"], move["why"]) == ("a", "b", "drained")


def snapshot(frame):
    return frame["kind"] == "event" and "snapshot" in frame["envelope"]["payload"]["event"]


@pytest.mark.slow
async def test_a_stream_is_followed_and_two_backends_serve_in_turn(tmp_path, compiled_runner):
    key_file = tmp_path / "key"
    DeploymentKey.create(key_file)
    with running(tmp_path / "nats") as nats:
        async with Gateway() as gateway:
            one, other = (Machine(tmp_path / name, gateway, nats, key_file) for name in "ab")
            for machine in (one, other):
                await machine.enable()
            await one.start()
            await gateway.until(lambda: gateway.open)
            async with (
                backend(tmp_path / "x", nats, key_file) as first,
                backend(tmp_path / "y", nats, key_file) as second,
            ):
                token = first._backend.new_session().token.reveal()
                await until_listed(first, token, {"echo": "a"})
                async with watching(first, token) as watcher:
                    cursor = (await watcher.until(snapshot))["envelope"]["cursor"]
                    # The session of one is good at the other, and so is the place.
                    await until_listed(second, token, {"echo": "a"})
                    async with watching(second, token, cursor) as elsewhere:
                        assert (await elsewhere.until(lambda _: True))["kind"] == "resumed"
                    await a_sender_is_paired(tmp_path / "x", gateway)
                    await work_items_are_shown_by_machine(second, token, one)
                    await other.start()
                    one.send(signal.SIGTERM)
                    assert await one.ended() == 0
                    # The same socket: a typed resync, and a snapshot of the new machine's.
                    told = await watcher.until(lambda one: "upstream_resync" in json.dumps(one))
                    assert told["diagnostic"]["action"] == "resync"
                    await watcher.until(snapshot)
                    await until_listed(first, token, {"echo": "b"})
                    await until_listed(second, token, {"echo": "b"})
                    await a_place_of_before_is_told_to_begin_anew(second, token, cursor)
                    await gateway.until(lambda: gateway.open)
                    await gateway.say("hello")
                    await gateway.until(lambda: "1:hello" in gateway.heard)
                    # Who was paired on the one machine is heard on the other.
                    await gateway.say(says("it is bob"))
                    await gateway.until(lambda: f"2:{says('it is bob')}" in gateway.heard)
                    await watcher.until(lambda one: "service_status" in json.dumps(one))
                    await a_call_is_approved(first, tmp_path / "x", token)
                    listed_now = await asked(tmp_path / "x", "worker.list")
                    assert [one["name"] for one in listed_now] == ["agent"]
                    assert ELSEWHERE.machines == {"agent": "b"}
            other.send(signal.SIGTERM)
            assert await other.ended() == 0
