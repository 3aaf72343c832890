"""M7: `yoi cluster doctor` names what is wrong with a deployment, and how to mend it."""

import asyncio
import json
from dataclasses import replace

import pytest
from tests.cli.test_cluster import configure
from tests.journal.nats import running, settings_of

from yoi.cli.main import run
from yoi.cluster import checks
from yoi.cluster.publication import Expected
from yoi.cluster.settings import ClusterSettings
from yoi.errors import ClusterError
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import connected
from yoi.journal.log import Append, LogBounds
from yoi.limits import Limits
from yoi.secrets.deployment import DeploymentKey
from yoi.secrets.publisher import PublisherKey
from yoi.testing.trusting import trust_workspace

QUICK = Limits(journal_settle_ms=1_000)


@pytest.fixture
async def servers(server):
    """A deployment in which a host has run."""
    settings = settings_of(server)
    journal = await JetStreamJournal.open(settings)
    await journal.commit([Append("service:a", 0, [b"x"], LogBounds(10, 10))])
    await journal.close()
    return settings


async def found(servers, obeyed=None, **table):
    """Return the findings by name; where there are several, the worst."""
    settings = ClusterSettings(servers.servers, servers.prefix, **table)
    order = {"ok": 0, "warn": 1, "fail": 2}
    by_name = {}
    for one in await checks.examine(settings, servers, obeyed, QUICK):
        assert one.fix or one.level == "ok" or one.name in ("logs", "fence", "leader")
        if order[one.level] >= order[by_name.get(one.name, one).level]:
            by_name[one.name] = one
    return by_name


async def levels(servers, obeyed=None, **table):
    return {name: one.level for name, one in (await found(servers, obeyed, **table)).items()}


async def test_a_sound_deployment_and_nothing_of_it_is_changed(servers):
    told = await levels(servers)
    assert told.pop("sync") == "warn"  # one copy, and how it syncs cannot be seen
    assert told == dict.fromkeys(
        ("server", "room", "logs", "clock", "key", "fence", "leases"), "ok"
    )
    journal = await JetStreamJournal.open(servers)
    assert await journal.logs() == ["service:a"]
    await journal.close()


async def test_each_setting_that_could_lose_records(servers):
    client = await connected(servers)
    subject = f"$JS.API.STREAM.UPDATE.{servers.stream}"
    told = json.loads((await client.request(f"$JS.API.STREAM.INFO.{servers.stream}")).data)
    for change in (
        {"max_age": 3_600_000_000_000},
        {"discard": "old"},
        {"max_msgs_per_subject": 5},
        {"allow_direct": False},
        {"duplicate_window": 1_000_000_000},
    ):
        answer = await client.request(subject, json.dumps({**told["config"], **change}).encode())
        assert "error" not in json.loads(answer.data)
        stream = (await found(servers))["stream"]
        assert (stream.level, next(iter(change)) in stream.message) == (
            "warn" if "duplicate_window" in change else "fail", True
        )  # fmt: skip
    await client.close()


async def test_clocks_copies_keys_and_publications(servers, monkeypatch):
    there = checks.wall_ms()
    for ahead, level in ((2_000, "warn"), (3_600_000, "fail")):
        monkeypatch.setattr(checks, "wall_ms", lambda ahead=ahead: there + ahead)
        assert (await levels(servers))["clock"] == level
    monkeypatch.undo()
    assert (await levels(servers, replicas=3))["copies"] == "warn"
    assert (await levels(servers, lease_ms=8_000))["leases"] == "fail"
    sealed = replace(servers, seal=DeploymentKey(b"k" * 32))
    assert (await levels(sealed))["key"] == "fail"
    obeyed = Expected(PublisherKey(b"p" * 32).public, servers.prefix, None)
    assert (await levels(servers, obeyed))["publication"] == "fail"


async def test_servers_that_cannot_be_used(servers, tmp_path):
    with running(tmp_path / "small", "max_payload: 1MB") as small:
        told = await found(settings_of(small))
        assert (told["max_payload"].level, told["logs"].level) == ("fail", "warn")
        assert "8MB" in told["max_payload"].fix
    with running(tmp_path / "plain", jetstream=False) as plain:
        told = await found(settings_of(plain))
        assert (told["server"].level, "jetstream" in told["server"].fix) == ("fail", True)
    gone = replace(servers, servers=(*servers.servers, "nats://127.0.0.1:1"))
    assert (await levels(gone))["server"] == "fail"


def test_the_command_says_it_and_its_status(server, tmp_path, capsys):
    configure(tmp_path, server.url)
    assert run(["cluster", "doctor", "-w", str(tmp_path)]) == 0
    assert "no host has run yet" in capsys.readouterr().out
    file = tmp_path / ".yoi/yoi.toml"
    file.write_text(file.read_text().replace("60000", "9000"))
    trust_workspace(tmp_path)
    assert run(["cluster", "doctor", "-w", str(tmp_path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert {one["name"] for one in told["checks"] if one["level"] == "fail"} == {"leases"}


@pytest.mark.parametrize(
    ("version", "taken"), [("2.11.9", False), ("2.9.10", False), ("3.0.0", True)]
)
async def test_an_old_server_is_refused_by_its_number(servers, version, taken):
    async def serve(reader, writer):
        told = {"server_id": "x", "version": version, "max_payload": 8_000_000, "headers": True}
        writer.write(b"INFO " + json.dumps(told).encode() + b"\r\n")
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        old = replace(servers, servers=(f"nats://127.0.0.1:{port}",))
        with pytest.raises(ClusterError) as caught:
            await connected(old, QUICK)
        # This one has no JetStream either.
        assert (caught.value.code != "cluster.version") is taken
