"""U3: a journal copied into another engine: positions, trims, interruptions, differences."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.journal.nats import settings_of

from yoi.errors import JournalError
from yoi.journal.copying import copy, summary
from yoi.journal.jetstream import JetStreamJournal
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.journal.sqlite import SqliteJournal
from yoi.limits import LIMITS

WIDE = LogBounds(1 << 40, 1 << 40)


async def filled(journal):
    """Fill a journal with what real ones hold: whole logs, trimmed ones, emptied ones."""
    for name, count, through in (("service:a", 700, 0), ("worker:b", 40, 25), ("gone", 9, 9)):
        await journal.commit([Append(name, 0, [b"%d" % n for n in range(count)], WIDE)])
        await journal.trim(name, through)
    await journal.commit([Append("large", 0, [b"x" * 400_000] * 3 + [b"y" * 4_000_000], WIDE)])
    await journal.commit([Append("empty", 0, [], WIDE)])
    return journal


class Interrupted(Exception):
    pass


class Stops:
    """A target whose process is killed at its n-th write."""

    def __init__(self, target, writes):
        self._target, self._left = target, writes

    def __getattr__(self, name):
        method = getattr(self._target, name)
        if name in ("commit", "reset"):
            self._left -= 1
            if self._left < 0:
                raise Interrupted
        return method


async def test_to_jetstream_and_back_with_every_interruption(nats_server, tmp_path):
    source = await filled(await SqliteJournal.open(tmp_path / "j.db"))
    servers = settings_of(nats_server)
    interruptions = 0
    while True:
        target = await JetStreamJournal.open_to_copy(servers, LIMITS)
        try:
            made = await copy(source, Stops(target, 2))
        except Interrupted:
            interruptions += 1
            await target.close()
            # No host may take it for whole.
            with pytest.raises(JournalError) as caught:
                await JetStreamJournal.open(servers)
            assert caught.value.code == "journal.incomplete"
            continue
        await target.copied()
        await target.close()
        break
    assert interruptions >= 3
    journal = await JetStreamJournal.open(servers)
    back = await SqliteJournal.open(tmp_path / "back.db")
    again = await copy(journal, back)
    assert made == again == await summary(source) == await summary(back)
    assert (made.logs, made.records) == (5, 700 + 15 + 4)
    for name in await source.logs():
        assert await journal.status(name) == await source.status(name) == await back.status(name)
    # The fence goes on where the source's was.
    await journal.commit([Append("gone", 9, [b"next"], WIDE)])
    for one in (source, journal, back):
        await one.close()
    with pytest.raises(JournalError) as caught:
        await JetStreamJournal.open_to_copy(servers, LIMITS)
    assert caught.value.code == "journal.not_empty"


async def test_a_source_that_went_on_since_an_interruption_is_copied_anew():
    source, target = await filled(MemoryJournal()), MemoryJournal()
    with pytest.raises(Interrupted):
        await copy(source, Stops(target, 4))
    await source.commit([Append("service:a", 700, [b"later"], WIDE)])
    await source.trim("service:a", 300)
    assert await copy(source, target) == await summary(source)


async def test_what_differs_is_said():
    source, target = await filled(MemoryJournal()), await filled(MemoryJournal())
    await target.commit([Append("of-another", 0, [b"x"], WIDE)])
    with pytest.raises(JournalError) as caught:
        await copy(source, target)
    assert caught.value.code == "journal.differs"
    same = await filled(MemoryJournal())
    await same.trim("service:a", 700)
    await same.reset("service:a", 0)
    await same.commit([Append("service:a", 0, [b"%d" % (n + 1) for n in range(700)], WIDE)])
    with pytest.raises(JournalError) as caught:
        await copy(source, same)
    assert caught.value.code == "journal.differs"


LOGS = st.dictionaries(
    st.sampled_from("abc"),
    st.tuples(st.lists(st.binary(max_size=30), max_size=20), st.integers(0, 20)),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs=LOGS, before=LOGS)
async def test_any_journal_over_any_remains_is_the_source(tmp_path_factory, logs, before):
    source, target = MemoryJournal(), MemoryJournal()
    for journal, content in ((source, logs), (target, before)):
        for name, (records, through) in content.items():
            await journal.commit([Append(name, 0, records, WIDE)])
            await journal.trim(name, through)
    made = None
    # Only another journal's records can be in the way, and they are never mixed unnoticed.
    with contextlib.suppress(JournalError) if before else contextlib.nullcontext():
        made = await copy(source, target)
    assert made in (None, await summary(source))
