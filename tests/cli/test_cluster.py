"""M7: `yoi cluster status` says who runs, how the servers are, and what to look at."""

import asyncio
import json

import pytest
from tests.cluster.test_tenure import Ends
from tests.journal.nats import running

from yoi.cluster.records import Book, Move, Record
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import Tenure
from yoi.cluster.units import buckets_of
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
    machines, units = await buckets_of(client, ClusterSettings((url,), "desk", lease_ms=60_000))
    loop = asyncio.get_running_loop()
    tenure = Tenure(machines, "machine-a", LeaseTimes(60.0), loop.time, Ends())
    await tenure.claim()
    book = Book(units)
    await book.write("service:echo", Record(
        tenure.session, "machine-a", 7, 0, "machine-b", moved=9,
        moves=(Move(0, "machine-a", "machine-b", "moved"),
               Move(0, "machine-b", "machine-a", "died")),
    ))  # fmt: skip
    await book.write("worker:w", Record("gone", "machine-b", 3, 0))
    await book.write("service:bad", Record("", "machine-b", 3, 0, barred="it ends machines"))
    await client.close()


def test_who_runs_and_what_to_look_at(yoi, workspace, server):
    configure(workspace, server.url, "nats://127.0.0.1:1")
    before = json.loads(yoi("cluster", "status", "--json").out)
    assert before["machines"] == []
    assert any("no host has run yet" in one for one in before["remarks"])
    assert "yoi cluster publish" in yoi("cluster", "leases").out
    asyncio.run(hold(server.url))
    told = json.loads(yoi("cluster", "status", "--json").out)
    assert [(one["name"], one["owns"]) for one in told["machines"]] == [("machine-a", 1)]
    assert (told["logs"], told["replicas"]) == (1, 1)
    assert told["servers"][0]["version"].startswith("2.")
    assert told["servers"][1]["version"] is None
    for words in ("127.0.0.1:1", "one copy", "service:bad runs nowhere"):
        assert any(words in one for one in told["remarks"])
    shown = yoi("cluster", "status").out
    assert "machine-a (1)" in shown
    assert "of 64 MiB, 1 copy" in shown
    assert "one copy" in shown


def test_who_owns_what_and_what_may_run_again(yoi, workspace, server):
    configure(workspace, server.url)
    asyncio.run(hold(server.url))
    told = json.loads(yoi("cluster", "leases", "--json").out)["leases"]
    assert [(one["name"], one["state"], one["machine"], one["epoch"]) for one in told] == [
        ("service:bad", "barred", "machine-b", 3),
        ("service:echo", "owned", "machine-a", 7),
        ("worker:w", "lapsed", "machine-b", 3),
    ]
    shown = yoi("cluster", "leases").out
    assert "from machine-b, which died, 1970-01-01 00:00:00 (9 moves)" in " ".join(shown.split())
    assert [(one["source"], one["target"], one["why"]) for one in told[1]["moves"]] == [
        ("machine-a", "machine-b", "moved"),
        ("machine-b", "machine-a", "died"),
    ]
    assert told[1]["moved"] == 9
    assert "it ends machines" in shown
    assert yoi("cluster", "release", "service:bad").status == 0
    told = json.loads(yoi("cluster", "leases", "--json").out)["leases"]
    assert told[0]["state"] == "free"
    ran = yoi("cluster", "release", "service:none")
    assert ran.status == 1
    assert "cluster.unit_unknown" in ran.err


def test_a_workspace_by_itself_says_so(yoi, workspace):
    ran = yoi("cluster", "status")
    assert ran.status == 1
    assert "cluster.none" in ran.err
    assert "several-machines.md" in ran.err
