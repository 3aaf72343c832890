"""M7: `yoi serve` with servers that it must not use ends, says why, and names the remedy."""

import ast
import asyncio
import io
import itertools
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nats
import pytest
from tests.journal.nats import journal_of, running

import yoi as package
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.units import buckets_of
from yoi.journal import jetstream_server
from yoi.journal.jetstream_server import NatsSettings
from yoi.journal.log import Append, LogBounds
from yoi.limits import LIMITS
from yoi.secrets.deployment import DeploymentKey
from yoi.serving.host_settings import HostSettings
from yoi.testing.trusting import trust_workspace

SOURCE = Path(package.__file__).parent
SIZE = 16 << 20
READS = '"$JS.API.INFO", "$JS.API.STREAM.INFO.>", "$JS.API.STREAM.MSG.GET.>"'
READER = f"""authorization {{ users = [
  {{ user: rt, password: p, permissions: {{ publish: {{ allow: [{READS}] }} }} }}
] }}"""


_names = itertools.count(1)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """The host waits for servers as always, but not as long."""
    load = HostSettings.load

    def quick(path=None, limits=LIMITS):
        return replace(load(path, limits), limits=replace(LIMITS, journal_settle_ms=1_500))

    monkeypatch.setattr(HostSettings, "load", staticmethod(quick))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("nats")) as made:
        yield made


class Refused:
    """Starts `yoi serve` with a `[cluster]` of its own name; returns what it says as it ends."""

    def __init__(self, yoi, workspace):
        self._yoi, self._workspace = yoi, workspace
        self.name = f"r{next(_names)}"

    def __call__(self, url, *more):
        lines = [f'nats = ["{url}"]', f'name = "{self.name}"', f"size_bytes = {SIZE}", *more]
        (self._workspace / ".yoi").mkdir(exist_ok=True)
        (self._workspace / ".yoi/yoi.toml").write_text("\n".join(["[cluster]", *lines]) + "\n")
        trust_workspace(self._workspace)
        ran = self._yoi("serve", "--port", "0")
        assert ran.status == 1, ran
        return ran.err


@pytest.fixture
def refused(yoi, workspace):
    return Refused(yoi, workspace)


def settings_like(refused, server, **more):
    return NatsSettings((server.url,), refused.name, 1, SIZE, **more)


@contextmanager
def told(info):
    """Be a server that says `info` to whom connects, and PONG."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                with one, one.makefile("rwb") as stream:
                    stream.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
                    stream.flush()
                    for line in stream:
                        if line.startswith(b"PING"):
                            stream.write(b"PONG\r\n")
                            stream.flush()

        threading.Thread(target=serve, daemon=True).start()
        yield f"nats://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_servers_that_are_too_old(refused):
    info = {"server_id": "x", "version": "2.11.9", "max_payload": 8_000_000, "headers": True}
    with told(info) as url:
        said = refused(url)
    assert "[cluster.version]" in said
    assert "2.12 or newer" in said
    assert "bring every server" in said


def test_servers_without_jetstream(refused, tmp_path):
    with running(tmp_path / "plain", jetstream=False) as plain:
        said = refused(plain.url)
    assert "[cluster.no_jetstream]" in said
    assert "jetstream { store_dir:" in said


def test_servers_without_room(refused, tmp_path):
    where = f'jetstream {{ store_dir: "{tmp_path}/js", max_file: 8M, max_mem: 1M }}'
    with running(tmp_path / "small", where, jetstream=False) as small:
        said = refused(small.url)
    assert "[cluster.full]" in said
    assert "max_file" in said


def test_an_account_that_may_only_read(refused, tmp_path, yoi, monkeypatch, workspace):
    (workspace / ".yoi").mkdir()
    monkeypatch.setattr("sys.stdin", io.StringIO("p"))
    assert yoi("secret", "set", "nats", "--stdin").status == 0
    with running(tmp_path / "users", READER) as server:
        said = refused(server.url, 'user = "rt"', 'password = "nats"')
    assert "[cluster.credentials]" in said
    assert "stream.create" in said.lower()
    assert "yoi cluster doctor" in said


def test_servers_that_are_not_there(refused):
    said = refused("nats://127.0.0.1:1")
    assert "[cluster.unreachable]" in said
    assert "yoi cluster status" in said


def test_another_deployment_s_subjects(refused, server):
    async def taken():
        client = await nats.connect(server.url)
        name = refused.name
        await client.jetstream().add_stream(name=f"other-{name}", subjects=[f"{name}.j.>"])
        await client.close()

    asyncio.run(taken())
    said = refused(server.url)
    assert "[cluster.stream]" in said
    assert "overlap" in said
    assert "another name in [cluster]" in said


async def accepted(settings, *, and_removed=False):
    """Do what a host does that has accepted something."""
    journal = await journal_of(settings)
    await journal.commit([Append("service:a", 0, [b"accepted"], LogBounds(10, 1000))])
    await journal.close()
    if and_removed:
        client = await nats.connect(settings.servers[0])
        about = ClusterSettings(settings.servers, settings.prefix)
        await (await buckets_of(client, about))[1].put("service.a", b"{}", 0)
        await client.jetstream().delete_stream(settings.stream)
        await client.close()


def test_a_stream_that_was_deleted_by_hand(refused, server):
    asyncio.run(accepted(settings_like(refused, server), and_removed=True))
    said = refused(server.url)
    assert "[cluster.stream]" in said
    assert "nats stream restore" in said


def test_logs_that_are_sealed_with_a_key_that_is_not_here(refused, server):
    asyncio.run(accepted(settings_like(refused, server, seal=DeploymentKey(b"k" * 32))))
    said = refused(server.url)
    assert "[cluster.key]" in said
    assert "key_file" in said


def test_another_lease_than_the_machines_that_run(refused, server):
    async def others():
        settings = settings_like(refused, server)
        client = await jetstream_server.connected(settings)
        await buckets_of(client, ClusterSettings(settings.servers, refused.name, lease_ms=9_000))
        await client.close()

    asyncio.run(others())
    said = refused(server.url)
    assert "[cluster.stream]" in said
    assert "the same lease_ms on every machine" in said


def test_a_clock_that_is_an_hour_off(refused, server, monkeypatch):
    there = jetstream_server.wall_ms()
    monkeypatch.setattr(jetstream_server, "wall_ms", lambda: there - 3_600_000)
    said = refused(server.url)
    assert "[cluster.clock]" in said
    assert "timedatectl" in said


def without_a_hint(path):
    """Yield the code of each ClusterError that is built without a remedy."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text if "ClusterError(" in text else "")):
        made = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ClusterError"
        if made and not any(word.arg == "hint" for word in node.keywords):
            yield ast.literal_eval(node.args[0])


def test_every_refusal_of_a_deployment_names_a_remedy():
    """What a person reads when a host does not start, or stops: never a code alone."""
    bare = {code for path in SOURCE.rglob("*.py") for code in without_a_hint(path)}
    # Of something that goes on by itself, or a part of another error's message.
    assert bare <= {"cluster.unit_lost", "cluster.unit_unknown", "cluster.package"}
