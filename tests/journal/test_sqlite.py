"""What only a file can get wrong."""

import asyncio
import contextlib
import sqlite3
import stat
import subprocess

import pytest

from yoi.errors import JournalError
from yoi.journal.log import Append, LogBounds, LogStatus, Record
from yoi.journal.sqlite import SqliteJournal, Survives
from yoi.limits import Limits

WIDE = LogBounds(records=1000, size_bytes=1_000_000)


async def test_what_was_committed_is_there_after_a_restart(tmp_path):
    path = tmp_path / "deep" / "j.db"
    journal = await SqliteJournal.open(path, Survives.POWER_LOSS)
    await journal.commit([Append("a", 0, [b"x", b""], WIDE)])
    await journal.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    again = await SqliteJournal.open(path)
    assert await again.read("a", 0, 10) == [Record(1, b"x"), Record(2, b"")]
    await again.close()


async def test_close_finishes_what_was_accepted(tmp_path):
    journal = await SqliteJournal.open(tmp_path / "j.db")
    commits = [
        asyncio.ensure_future(journal.commit([Append("a", n, [b"x"], WIDE)])) for n in range(50)
    ]
    await asyncio.sleep(0)  # each commit has been handed over
    await journal.close()
    await asyncio.gather(*commits)
    again = await SqliteJournal.open(tmp_path / "j.db")
    assert (await again.status("a")).head == 50
    await again.close()


async def test_two_processes_never_interleave(tmp_path):
    first = await SqliteJournal.open(tmp_path / "j.db")
    second = await SqliteJournal.open(tmp_path / "j.db")
    await first.commit([Append("a", 0, [b"first"], WIDE)])
    with pytest.raises(JournalError) as caught:
        await second.commit([Append("a", 0, [b"second"], WIDE)])
    assert caught.value.code == "journal.conflict"
    await second.commit([Append("a", 1, [b"second"], WIDE)])
    assert [r.data for r in await first.read("a", 0, 9)] == [b"first", b"second"]
    await first.close()
    await second.close()


async def test_a_busy_file_is_an_error_and_not_a_hang(tmp_path):
    path = tmp_path / "j.db"
    journal = await SqliteJournal.open(path, limits=Limits(journal_busy_ms=10))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError) as caught:
        await journal.commit([Append("a", 0, [b"x"], WIDE)])
    assert caught.value.code == "journal.io"
    other.execute("ROLLBACK")
    other.close()
    await journal.commit([Append("a", 0, [b"x"], WIDE)])
    await journal.close()


async def test_foreign_files_are_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.db"
    text.write_bytes(b"these are my notes, and no database at all" * 100)
    foreign = tmp_path / "foreign.db"
    other = sqlite3.connect(foreign)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    for path in (text, foreign):
        before = path.read_bytes()
        with pytest.raises(JournalError) as caught:
            await SqliteJournal.open(path)
        assert caught.value.code == "journal.format"
        assert path.read_bytes() == before


async def test_a_newer_format_is_refused(tmp_path):
    await (await SqliteJournal.open(tmp_path / "j.db")).close()
    other = sqlite3.connect(tmp_path / "j.db")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(JournalError) as caught:
        await SqliteJournal.open(tmp_path / "j.db")
    assert caught.value.code == "journal.format"


FORMAT_1 = """
CREATE TABLE logs (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  head INTEGER NOT NULL, records INTEGER NOT NULL, size INTEGER NOT NULL
) STRICT;
CREATE TABLE records (
  log INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO logs VALUES (1, 'a', 5, 3, 4), (2, 'b', 0, 0, 0);
INSERT INTO records VALUES (1, 3, x'78'), (1, 4, x''), (1, 5, x'797a7a');
PRAGMA application_id = 0x596F694A;
PRAGMA user_version = 1;
"""


async def test_a_journal_of_the_first_format_is_gone_on_with(tmp_path):
    path = tmp_path / "j.db"
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.executescript(FORMAT_1)
    for _ in range(2):
        journal = await SqliteJournal.open(path)
        assert await journal.read("a", 0, 9) == [Record(3, b"x"), Record(4, b""), Record(5, b"yzz")]
        assert await journal.status("a") == LogStatus(head=5, records=3, size_bytes=4)
        await journal.close()
    journal = await SqliteJournal.open(path)
    await journal.commit([Append("a", 5, [b"6", b"", b"8"], WIDE)])
    await journal.trim("a", 6)
    assert await journal.read("a", 0, 9) == [Record(7, b""), Record(8, b"8")]
    assert await journal.status("a") == LogStatus(head=8, records=2, size_bytes=1)
    await journal.close()
    with contextlib.closing(sqlite3.connect(path)) as made:
        # What an older Yoi looks at before it touches anything.
        assert made.execute("PRAGMA user_version").fetchone() != (1,)


async def damaged(path, log, script):
    """Return a journal whose `log` has two records, opened after `script` changed its file."""
    journal = await SqliteJournal.open(path)
    await journal.commit([Append(log, 0, [b"1", b"23"], WIDE)])
    await journal.close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.executescript(script)
    return await SqliteJournal.open(path)


