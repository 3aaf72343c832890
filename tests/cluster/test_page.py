"""M2, M4, U3: docs/how-to/several-machines.md followed from three empty folders, real processes."""

import asyncio
import io
import json
import os
import re
import signal
from contextlib import contextmanager
from pathlib import Path

import nats
import pytest
from tests.cluster.test_takeover import MANIFEST, PLUGIN, Gateway, HostProcess, code
from tests.journal.nats import running
from tests.runtime.conftest import compiled_runner

from yoi.cli.main import run
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings
from yoi.runtime.service_log import folded
from yoi.secrets.deployment import DeploymentKey

__all__ = ["compiled_runner"]
pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[2] / "docs/how-to/several-machines.md").read_text()
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```", PAGE, re.M | re.S)
SECRET = """
insert = [{ at = "/headers/authorization", secret = "token", prefix = "Bearer " }]

[[secrets]]
name = "token"
connection = "gateway"
at = ["/headers/authorization"]
"""
TOKEN = "a-token-of-some-length"
NATS, CLUSTER, MACHINE, SEALED = (
    next(re.sub(r"^ +", "", text, flags=re.M) for _, text in BLOCKS if word in text)
    for word in ("store_dir", "replicas", "publisher", "key_file")
)
COMMANDS = [line for _, text in BLOCKS for line in re.findall(r"^ *\$ (yoi [a-z ]+)", text, re.M)]


class Folder(HostProcess):
    """One machine: an empty folder, and an account's state and configuration."""

    def __init__(self, root, capsys):
        self.folder, self.root, self._capsys = root / "w", root, capsys
        (self.folder / ".yoi").mkdir(parents=True)
        (root / "config/yoi").mkdir(parents=True, mode=0o700)
        self._account = {
            "YOI_STATE_HOME": str(root / "state"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "XDG_DATA_HOME": str(root / "data"),
        }
        self._env = {**os.environ, **self._account}
        self._child = None
        self.lines = []

    def write(self, place, text):
        (self.root / place).write_text(text)
        (self.root / place).chmod(0o600)

    async def yoi(self, *words):
        """Carry out a command of this account; return its JSON."""
        with self._as_account():
            self._capsys.readouterr()
            apart = words[:2] in (("cluster", "key"), ("cluster", "seal"))
            where = () if apart else ("-w", str(self.folder))
            await asyncio.to_thread(run, [*words, *where, "--json"])
            told = json.loads(self._capsys.readouterr().out)
        assert "error" not in told, told
        return told

    async def trust(self):
        await self.yoi("trust", "--digest", (await self.yoi("trust", "--show"))["digest"])

    async def serve(self):
        self._child = await self._run("serve", "--json")

    @contextmanager
    def _as_account(self):
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self._account.items():
                patched.setenv(name, value)
            yield


def test_the_page_names_the_commands_that_are_followed_here():
    decided = {"yoi trust", "yoi cluster publish", "yoi cluster key", "yoi cluster seal deployment"}
    assert {*decided, "yoi serve"} <= set(COMMANDS)


async def test_three_empty_folders(tmp_path, compiled_runner, capsys, monkeypatch):
    where = NATS.replace("/var/lib/nats", f'"{tmp_path}/js"')
    with running(tmp_path / "nats", where, jetstream=False) as server:
        async with Gateway() as gateway:
            cluster = re.sub(r"nats = .*", f'nats = ["{server.url}"]', CLUSTER)
            # One server and short times; all else as it stands there.
            cluster = cluster.replace("replicas = 3", "replicas = 1\nlease_ms = 3000")
            desk, one, other = (Folder(tmp_path / name, capsys) for name in "abc")

            source = desk.root / "echo"
            source.mkdir()
            desk.write("echo/plugin.toml", MANIFEST.format(port=gateway.port) + SECRET)
            desk.write("echo/plugin.py", PLUGIN)
            enable = ("plugin", "enable", str(source), "--grant-requested", "--yes")
            enable += ("--secret", "token=gate")
            desk.write("w/.yoi/yoi.toml", cluster)
            await desk.trust()
            # The deployment's key reaches each machine by its operator's own means.
            await desk.yoi("cluster", "seal", str(tmp_path / "deployment.key"))
            sealed = SEALED.replace("/etc/yoi", str(tmp_path))
            desk.write("config/yoi/host.toml", sealed)
            monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN))
            await desk.yoi("secret", "set", "gate", "--stdin")
            await desk.yoi(*enable)
            await desk.yoi("cluster", "publish", "--days", "4")
            publisher = (await desk.yoi("cluster", "key"))["publisher"]
            for machine in (one, other):
                machine.write("w/.yoi/yoi.toml", cluster)
                obeys = re.sub('".*"', f'"{publisher}"', MACHINE)
                obeys += f'name = "{machine.root.name}"\n'
                obeys += sealed.replace("[cluster]", "")
                listens = '[observation]\nlisten = "127.0.0.1:0"\n'
                machine.write("config/yoi/host.toml", f"{obeys}\n{listens}")
                await machine.trust()

            await one.serve()
            await gateway.until(lambda: gateway.open)
            await other.serve()
            assert "standing by" in json.dumps(await other.line(code("notice.standby")))
            await gateway.say("hello")
            await gateway.until(lambda: "1:hello" in gateway.heard)

            # A revocation reaches the machine that runs, and the next decision, too.
            await desk.yoi("plugin", "disable", "echo")
            await desk.yoi("cluster", "publish")
            await gateway.until(lambda: not gateway.open)
            await desk.yoi(*enable)
            await desk.yoi("cluster", "publish", "--days", "4")
            await gateway.until(lambda: gateway.open)
            await gateway.say("again")
            await gateway.until(lambda: "2:again" in gateway.heard)

            [lease] = (await desk.yoi("cluster", "leases"))["leases"]
            owner, other = (one, other) if lease["machine"] == "b" else (other, one)
            assert "ends in" in json.dumps(await owner.line(code("cluster.expired")))
            owner.send(signal.SIGKILL)
            await owner.ended()
            await gateway.until(lambda: len(gateway.sockets) == 3)
            await gateway.say("there")
            await gateway.until(lambda: "3:there" in gateway.heard)
            tokens = {socket.request.headers["authorization"] for socket in gateway.sockets}
            assert tokens == {f"Bearer {TOKEN}"}

            # Each owner wrote which publication it goes by: no older one is obeyed for this log.
            key = DeploymentKey.read(tmp_path / "deployment.key")
            journal = await JetStreamJournal.open(NatsSettings((server.url,), "yoi", seal=key))
            assert (await folded(journal, "service:echo", "echo")).by.serial == 3
            await journal.close()

            # What cannot be confirmed is in force no longer.
            client = await nats.connect(server.url)
            said = await client.jetstream().get_last_msg("YOI_J", "yoi.j.service:echo")
            assert b"{" not in said.data[:1]
            bucket = await client.jetstream().key_value("yoi_conf")
            await bucket.put("publication", b"something else")
            await client.close()
            await other.line(code("cluster.stale"))
            assert await other.ended() != 0
            await gateway.until(lambda: not gateway.open)
