"""M1: a new owner's fence: what an earlier owner still appends is refused, wherever it stands."""

import msgspec
import pytest
from tests.journal.nats import journal_of, settings_of

from yoi.errors import JournalError
from yoi.journal.log import Append, LogBounds
from yoi.limits import LIMITS
from yoi.protocol import service_log
from yoi.protocol.published import PublicationMark
from yoi.protocol.service_log import Begun, Handled
from yoi.runtime.service_log import ServiceLog, folded
from yoi.testing import ManualClock
from yoi.workers import items as it
from yoi.workers.checkpoint import Checkpoint, decode, encode
from yoi.workers.history import History

BOUNDS = LogBounds(100, 100_000)


@pytest.fixture
async def journals(server):
    settings = settings_of(server)
    both = await journal_of(settings), await journal_of(settings)
    yield both
    for one in both:
        await one.close()


async def opened(journal, epoch, by=None):
    return await ServiceLog.open("echo", journal, ManualClock(), lambda _: None, epoch=epoch, by=by)


async def replayed(owning):
    """Return whether the log is not owned, because its last owner went by a newer publication."""
    with pytest.raises(JournalError) as caught:
        await owning
    assert caught.value.code == "cluster.replayed"
    assert caught.value.fields == {"serial": 3, "seen": 4}


async def test_an_earlier_owner_of_a_service_writes_nothing_more_at_any_position(journals):
    stale, fresh = journals
    before = await opened(stale, 4)
    await before.append([Handled("e.1", state={"k": "1"})])
    after = await opened(fresh, 5)
    assert after.picture.state == {"k": "1"}
    with pytest.raises(JournalError) as caught:
        await before.append([Handled("e.2", state={"k": "stale"})])
    assert caught.value.code == "journal.conflict"
    for position in range(after.picture.head):
        # As a writer that remembers any moment of its turn.
        with pytest.raises(JournalError) as caught:
            await stale.commit([Append("service:echo", position, [b"late"], BOUNDS)])
        assert caught.value.code == "journal.conflict"
    with pytest.raises(JournalError) as caught:
        await opened(stale, 4)
    assert caught.value.code == "journal.fenced"
    assert caught.value.fields["epoch"] == 5
    await after.append([Handled("e.3", state={"k": "2"})])
    assert (await folded(fresh, "service:echo", "echo")).state == {"k": "2"}


async def test_what_lands_between_the_fold_and_the_fence_is_folded(journals):
    stale, fresh = journals
    before = await opened(stale, 4)
    commit = fresh.commit
    late = [before]

    async def slow(appends):
        while late:
            await late.pop().append([Handled("e.1", state={"k": "just in time"})])
        await commit(appends)

    fresh.commit = slow
    after = await opened(fresh, 5)
    assert after.picture.state == {"k": "just in time"}
    with pytest.raises(JournalError):
        await before.append([Handled("e.2")])


async def test_a_log_is_not_owned_under_an_older_publication_than_before(journals):
    one, other = journals
    old, new = PublicationMark("d", 3), PublicationMark("d", 4)
    await (await opened(one, 1, old)).close()
    log = await opened(one, 2, new)
    head = log.picture.head
    await replayed(opened(other, 3, old))
    assert (await other.status("service:echo")).head == head
    # Not after a checkpoint, when what was before it is gone; nor where one owner named none.
    await log.append([Handled("e.1", state={"k": "1"})])
    await log._checkpoint()
    await log.close()
    await replayed(opened(other, 3, old))
    await (await opened(other, 3)).close()
    await replayed(opened(one, 4, old))
    # Another deployment counts by itself: a journal that was copied to it.
    assert (await opened(one, 5, PublicationMark("e", 1))).picture.by.serial == 1


async def test_a_worker_is_not_owned_under_an_older_publication_than_before(journals):
    first, other = (History(one, "bot", lambda _: None) for one in journals)
    old, new = PublicationMark("d", 3), PublicationMark("d", 4)
    async with first.changing, other.changing:
        await first.own(1, 0, new)
        await replayed(other.own(2, 0, old))
        await other.own(2, 0)
        await replayed(first.own(3, 0, old))
        await first.own(3, 0, new)
    made = Checkpoint.of(first.transcript, b"newest")
    assert decode(encode(made)).transcript(LIMITS, frozenset()).by == new


def test_records_of_an_older_yoi_name_no_publication_and_it_reads_ours():
    assert service_log.decode(b'{"type":"begun","service":"a","at_ms":1}', 1).by is None

    class Before(msgspec.Struct, tag_field="type", tag="begun"):
        service: str
        at_ms: int

    data = service_log.encode(Begun("a", 1, by=PublicationMark("d", 4)))
    assert msgspec.json.decode(data, type=Before).service == "a"


async def test_an_earlier_owner_of_a_worker_writes_nothing_more(journals):
    stale, fresh = (History(one, "bot", lambda _: None) for one in journals)
    async with stale.changing, fresh.changing:
        await stale.own(1, 0)
        await stale.commit([it.UserInput(at_ms=1, text="a")])
        await fresh.own(2, 0)
        with pytest.raises(JournalError) as caught:
            await stale.commit([it.UserInput(at_ms=2, text="stale")])
        assert caught.value.code == "journal.conflict"
        with pytest.raises(JournalError) as caught:
            await stale.own(1, 0)
        assert caught.value.code == "journal.fenced"
        # The same owner, started again, adds nothing.
        head = fresh.transcript.head
        await fresh.own(2, 0)
        assert fresh.transcript.head == head
    assert [type(one.item) for one in fresh.transcript.window] == [
        it.Owned,
        it.UserInput,
        it.Owned,
    ]