@pytest.mark.parametrize("sizes", ["x''", "x'0100'", "x'0100000001000000'", "x'ffffffff03000000'"])
async def test_a_row_that_does_not_add_up_is_refused(tmp_path, sizes):
    journal = await damaged(tmp_path / "j.db", "a", f"UPDATE records SET sizes = {sizes}")
    for asked in (journal.read("a", 0, 9), journal.read("a", 1, 9)):
        with pytest.raises(JournalError) as caught:
            await asked
        assert caught.value.code == "journal.format"
    await journal.close()


async def test_a_folder_in_the_way_is_an_io_error(tmp_path):
    with pytest.raises(JournalError) as caught:
        await SqliteJournal.open(tmp_path)
    assert caught.value.code == "journal.io"


async def test_a_slow_disk_refuses_instead_of_queueing_for_ever(tmp_path):
    path = tmp_path / "j.db"
    journal = await SqliteJournal.open(path, limits=Limits(journal_waiting=3))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    commits = [
        asyncio.ensure_future(journal.commit([Append(f"l{n}", 0, [b"x"], WIDE)])) for n in range(20)
    ]
    await asyncio.wait(commits, return_when=asyncio.FIRST_COMPLETED)
    refused = [c for c in commits if c.done()]
    assert refused
    assert all(c.exception().code == "journal.full" for c in refused)
    other.execute("ROLLBACK")
    other.close()
    await asyncio.gather(*commits, return_exceptions=True)
    assert any(c.exception() is None for c in commits)
    await journal.close()


async def test_a_writer_that_has_written_before_is_fenced_by_another_process(tmp_path):
    """What it knows of the log is older than the file: the statement itself finds that out."""
    first = await SqliteJournal.open(tmp_path / "j.db")
    second = await SqliteJournal.open(tmp_path / "j.db")
    narrow = LogBounds(records=4, size_bytes=1_000_000)
    await first.commit([Append("a", 0, [b"1"], narrow)])
    await second.commit([Append("a", 1, [b"2", b"3"], narrow)])
    for after in (1, 2, 4):
        with pytest.raises(JournalError) as caught:
            await first.commit([Append("a", after, [b"x"], narrow)])
        assert caught.value.code == "journal.conflict"
    await first.commit([Append("a", 3, [b"4"], narrow)])
    # Room that another process has made is room.
    await second.trim("a", 3)
    await first.commit([Append("a", 4, [b"5", b"6"], narrow)])
    assert [record.data for record in await second.read("a", 0, 9)] == [b"4", b"5", b"6"]
    assert (await second.status("a")).records == 3
    with pytest.raises(JournalError) as caught:
        await second.commit([Append("a", 4, [b"x"], narrow)])
    assert caught.value.code == "journal.conflict"
    await first.close()
    await second.close()


OTHERS = {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END",
    "a view": "DROP TABLE records; CREATE VIEW records AS SELECT 1 log, 1 seq, x'' data, 1 sizes",
    "no table": "DROP TABLE logs",
    "loose types": "DROP TABLE records; CREATE TABLE records (log, seq, data, sizes)",
    "a column more": "ALTER TABLE logs ADD COLUMN more TEXT",
    "format 1 with the columns of 2": "PRAGMA user_version = 1",
}


@pytest.mark.parametrize("what", OTHERS)
async def test_other_tables_than_a_journals_are_refused_and_told_what_to_do(tmp_path, what):
    path = tmp_path / "a b" / "j.db"
    await (await SqliteJournal.open(path)).close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.executescript(OTHERS[what])
    before = path.read_bytes()
    with pytest.raises(JournalError) as caught:
        await SqliteJournal.open(path)
    assert caught.value.code == "journal.format"
    assert path.read_bytes() == before
    # The command that the error names is what a person does next.
    command = caught.value.hint.splitlines()[-1]
    await asyncio.to_thread(subprocess.run, command, shell=True, check=True)
    await (await SqliteJournal.open(path)).close()
    assert (path.parent / "aside" / "j.db").read_bytes() == before


FULL = 2**63 - 1


@pytest.mark.parametrize(
    "damage",
    [
        f"UPDATE logs SET head = {FULL}; UPDATE records SET seq = {FULL}",
        "UPDATE records SET data = zeroblob(40000000)",
        "UPDATE records SET sizes = zeroblob(40000000)",
    ],
)
async def test_a_log_that_no_journal_wrote_stops_no_other(tmp_path, damage):
    journal = await damaged(tmp_path / "j.db", "bad", damage)
    head = (await journal.status("bad")).head
    outcomes = await asyncio.gather(
        journal.commit([Append("good", 0, [b"1"], WIDE)]),
        journal.commit([Append("bad", head, [b"x"], WIDE)]),
        journal.read("bad", 0, 9),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert "journal.format" in {getattr(one, "code", None) for one in outcomes[1:]}
    await journal.commit([Append("good", 1, [b"2"], WIDE)])
    assert await journal.read("good", 0, 9) == [Record(1, b"1"), Record(2, b"2")]
    await journal.close()


async def test_a_damaged_page_is_told_as_damage(tmp_path):
    path = tmp_path / "j.db"
    journal = await SqliteJournal.open(path)
    await journal.commit([Append("a", 0, [b"1" * 2000], WIDE)])
    await journal.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    path.write_bytes(data)
    journal = await SqliteJournal.open(path)
    with pytest.raises(JournalError) as caught:
        await journal.read("a", 0, 9)
    assert caught.value.code == "journal.format"
    assert "aside" in caught.value.hint
    await journal.close()
