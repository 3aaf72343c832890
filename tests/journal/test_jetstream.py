"""M1: what only a remote engine can do: die, hang, be somebody else's, answer late."""

import asyncio
import contextlib
import os
import signal
from dataclasses import replace

import nats
import pytest
from tests.journal.nats import cluster, journal_of, running, settings_of
from tests.peers import PYTHON

from yoi.errors import ClusterError, JournalError
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import _most_telling, connected
from yoi.journal.log import Append, LogBounds, Record
from yoi.limits import Limits

WIDE = LogBounds(records=100_000, size_bytes=1 << 30)
QUICK = Limits(journal_settle_ms=1_500, journal_request_ms=400)


def put(log: str, after: int, *records: bytes) -> Append:
    return Append(log, after, records, WIDE)


async def whole(journal: JetStreamJournal, log: str) -> list[bytes]:
    found: list[Record] = []
    while batch := await journal.read(log, found[-1].seq if found else 0, 1000):
        found += batch
    return [record.data for record in found]


async def test_what_was_acknowledged_is_there_after_kill_9(tmp_path):
    with running(tmp_path) as server:
        settings = settings_of(server)
        journal = await journal_of(settings)
        for number in range(20):
            await journal.commit([put("a", number, b"%d" % number), put("b", number, b"x")])
        server.stop(signal.SIGKILL)
        server.start()
        again = await journal_of(settings)
        assert await whole(again, "a") == [b"%d" % number for number in range(20)]
        # The same journal goes on by itself.
        await journal.commit([put("a", 20, b"20")])
        assert (await again.status("a")).head == 21
        await journal.close()
        await again.close()


async def test_of_two_writers_one_is_refused_at_each_position(nats_server):
    settings = settings_of(nats_server)
    one, other = await journal_of(settings), await journal_of(settings)
    accepted: list[bytes] = []
    refused: list[str] = []

    async def write(journal: JetStreamJournal, mark: bytes) -> None:
        for number in range(60):
            head = (await journal.status("a")).head
            record = b"%s%d" % (mark, number)
            try:
                await journal.commit([put("a", head, record)])
            except JournalError as exc:
                refused.append(exc.code)
            else:
                accepted.append(record)

    await asyncio.gather(write(one, b"x"), write(other, b"y"))
    stored = await whole(one, "a")
    assert set(refused) <= {"journal.conflict"}
    assert sorted(stored) == sorted(accepted)
    assert len(set(stored)) == len(stored) == (await other.status("a")).head
    await one.close()
    await other.close()


async def test_a_commit_of_unknown_end_is_settled_and_stored_once(tmp_path):
    """A hung server takes what waits in its socket when it goes on: it is asked by the id."""
    with running(tmp_path) as server:
        journal = await journal_of(settings_of(server), replace_limits(settle=20_000))
        await journal.commit([put("a", 0, b"first")])
        server.pause()
        waiting = asyncio.ensure_future(journal.commit([put("a", 1, b"second")]))
        done, _ = await asyncio.wait([waiting], timeout=1.5)
        assert not done
        server.go_on()
        await waiting
        assert await whole(journal, "a") == [b"first", b"second"]
        await journal.commit([put("a", 2, b"third"), put("b", 0, b"x")])
        assert (await journal.status("a")).head == 3
        await journal.close()


async def there(journal: JetStreamJournal) -> None:
    """Return when the journal is connected again."""
    for _ in range(100):  # each of them waits for a second and a half
        with contextlib.suppress(JournalError):
            await journal.status("a")
            return


def replace_limits(settle: int) -> Limits:
    return Limits(journal_settle_ms=settle, journal_request_ms=400)


async def test_a_server_that_is_gone_refuses_in_time_and_nothing_is_sent_later(tmp_path):
    with running(tmp_path) as server:
        settings = settings_of(server)
        journal = await journal_of(settings, QUICK)
        await journal.commit([put("a", 0, b"first")])
        server.stop(signal.SIGKILL)
        with pytest.raises(JournalError) as caught:
            await journal.commit([put("a", 1, b"lost")])
        assert caught.value.code == "journal.io"
        with pytest.raises(JournalError):
            await journal.read("a", 0, 1)
        server.start()
        again = await journal_of(settings)
        head = (await again.status("a")).head
        await there(journal)
        await journal.commit([put("a", head, b"next")])
        stored = await whole(again, "a")
        assert stored == [b"first", b"next"]
        await journal.close()
        await again.close()


async def test_a_commit_over_the_servers_bound_is_refused_and_the_connection_lives(nats_server):
    journal = await journal_of(settings_of(nats_server))
    with pytest.raises(JournalError) as caught:
        await journal.commit([put("a", 0, *[b"x" * (4 << 20)] * 2)])
    assert caught.value.code == "journal.too_large"
    await journal.commit([put("a", 0, b"x" * (4 << 20))])
    assert await whole(journal, "a") == [b"x" * (4 << 20)]
    await journal.close()


