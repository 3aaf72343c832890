"""U3: docs/how-to/move-the-journal.md followed with a real host and NATS, to JetStream and back."""

import asyncio
import json
import re
import shlex
import signal
from pathlib import Path

import pytest
from tests.cli.test_cluster import configure, hold
from tests.cluster.test_takeover import Gateway, HostProcess
from tests.journal.nats import running
from tests.runtime.conftest import compiled_runner

from yoi.cli.main import run
from yoi.host import journal_copy
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings
from yoi.journal.log import Append, LogBounds

__all__ = ["compiled_runner"]
PAGE = (Path(__file__).parents[2] / "docs/how-to/move-the-journal.md").read_text()


def commands(heading):
    """Return the commands of a section, each as its words."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [shlex.split(line)[1:] for line in re.findall(r"^ *\$ (yoi .+)", section, re.M)]


(TRUST, TO_JETSTREAM), (TO_SQLITE,) = commands("To JetStream"), commands("Back to one machine")


@pytest.fixture
def told(capsys, tmp_path, monkeypatch):
    """Carry out a command in the host's folder; return its JSON, or its error's code."""
    monkeypatch.setenv("YOI_STATE_HOME", str(tmp_path / "a/state"))

    async def call(*words):
        capsys.readouterr()
        await asyncio.to_thread(run, [*words, "-w", str(tmp_path / "a/w"), "--json"])
        answer = json.loads(capsys.readouterr().out)
        return answer["error"]["code"] if "error" in answer else answer

    return call


@pytest.mark.slow
async def test_the_pages_steps_carry_everything_over_and_back(tmp_path, compiled_runner, told):
    async def decide():
        shown = await told(*TRUST, "--show")
        await told(*TRUST, "--digest", shown["digest"])

    async def says(number):
        """Start the host and let it handle an event."""
        sockets = len(gateway.sockets)
        host._child = await host._run("serve", "--json")
        await gateway.until(lambda: len(gateway.sockets) > sockets)
        await gateway.say("hello")
        await gateway.until(lambda: f"{number}:hello" in gateway.heard)

    async def stop():
        host.send(signal.SIGTERM)
        assert await host.ended() == 0

    with running(tmp_path / "nats") as nats:
        async with Gateway() as gateway:
            host = HostProcess(tmp_path / "a", gateway, nats, "moved")
            file, journal = host.folder / ".yoi/yoi.toml", host.folder / ".yoi/journal.db"
            cluster, _, rest = file.read_text().partition("[observation]")
            file.write_text(f"[observation]{rest}")
            await host.enable()
            await decide()
            alone = file.read_text()
            await says(1)
            file.write_text(cluster + alone)
            await decide()
            assert await told(*TO_JETSTREAM) == "control.in_use"
            await stop()
            there = await told(*TO_JETSTREAM)
            await says(2)
            journal.rename(tmp_path / "old.db")
            assert await told(*TO_SQLITE) == "control.in_use"
            await stop()
            back = await told(*TO_SQLITE)
            assert back["records"] > there["records"] > 0
            assert await told(*TO_SQLITE) == "journal.not_empty"
            file.write_text(alone)
            await says(3)
            await stop()
    # The count is the plugin's state: it went along, twice.
    assert [text for text in gateway.heard if ":hello" in text] == [f"{n}:hello" for n in (1, 2, 3)]


async def test_a_lease_anywhere_keeps_the_copy_out(tmp_path, told):
    with running(tmp_path / "nats") as nats:
        workspace = tmp_path / "a/w"
        workspace.mkdir(parents=True)
        assert await told(*TO_SQLITE) == "cluster.none"
        await asyncio.to_thread(configure, workspace, nats.url)
        await hold(nats.url)
        assert await told(*TO_SQLITE) == "cluster.in_use"
        assert not (workspace / ".yoi/journal.db").exists()
        assert await told(*TO_JETSTREAM) == "journal.io"


@pytest.mark.parametrize("step", ["_remove", "_put_in_place"])
async def test_a_folder_swapped_in_the_midst_of_a_copy_gets_nothing(
    step, tmp_path, told, monkeypatch
):
    workspace, outside = tmp_path / "a/w", tmp_path / "outside"
    workspace.mkdir(parents=True)
    outside.mkdir()
    planted = [outside / f"journal.copy.db{ending}" for ending in ("", "-wal")]
    for path in planted:
        path.write_bytes(b"of somebody else")
    with running(tmp_path / "nats") as nats:
        await asyncio.to_thread(configure, workspace, nats.url)
        journal = await JetStreamJournal.open(NatsSettings((nats.url,), "desk", 1, 67108864))
        await journal.commit([Append("a", 0, [b"x"], LogBounds(10, 10))])
        await journal.close()
        real = getattr(journal_copy, step)

        def swapped(*paths):
            (workspace / ".yoi").rename(workspace / "moved")
            (workspace / ".yoi").symlink_to(outside)
            real(*paths)

        with monkeypatch.context() as patched:
            patched.setattr(journal_copy, step, swapped)
            assert await told(*TO_SQLITE) == "journal.io"
        assert sorted(outside.iterdir()) == planted
        assert {path.read_bytes() for path in planted} == {b"of somebody else"}
        # The folder back in its place: the same command does it all.
        (workspace / ".yoi").unlink()
        (workspace / "moved").rename(workspace / ".yoi")
        assert (await told(*TO_SQLITE))["records"] == 1
