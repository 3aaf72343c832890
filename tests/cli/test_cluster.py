"""M7: `yoi cluster status` says who runs, how the servers are, and what to look at."""

import asyncio
import json

import pytest
from tests.cluster.test_tenure import Ends
from tests.journal.nats import running

from yoi.cluster.tenure import Tenure, bucket_of
from yoi.core.lease import LeaseTimes
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import NatsSettings, connected
from yoi.journal.log import Append, LogBounds
from yoi.testing.trusting import trust_workspace


@pytest.fixture
def server(tmp_path):
    with running(tmp_path / "nats") as made:
        yield made


def configure(workspace, *urls):
    (workspace / ".yoi").mkdir(exist_ok=True)
    servers = ", ".join(f'"{url}"' for url in urls)
    (workspace / ".yoi/yoi.toml").write_text(
        f'[cluster]\nnats = [{servers}]\nname = "desk"\nlease_ms = 60000\nsize_bytes = 67108864\n'
    )
    trust_workspace(workspace)


async def hold(url):
    """Do what a host does that runs, and go without a word."""
    settings = NatsSettings((url,), "desk", 1, 67108864)
    journal = await JetStreamJournal.open(settings)
    await journal.commit([Append("a", 0, [b"x"], LogBounds(10, 10))])
    await journal.close()
    client = await connected(settings)
    bucket = await bucket_of(client, "desk_leases", 60.0, 1)
    loop = asyncio.get_running_loop()
    await Tenure(bucket, "machine-a:17:abc", LeaseTimes(60.0), loop.time, Ends()).claim()
    await client.close()


def test_who_runs_and_what_to_look_at(yoi, workspace, server):
    configure(workspace, server.url, "nats://127.0.0.1:1")
    before = json.loads(yoi("cluster", "status", "--json").out)
    assert before["holder"] is None
    assert any("no host has run yet" in one for one in before["remarks"])
    asyncio.run(hold(server.url))
    told = json.loads(yoi("cluster", "status", "--json").out)
    assert (told["holder"], told["logs"], told["replicas"]) == ("machine-a:17", 1, 1)
    assert told["servers"][0]["version"].startswith("2.")
    assert told["servers"][1]["version"] is None
    assert any("127.0.0.1:1" in one for one in told["remarks"])
    assert any("one copy" in one for one in told["remarks"])
    shown = yoi("cluster", "status").out
    assert "machine-a:17" in shown
    assert "one copy" in shown


def test_a_workspace_by_itself_says_so(yoi, workspace):
    ran = yoi("cluster", "status")
    assert ran.status == 1
    assert "cluster.none" in ran.err
    assert "several-machines.md" in ran.err
