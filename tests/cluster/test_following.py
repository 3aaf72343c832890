"""M4: published with the command, followed by machines over a real NATS server, and attacked."""

import asyncio
import base64
import contextlib
import io
import itertools
import json

import nats
import pytest
from tests.cli.test_cluster import configure
from tests.journal.nats import journal_of, settings_of

from yoi.cli.main import run
from yoi.cluster.bulletin import Bulletin
from yoi.cluster.following import Following
from yoi.cluster.kept import Kept
from yoi.errors import ClusterError, JournalError
from yoi.journal.jetstream_server import NatsSettings, connected
from yoi.limits import Limits
from yoi.runtime.service_log import ServiceLog
from yoi.secrets.deployment import DeploymentKey
from yoi.secrets.publisher import PublicKey
from yoi.testing import ManualClock

MANIFEST = """
schema_version = 1
id = "{id}"
name = "Echo"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Echo"

[[tools]]
name = "say"
description = "Says it."
input_schema = {{ type = "object", properties = {{}} }}
"""
GATEWAY = """
[[services]]
name = "chat"

[[ingresses]]
name = "events"

[[connections]]
name = "gateway"
ingress = "events"
url = "wss://gateway.example.com/ws"
deliver = ["text"]
insert = [{{ at = "/headers/authorization", secret = "token", prefix = "Bearer " }}]

[[secrets]]
name = "token"
connection = "gateway"
at = ["/headers/authorization"]
"""
VALUE = "a-token-of-some-length"
PLUGIN = "from yoi_pdk import Plugin\n\n\nclass Echo(Plugin):\n    pass\n"
NOW = 1_900_000_000_000


class Person:
    """The account where a person decides, with a workspace of its own."""

    def __init__(self, folder, url, capsys, monkeypatch):
        self.folder, self._capsys, self._monkeypatch = folder / "w", capsys, monkeypatch
        self.folder.mkdir(parents=True)
        configure(self.folder, url)

    async def yoi(self, *words, stdin=""):
        self._capsys.readouterr()
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        await asyncio.to_thread(run, [*words, "--json"])
        return json.loads(self._capsys.readouterr().out)

    async def enable(self, name, text=PLUGIN, manifest=MANIFEST, secrets=()):
        source = self.folder.parent / name
        source.mkdir(exist_ok=True)
        (source / "plugin.toml").write_text(manifest.format(id=name))
        (source / "plugin.py").write_text(text)
        where = ("-w", str(self.folder))
        await self.yoi(
            "plugin", "enable", str(source), "--grant-requested", "--yes", *secrets, *where
        )

    async def publish(self, *words):
        return await self.yoi("cluster", "publish", "-w", str(self.folder), *words)


