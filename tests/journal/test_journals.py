"""One conformance suite for every journal engine."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.journal.nats import new_journal

from yoi.errors import JournalError
from yoi.journal.log import Append, Journal, LogBounds, LogStatus, Record
from yoi.journal.memory import MemoryJournal
from yoi.journal.sqlite import SqliteJournal
from yoi.limits import Limits
from yoi.secrets.deployment import DeploymentKey

WIDE = LogBounds(records=1000, size_bytes=1_000_000)
LIMITS = Limits(journal_batch=8, journal_batch_bytes=100, journal_record_bytes=50, journal_logs=3)


@pytest.fixture(params=["memory", "sqlite", "jetstream", "sealed"])
async def journal(request, tmp_path):
    made: Journal
    match request.param:
        case "memory":
            made = MemoryJournal(LIMITS)
        case "sqlite":
            made = await SqliteJournal.open(tmp_path / "j.db", limits=LIMITS)
        case "sealed":
            nats_server = request.getfixturevalue("nats_server")
            made = await new_journal(nats_server, LIMITS, DeploymentKey(b"k" * 32))
        case _:
            made = await new_journal(request.getfixturevalue("nats_server"), LIMITS)
    yield made
    await made.close()


def put(log: str, after: int, *records: bytes, bounds: LogBounds = WIDE) -> Append:
    return Append(log, after, records, bounds)


async def refused(journal: Journal, code: str, *appends: Append) -> None:
    with pytest.raises(JournalError) as caught:
        await journal.commit(appends)
    assert caught.value.code == code


async def test_positions_are_contiguous_from_one(journal):
    await journal.commit([put("a", 0, b"x", b"y")])
    await journal.commit([put("a", 2, b"z")])
    assert await journal.read("a", 0, 10) == [Record(1, b"x"), Record(2, b"y"), Record(3, b"z")]
    assert await journal.read("a", 2, 10) == [Record(3, b"z")]
    assert await journal.read("a", 0, 1) == [Record(1, b"x")]
    assert await journal.read("a", 3, 10) == []
    assert await journal.status("a") == LogStatus(head=3, records=3, size_bytes=3)


async def test_an_unknown_log_is_an_empty_one(journal):
    assert await journal.read("none", 0, 10) == []
    assert await journal.status("none") == LogStatus(head=0, records=0, size_bytes=0)
    await journal.trim("none", 5)
    assert await journal.logs() == []


async def test_a_stale_writer_is_refused(journal):
    await journal.commit([put("a", 0, b"x")])
    await refused(journal, "journal.conflict", put("a", 0, b"y"))
    await refused(journal, "journal.conflict", put("a", 2, b"y"))
    assert await journal.read("a", 0, 10) == [Record(1, b"x")]


async def test_several_logs_are_committed_as_one(journal):
    await journal.commit([put("a", 0, b"x"), put("b", 0, b"y")])
    await refused(journal, "journal.conflict", put("a", 1, b"x2"), put("b", 0, b"y2"))
    await refused(journal, "journal.conflict", put("a", 1, b"1"), put("a", 2, b"2"))
    assert (await journal.status("a")).head == 1
    assert (await journal.status("b")).head == 1
    assert await journal.logs() == ["a", "b"]


@pytest.mark.parametrize("bounds", [LogBounds(2, 100), LogBounds(100, 2)])
async def test_a_full_log_refuses_until_it_is_trimmed(journal, bounds):
    await journal.commit([put("a", 0, b"x", b"y", bounds=bounds)])
    await refused(journal, "journal.full", put("a", 2, b"z", bounds=bounds))
    await journal.trim("a", 1)
    assert await journal.status("a") == LogStatus(head=2, records=1, size_bytes=1)
    await journal.commit([put("a", 2, b"z", bounds=bounds)])
    assert await journal.read("a", 0, 10) == [Record(2, b"y"), Record(3, b"z")]


async def test_trimming_everything_keeps_the_head(journal):
    await journal.commit([put("a", 0, b"x", b"y")])
    await journal.trim("a", 99)
    assert await journal.status("a") == LogStatus(head=2, records=0, size_bytes=0)
    await refused(journal, "journal.conflict", put("a", 0, b"again"))
    await journal.commit([put("a", 2, b"z")])
    assert await journal.read("a", 0, 10) == [Record(3, b"z")]


async def test_a_log_that_is_reset_is_empty_and_goes_on_from_there(journal):
    await journal.commit([put("a", 0, b"x", b"y")])
    for log in ("a", "new"):
        await journal.reset(log, 7)
        assert await journal.status(log) == LogStatus(head=7, records=0, size_bytes=0)
        assert await journal.read(log, 0, 10) == []
        await refused(journal, "journal.conflict", put(log, 2, b"stale"))
        await journal.commit([put(log, 7, b"z")])
        assert await journal.read(log, 0, 10) == [Record(8, b"z")]
    await journal.reset("c", 0)
    assert await journal.logs() == ["a", "c", "new"]
    with pytest.raises(JournalError) as caught:
        await journal.reset("one-more", 0)
    assert caught.value.code == "journal.full"


async def test_bounds_of_one_commit(journal):
    await refused(journal, "journal.too_large", put("a", 0, b"x" * 51))
    await refused(journal, "journal.too_large", put("a", 0, *[b"x"] * 9))
    await refused(journal, "journal.too_large", put("a", 0, b"x" * 50, b"x" * 50, b"x"))
    assert await journal.logs() == []


async def test_reads_are_bounded_too(journal):
    for start in range(0, 12, 4):
        await journal.commit([put("a", start, *[b"x" * 20] * 4)])
    assert len(await journal.read("a", 0, 1000)) == 5  # 100 bytes
    await journal.commit([put("b", 0, *[b"x"] * 8)])
    await journal.commit([put("b", 8, b"x")])
    assert len(await journal.read("b", 0, 1000)) == 8  # one batch


async def test_the_number_of_logs_is_bounded(journal):
    for name in "abc":
        await journal.commit([put(name, 0, b"x")])
    await refused(journal, "journal.full", put("d", 0, b"x"))
    await journal.commit([put("c", 1, b"x")])


@pytest.mark.parametrize("name", ["", ".a", "a/b", "a b", "ü", "x" * 161, "a\n"])
async def test_names_are_safe_ids(journal, name):
    await refused(journal, "journal.name", put(name, 0, b"x"))
    with pytest.raises(JournalError):
        await journal.read(name, 0, 1)


async def test_concurrent_writers_of_different_logs_all_succeed(journal):
    async def write(name: str) -> None:
        for after in range(20):
            await journal.commit([put(name, after, name.encode())])

    await asyncio.gather(*(write(name) for name in "abc"))
    for name in "abc":
        records: list[Record] = []
        while batch := await journal.read(name, len(records), 100):
            records += batch
        assert records == [Record(seq, name.encode()) for seq in range(1, 21)]


async def test_concurrent_writers_of_one_log_never_interleave(journal):
    outcomes = await asyncio.gather(
        *(journal.commit([put("a", 0, bytes([65 + i]))]) for i in range(10)),
        return_exceptions=True,
    )
    assert sum(outcome is None for outcome in outcomes) == 1
    assert all(o is None or o.code == "journal.conflict" for o in outcomes)
    assert (await journal.status("a")).head == 1


async def test_a_closed_journal_says_so(journal):
    await journal.close()
    await journal.close()
    await refused(journal, "journal.closed", put("a", 0, b"x"))
    with pytest.raises(JournalError, match="closed"):
        await journal.read("a", 0, 1)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("append"), st.sampled_from("ab"), st.lists(st.binary(max_size=20), max_size=4)
        ),
        st.tuples(st.just("trim"), st.sampled_from("ab"), st.integers(0, 20)),
    ),
    max_size=25,
)


@settings(max_examples=30)
@given(STEPS)
def test_the_engines_agree_on_every_history(tmp_path_factory, nats_server, steps):
    async def run(made: Journal) -> list[object]:
        seen: list[object] = []
        for kind, log, value in steps:
            if kind == "append":
                head = (await made.status(log)).head
                try:
                    await made.commit(
                        [Append(log, head, value, LogBounds(records=9, size_bytes=90))]
                    )
                except JournalError as exc:
                    seen.append(exc.code)
            else:
                await made.trim(log, value)
            seen += [await made.status(log), await made.read(log, 0, 100)]
        await made.close()
        return seen

    async def every() -> list[list[object]]:
        path = tmp_path_factory.mktemp("journal") / "j.db"
        return [
            await run(MemoryJournal()),
            await run(await SqliteJournal.open(path)),
            await run(await new_journal(nats_server)),
        ]

    memory, sqlite, jetstream = asyncio.run(every())
    assert memory == sqlite == jetstream
