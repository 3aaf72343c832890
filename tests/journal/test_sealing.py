"""M4: records sealed with the deployment's key: unreadable, unforgeable, bound to their place."""

from dataclasses import replace

import pytest
from tests.journal.nats import settings_of

from yoi.errors import ClusterError, JournalError
from yoi.journal.copying import copy, summary
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.jetstream_server import connected
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.limits import LIMITS
from yoi.secrets.deployment import DeploymentKey

KEY, OTHER = DeploymentKey(b"k" * 32), DeploymentKey(b"o" * 32)
WIDE = LogBounds(100, 10_000)


async def test_who_reads_the_servers_learns_nothing_and_who_writes_is_not_believed(
    nats_server,
):
    settings = settings_of(nats_server, seal=KEY)
    journal = await JetStreamJournal.open(settings)
    await journal.commit([Append("service:a", 0, [b"said in a room", b"second"], WIDE)])
    await journal.commit([Append("service:b", 0, [b"of another log"], WIDE)])
    await journal.trim("service:b", 1)
    client = await connected(settings)
    js = client.jetstream()
    stored = [await js.get_msg(settings.stream, seq) for seq in (1, 3)]
    for message in stored:
        assert b"room" not in message.data
        assert b"log" not in message.data
    assert (await journal.read("service:a", 0, 9))[0].data == b"said in a room"

    async def planted(data, head):
        """Let somebody with the servers append what `data` says to a log of its own."""
        log = f"service:planted{head}{len(data)}"
        headers = {"Yoi-Status": f"{head} {head} 9"}
        await js.publish(settings.logs + log, data, headers=headers)
        with pytest.raises(JournalError) as caught:
            await journal.read(log, 0, 9)
        return caught.value.code

    # In clear, another log's, and sealed with another key.
    assert await planted(b"\0\0\0\x02{}", 1) == "journal.sealed"
    assert await planted(stored[0].data, 2) == "journal.sealed"
    assert await planted(OTHER.seal("log service:x", "1 1 9", b""), 1) == "journal.sealed"
    # The log's own message again, as if it were a later one.
    headers = {"Yoi-Status": "4 4 40"}
    await js.publish(f"{settings.logs}service:a", stored[0].data, headers=headers)
    with pytest.raises(JournalError) as caught:
        await journal.read("service:a", 0, 9)
    assert caught.value.code == "journal.sealed"
    await client.close()
    await journal.close()


@pytest.mark.parametrize(
    ("begun", "now", "words"),
    [(KEY, OTHER, "sealed with the key"), (KEY, None, "has none"), (None, KEY, "without a key")],
)
async def test_another_key_or_none_opens_nothing(nats_server, begun, now, words):
    settings = settings_of(nats_server, seal=begun)
    await (await JetStreamJournal.open(settings)).close()
    with pytest.raises(ClusterError, match=words) as caught:
        await JetStreamJournal.open(replace(settings, seal=now))
    assert caught.value.code == "cluster.key"
    assert "key_file" in caught.value.hint


async def test_a_copy_is_sealed_on_its_way_and_opened_on_the_way_back(nats_server):
    source, back = MemoryJournal(), MemoryJournal()
    await source.commit([Append("service:a", 0, [b"x" * 30] * 9, WIDE)])
    await source.trim("service:a", 4)
    target = await JetStreamJournal.open_to_copy(settings_of(nats_server, seal=KEY), LIMITS)
    assert await copy(source, target) == await copy(target, back) == await summary(source)
    await target.close()
