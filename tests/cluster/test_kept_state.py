"""M2: what a service without a durable ingress has spent and kept outlives the machine, kill -9."""

import asyncio
import json
import signal
import sqlite3

import pytest
from tests.cluster.test_takeover import WAIT_SECONDS, Gateway, HostProcess, code
from tests.journal.nats import running
from tests.runtime.conftest import compiled_runner

from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings
from yoi.runtime.service_log import folded

__all__ = ["compiled_runner"]


class Machine(HostProcess):
    """`yoi serve` with a plugin in memory, which may dial once a day."""

    def __init__(self, folder, gateway, nats):
        super().__init__(folder, gateway, nats, "kept")
        manifest = self.folder / "source/plugin.toml"
        text = manifest.read_text().replace('durability = "disk"\n', "")
        manifest.write_text(f"{text}reconnect = {{ per_day = 1 }}\n")

    async def waiting(self):
        """Return the connection once it waits for its next dial."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                child = await self._run("service", "status", "echo", "--json")
                out, _ = await child.communicate()
                for connection in json.loads(out).get("service", {}).get("connections", ()):
                    if connection["state"] == "waiting":
                        return connection


async def logged(nats):
    """Return what the log of the service adds up to, once it has state and dials."""
    journal = await JetStreamJournal.open(NatsSettings((nats.url,), "kept", 1, 67108864))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                picture = await folded(journal, "service:echo", "echo")
                if picture.state and picture.dials:
                    return picture
                await asyncio.sleep(0.05)
    finally:
        await journal.close()


@pytest.mark.slow
async def test_a_takeover_dials_no_more_than_the_day_allows(tmp_path, compiled_runner):
    with running(tmp_path / "nats") as nats:
        async with Gateway() as gateway:
            one, other = (Machine(tmp_path / name, gateway, nats) for name in "ab")
            await asyncio.gather(one.enable(), other.enable())
            await one.start()
            await gateway.until(lambda: gateway.open)
            await gateway.say("m0")
            await gateway.until(lambda: "1:m0" in gateway.heard)
            picture = await logged(nats)
            assert picture.state == {"count": "1"}
            assert [dials for _, dials in picture.dials.values()] == [1]
            one.send(signal.SIGKILL)
            await one.ended()
            await other.start()
            await other.line(code("notice.unit_taken"))
            connection = await other.waiting()
            # Until the next day: one dial was made on the machine that is gone.
            assert len(gateway.sockets) == 1
            assert "T00:00:00." in connection["next_dial_at"]
            kept = sqlite3.connect(other.folder / ".yoi/state.db")
            rows = kept.execute("SELECT value FROM state WHERE service = 'echo'").fetchall()
            kept.close()
            assert rows == [("1",)]
            other.send(signal.SIGTERM)
            assert await other.ended() == 0