async def test_a_full_stream_refuses_and_drops_nothing(nats_server):
    settings = replace(settings_of(nats_server), size_bytes=100_000)
    journal = await journal_of(settings)
    stored, refused = 0, ""
    while not refused:
        try:
            await journal.commit([put("a", stored, b"x" * 2_000)])
            stored += 1
        except JournalError as exc:
            refused = exc.code
    assert refused == "journal.full"
    assert len(await whole(journal, "a")) == stored
    await journal.trim("a", stored)
    await journal.commit([put("a", stored, b"y")])
    assert await whole(journal, "a") == [b"y"]
    await journal.close()


async def test_a_trimmed_log_is_never_empty_and_keeps_its_fence(nats_server):
    settings = settings_of(nats_server)
    journal = await journal_of(settings)
    await journal.commit([put("a", 0, b"1", b"2")])
    await journal.trim("a", 2)
    stale = await journal_of(settings)
    with pytest.raises(JournalError) as caught:
        await stale.commit([put("a", 0, b"stale")])
    assert caught.value.code == "journal.conflict"
    assert (await stale.status("a")).head == 2
    await journal.close()
    await stale.close()


async def test_a_stream_that_was_deleted_by_hand_is_said_and_not_made_anew(nats_server):
    settings = settings_of(nats_server)
    journal = await journal_of(settings, QUICK)
    await journal.commit([put("a", 0, b"1")])
    other = await nats.connect(nats_server.url)
    await other.jetstream().delete_stream(settings.stream)
    await other.close()
    with pytest.raises(JournalError) as caught:
        await journal.commit([put("a", 1, b"2")])
    assert caught.value.code == "journal.io"
    await journal.close()


@pytest.mark.parametrize(
    "config",
    [{"max_age": 60}, {"max_msgs": 10}, {"discard": "old"}, {"subjects": ["other.>"]}],
)
async def test_a_stream_that_could_lose_records_is_refused(nats_server, config):
    settings = settings_of(nats_server)
    client = await nats.connect(nats_server.url)
    base = {"subjects": [f"{settings.logs}>"], "discard": "new", "allow_direct": True}
    await client.jetstream().add_stream(name=settings.stream, **{**base, **config})
    await client.close()
    with pytest.raises(ClusterError) as caught:
        await journal_of(settings)
    assert caught.value.code == "cluster.stream"


async def test_nobody_there_is_said_in_time():
    settings = replace(settings_of(), servers=("nats://127.0.0.1:1",))
    with pytest.raises(ClusterError) as caught:
        await connected(settings, Limits(journal_settle_ms=500))
    assert caught.value.code == "cluster.unreachable"


async def test_wrong_credentials_are_said(tmp_path):
    with running(tmp_path, "authorization { user: u, password: p }") as server:
        settings = settings_of(server)
        with pytest.raises(ClusterError) as caught:
            await connected(settings, QUICK)
        assert caught.value.code == "cluster.credentials"
        right = replace(settings, user="u", password="p")
        journal = await journal_of(right)
        await journal.commit([put("a", 0, b"x")])
        await journal.close()
        assert "p" not in repr(right).split("user='u'")[1]


def test_a_refused_sign_in_is_told_before_the_cut_that_follows():
    faults = ["'Authorization Violation'", "nats: unexpected EOF"]
    assert _most_telling(faults, "") == _most_telling(faults[:1], "reset") == faults[0]
    assert _most_telling([], "reset") == "reset"
    assert _most_telling([], "") == "no server answered"


async def test_a_server_without_jetstream_is_said(tmp_path):
    with running(tmp_path, jetstream=False) as server:
        with pytest.raises(ClusterError) as caught:
            await connected(settings_of(server), QUICK)
        assert caught.value.code == "cluster.no_jetstream"


async def test_the_oldest_supported_server_does_the_same(tmp_path):
    """Another minor version, where it is installed (`make peers`)."""
    binary = PYTHON.with_name("nats-server")
    if not binary.exists():
        missing = "another version of nats-server is not installed: run `make peers`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with running(tmp_path, binary=binary) as server:
        settings = settings_of(server)
        one, other = await journal_of(settings), await journal_of(settings)
        await one.commit([put("a", 0, b"1", b"2"), put("b", 0, b"x")])
        with pytest.raises(JournalError):
            await other.commit([put("a", 0, b"stale"), put("c", 0, b"y")])
        assert await other.logs() == ["a", "b"]
        await other.trim("a", 1)
        await one.commit([put("a", 2, b"3")])
        assert await whole(other, "a") == [b"2", b"3"]
        await one.close()
        await other.close()


@pytest.mark.slow
async def test_a_dead_leader_of_three_loses_nothing(tmp_path):
    with cluster(tmp_path) as servers:
        settings = replace(settings_of(*servers), replicas=3)
        journal = await journal_of(settings, Limits(journal_settle_ms=30_000))
        stored = 0

        async def write(count: int) -> None:
            nonlocal stored
            for _ in range(count):
                await journal.commit([put("a", stored, b"%d" % stored)])
                stored += 1

        await write(50)
        client = await connected(settings)
        info = await client.jetstream().stream_info(settings.stream)
        leader = next(one for one in servers if f"/{info.cluster.leader}" in str(one.folder))
        await client.close()
        leader.stop(signal.SIGKILL)
        await write(50)
        leader.start()
        await write(50)
        assert await whole(journal, "a") == [b"%d" % number for number in range(150)]
        await journal.close()
