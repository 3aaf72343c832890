"""M7: what could lose what a host accepts is refused, with the remedy, before it is accepted."""

from dataclasses import replace

import pytest
from tests.journal.nats import journal_of, running, settings_of

from yoi.errors import ClusterError, JournalError
from yoi.journal import jetstream_server
from yoi.journal.jetstream_server import connected
from yoi.journal.log import Append, LogBounds
from yoi.limits import LIMITS, Limits

QUICK = Limits(journal_settle_ms=1_200, journal_request_ms=300)
WIDE = LogBounds(10_000, 1 << 30)
USERS = """authorization {{ users = [
  {{ user: all, password: p }}
  {{ user: rt, password: p, permissions: {{ publish: {{ allow: [{allowed}] }} }} }}
] }}"""
READS = '"$JS.API.INFO", "$JS.API.STREAM.INFO.>", "$JS.API.STREAM.MSG.GET.>"'


async def test_a_stream_that_was_deleted_by_hand_is_not_begun_anew(nats_server):
    settings = settings_of(nats_server)
    journal = await journal_of(settings, QUICK)
    await journal.commit([Append("service:a", 0, [b"accepted"], WIDE)])
    client = await connected(settings)
    js = client.jetstream()
    units = await js.create_key_value(bucket=f"{settings.prefix}_units")
    await units.put("service.a", b"{}")
    await js.delete_stream(settings.stream)
    with pytest.raises(ClusterError, match="is gone") as caught:
        await journal_of(settings)
    assert caught.value.code == "cluster.stream"
    assert "stream restore" in caught.value.hint
    # The one that runs appends nothing to what is not there, nor to what somebody made anew.
    with pytest.raises(JournalError):
        await journal.commit([Append("service:a", 1, [b"lost"], WIDE)])
    await js.delete_key_value(f"{settings.prefix}_units")
    await (await journal_of(settings)).close()
    with pytest.raises(JournalError) as refused:
        await journal.commit([Append("service:a", 1, [b"lost"], WIDE)])
    assert refused.value.code == "journal.conflict"
    await journal.close()
    await client.close()


async def test_rights_that_are_missing_are_named(tmp_path):
    for allowed, stage in ((READS, "append"), ('"yoi.>"', "ask")):
        extra = USERS.format(allowed=allowed)
        with running(tmp_path / stage, extra) as server:
            settings = replace(settings_of(server), user="all", password="p")
            await (await journal_of(settings)).close()
            settings = replace(settings, user="rt")
            if stage == "ask":
                with pytest.raises(ClusterError, match=r"(?i)\$JS\.API\.INFO") as caught:
                    await connected(settings, QUICK)
                assert caught.value.code == "cluster.credentials"
                continue
            journal = await journal_of(settings, QUICK)
            with pytest.raises(JournalError, match=r"(?i)permissions violation for publish"):
                await journal.commit([Append("service:a", 0, [b"x"], WIDE)])
            assert await journal.logs() == []
            await journal.close()


async def test_an_account_without_room(tmp_path):
    where = f'jetstream {{ store_dir: "{tmp_path}/js", max_file: 32M, max_mem: 1M }}'
    with running(tmp_path / "n", where, jetstream=False) as server:
        settings = replace(settings_of(server), size_bytes=1 << 30)
        with pytest.raises(ClusterError) as caught:
            await journal_of(settings)
        assert caught.value.code == "cluster.full"
        journal = await journal_of(replace(settings_of(server), size_bytes=1 << 20))

        async def filled():
            for head in range(100):
                await journal.commit([Append("service:a", head, [b"x" * 100_000], WIDE)])

        with pytest.raises(JournalError) as refused:
            await filled()
        assert refused.value.code == "journal.full"
        # Nothing that was acknowledged made room for it.
        assert len(await journal.read("service:a", 0, 100)) > 5
        assert (await journal.read("service:a", 0, 1))[0].seq == 1
        await journal.close()


@pytest.mark.parametrize("ahead", [3_600_000, -3_600_000])
async def test_a_machine_whose_clock_is_an_hour_off(nats_server, monkeypatch, ahead):
    settings = settings_of(nats_server)
    await (await journal_of(settings)).close()
    there = jetstream_server.wall_ms()
    monkeypatch.setattr(jetstream_server, "wall_ms", lambda: there + ahead)
    with pytest.raises(ClusterError) as caught:
        await journal_of(settings)
    assert caught.value.code == "cluster.clock"
    assert "NTP" in caught.value.hint
    monkeypatch.setattr(jetstream_server, "wall_ms", lambda: there + LIMITS.cluster_skew_ms // 2)
    await (await journal_of(settings)).close()