class Machine:
    """What a host does to go by a publication; its clocks are set by hand."""

    def __init__(self, folder, client, settings, key, name="desk", sealed_with=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.wall = None
        self.step, passed = 0, itertools.count()
        self.following = Following(
            Bulletin(client, settings),
            Kept(folder, folder.parent / f"{folder.name}-state"),
            PublicKey.parse(key),
            sealed_with,
            name,
            10.0,
            lambda: self.wall or now_ms(),
            lambda: next(passed) * self.step,
            Limits(publication_ms=20),
        )

    async def refused(self):
        with pytest.raises(ClusterError) as caught:
            await self.following.look()
        assert caught.value.hint
        return caught.value.code

    @property
    def runs(self):
        found = self.following.in_force
        return {one.reference: one.digest for one in found.packages}, found.publication.serial


def now_ms():
    from yoi.journal.jetstream_server import wall_ms

    return wall_ms()


@pytest.fixture
async def client(server):
    made = await connected(NatsSettings((server.url,), "desk"))
    yield made
    js = made.jetstream()
    for name in ("KV_desk_conf", "OBJ_desk_packages"):
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await js.purge_stream(name)
    await made.close()


@pytest.fixture
def person(tmp_path, server, capsys, monkeypatch):
    monkeypatch.setenv("YOI_STATE_HOME", str(tmp_path / "person"))
    return Person(tmp_path / "a", server.url, capsys, monkeypatch)


@pytest.fixture
async def key(person):
    return (await person.yoi("cluster", "key"))["publisher"]


@pytest.fixture
def machine(tmp_path, client, server, key):
    def make(name="b", key=key, deployment="desk", sealed_with=None):
        settings = NatsSettings((server.url,), "desk")
        return Machine(tmp_path / name, client, settings, key, deployment, sealed_with)

    return make


async def test_a_machine_runs_what_was_decided_and_learns_of_each_change(person, machine, client):
    one = machine()
    assert await one.refused() == "cluster.publication"
    await person.enable("echo")
    await person.enable("other")
    told = await person.publish()
    assert (told["serial"], told["entries"]) == (1, ["plugin:echo", "plugin:other"])
    await one.following.look()
    assert one.runs == (
        {"project:echo": told["packages"][0], "project:other": told["packages"][1]},
        1,
    )
    await person.enable("echo", PLUGIN + "# changed\n")
    await person.yoi("plugin", "disable", "other", "-w", str(person.folder))
    again = await person.publish("--days", "1")
    heard, over = [], asyncio.Event()
    following = asyncio.ensure_future(
        one.following.follow(lambda *both: (heard.append(both), over.set()), lambda _: None, over)
    )
    await asyncio.wait_for(following, 60)
    assert one.runs == ({"project:echo": again["packages"][0]}, 2)
    assert again["packages"][0] != told["packages"][0]
    [(before, after)] = heard
    assert (before.publication.serial, after.publication.serial) == (1, 2)
    # Restarted, it takes the package from its own disk; what is not needed is gone.
    objects = await client.jetstream().object_store("desk_packages")
    await objects.delete(again["packages"][0].removeprefix("sha256:"))
    later = machine()
    await later.following.look()
    assert later.runs == one.runs
    assert len(list((later.following._kept._packages).iterdir())) == 1
    # Another machine needs the servers' copy; publishing again puts it back.
    assert await machine("c").refused() == "cluster.package"
    await person.publish()
    await machine("c").following.look()


async def test_what_somebody_with_the_servers_alone_can_do(person, machine, client, key):
    await person.enable("echo")
    await person.publish()
    bucket = await client.jetstream().key_value("desk_conf")
    old = (await bucket.get("publication")).value
    one = machine()
    await one.following.look()
    digest = (await person.publish())["packages"][0].removeprefix("sha256:")
    await one.following.look()
    # An older publication put back, now and after a restart.
    await bucket.put("publication", old)
    assert await one.refused() == await machine().refused() == "cluster.replayed"
    # Rubbish; nothing; another key's.
    await bucket.put("publication", b"rubbish")
    assert await one.refused() == "cluster.publication"
    await bucket.delete("publication")
    assert await one.refused() == "cluster.publication"
    # It is repaired by publishing again, with a later serial than any machine has seen.
    assert (await person.publish())["serial"] == 3
    await one.following.look()
    # Yesterday's package under today's digest, and one without an end.
    objects = await client.jetstream().object_store("desk_packages")
    size = (await objects.get_info(digest)).size
    for content in (b"x" * size, b"x" * (size + 1)):
        await objects.put(digest, content)
        assert await machine(f"new{len(content)}").refused() == "cluster.package"
    # The right content is put back by publishing.
    await person.publish()
    await machine("new").following.look()
    assert one.following.in_force.publication.serial == 3


async def test_a_fresh_machine_that_is_shown_an_older_publication_owns_no_log(
    person, machine, client, server
):
    await person.publish()
    bucket = await client.jetstream().key_value("desk_conf")
    old = (await bucket.get("publication")).value
    await person.publish()
    one = machine()
    await one.following.look()
    journal = await journal_of(settings_of(server))

    async def owned(following, epoch):
        opened = await ServiceLog.open(
            "echo", journal, ManualClock(), print, epoch=epoch, by=following.mark
        )
        await opened.close()

    await owned(one.following, 1)
    # Somebody who writes to the servers: a machine without memory takes the old one for true.
    await bucket.put("publication", old)
    fresh = machine("fresh")
    await fresh.following.look()
    with pytest.raises(JournalError) as caught:
        await owned(fresh.following, 2)
    assert caught.value.code == "cluster.replayed"
    assert "yoi cluster publish" in caught.value.hint
    await person.publish()
    await fresh.following.look()
    await owned(fresh.following, 2)
    await journal.close()


async def test_a_bucket_made_anew_with_as_many_entries_is_read(person, machine, client):
    await person.publish()
    one = machine()
    await one.following.look()
    js = client.jetstream()
    old = (await (await js.key_value("desk_conf")).get("publication")).value
    last = (await js.stream_info("KV_desk_conf")).state.last_seq
    await js.delete_key_value("desk_conf")
    bucket = await js.create_key_value(bucket="desk_conf", history=1)
    for _ in range(last - 1):
        await bucket.put("publication", old)
    await bucket.put("publication", b"rubbish")
    assert (await js.stream_info("KV_desk_conf")).state.last_seq == last
    assert await one.refused() == "cluster.publication"


async def test_two_deployments_with_one_name_and_wrong_keys_and_clocks(
    person, machine, tmp_path, server, capsys, monkeypatch
):
    await person.publish()
    one = machine()
    await one.following.look()
    one.wall = now_ms() - 3_600_000
    assert await one.refused() == "cluster.clock"
    one.wall = now_ms() + 31 * 86_400_000
    assert await one.refused() == "cluster.expired"
    assert await machine("d", deployment="other").refused() == "cluster.deployment"
    # A second workspace of the same person, and another person's, under one name.
    second = Person(tmp_path / "second", server.url, capsys, monkeypatch)
    assert (await second.publish())["error"]["code"] == "cluster.deployment"
    assert (await second.publish("--take-over"))["serial"] == 2
    one.wall = None
    await one.following.look()
    assert (await person.publish())["serial"] == 3
    monkeypatch.setenv("YOI_STATE_HOME", str(tmp_path / "stranger"))
    stranger = Person(tmp_path / "third", server.url, capsys, monkeypatch)
    assert (await stranger.publish())["error"]["code"] == "cluster.deployment"
    theirs = (await stranger.yoi("cluster", "key"))["publisher"]
    assert await machine("e", key=theirs).refused() == "cluster.signature"


async def test_secrets_travel_sealed_and_open_with_the_deployments_key_only(
    person, machine, client, tmp_path, monkeypatch
):
    async def published():
        return (await (await client.jetstream().key_value("desk_conf")).get("publication")).value

    with_key = MANIFEST + GATEWAY
    await person.yoi("secret", "set", "gate", "--stdin", "-w", str(person.folder), stdin=VALUE)
    await person.enable("echo", manifest=with_key, secrets=("--secret", "token=gate"))
    # Without a key every machine needs its own.
    told = await person.publish()
    assert (told["secrets"], told["own_secrets"]) == ([], ["gate"])
    assert machine().following is not None
    made = await person.yoi("cluster", "seal", str(tmp_path / "key"))
    (tmp_path / "host.toml").write_text('[cluster]\nkey_file = "key"\n')
    told = await person.publish("--host-config", str(tmp_path / "host.toml"))
    assert (told["secrets"], told["own_secrets"]) == (["gate"], [])
    assert VALUE.encode() not in base64.b64decode(json.loads(await published())["payload"])
    key = DeploymentKey.read(tmp_path / "key")
    assert key.id == made["id"]
    one = machine(sealed_with=key)
    await one.following.look()
    assert one.following.in_force.secrets == {"gate": VALUE}
    assert VALUE not in repr(one.following.in_force)
    assert await machine("c").refused() == "cluster.key"
    assert await machine("d", sealed_with=DeploymentKey(b"o" * 32)).refused() == "cluster.key"
    # A secret that is not there is not published silently without.
    await person.yoi("secret", "remove", "gate", "-w", str(person.folder))
    again = await person.publish("--host-config", str(tmp_path / "host.toml"))
    assert again["error"]["code"] == "secret.missing"


async def test_what_cannot_be_confirmed_in_time_is_over(person, machine, client):
    await person.publish()
    one = machine()
    await one.following.look()
    bucket = await client.jetstream().key_value("desk_conf")
    good = (await bucket.get("publication")).value
    told, over = [], asyncio.Event()
    await bucket.put("publication", b"rubbish")
    one.step = 3
    await asyncio.wait_for(
        one.following.follow(lambda *_: None, lambda fault: told.append(fault.code), over), 60
    )
    assert told == ["cluster.publication", "cluster.stale"]
    await bucket.put("publication", good)
    await one.following.look()


async def test_a_publisher_whose_clock_is_off_publishes_nothing(person, machine, monkeypatch):
    there = now_ms()
    monkeypatch.setattr("yoi.cluster.bulletin.wall_ms", lambda: there + 3_600_000)
    assert (await person.publish())["error"]["code"] == "cluster.clock"
    assert await machine().refused() == "cluster.publication"
