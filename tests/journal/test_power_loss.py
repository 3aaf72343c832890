"""D1: what a power cut may leave of the journal's files, and what is read of it.

Where `survives = "power_loss"`, a commit that returned has been flushed; of what was written after
that, a disk may keep any sectors and lose the others. So each file is put together from both.
"""

import random
import shutil
import subprocess
import sys

import pytest

from yoi.journal.log import Append, LogBounds
from yoi.journal.sqlite import SqliteJournal, Survives

WIDE = LogBounds(records=1000, size_bytes=1 << 24)
SECTOR = 512
COMMITS = 6
HEAD, FRAME = 32, 24 + 4096


def record(n):
    return bytes([n]) * (900 * n)


async def written(path, commits=COMMITS):
    """Return the journal after `commits`, each of one record, and its files before each."""
    journal = await SqliteJournal.open(path, Survives.POWER_LOSS)
    images = []
    for n in range(commits):
        images.append(image(path))
        await journal.commit([Append("a", n, [record(n + 1)], WIDE)])
    images.append(image(path))
    return journal, images


def image(path):
    """Return the bytes of the file and of its write-ahead log."""
    wal = path.with_name(path.name + "-wal")
    return path.read_bytes(), wal.read_bytes() if wal.exists() else b""


async def read_from(folder, database, wal):
    """Return how many commits are there in these files; all of them must be whole."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / "j.db"
    path.write_bytes(database)
    path.with_name("j.db-wal").write_bytes(wal)
    journal = await SqliteJournal.open(path)
    try:
        records = await journal.read("a", 0, 100)
        status = await journal.status("a")
        assert [one.seq for one in records] == list(range(1, len(records) + 1))
        assert [one.data for one in records] == [record(one.seq) for one in records]
        assert (status.head, status.records) == (len(records), len(records))
        # And it can be gone on with.
        await journal.commit([Append("a", status.head, [b"next"], WIDE)])
    finally:
        await journal.close()
    return len(records)


@pytest.mark.parametrize("survives", list(Survives))
async def test_a_commit_is_flushed_as_it_is_promised(tmp_path, survives):
    journal = await SqliteJournal.open(tmp_path / "j.db", survives)

    def asked(connection):
        return [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode")
        ]

    level = {Survives.PROCESS_CRASH: 1, Survives.POWER_LOSS: 2}[survives]
    assert await journal._do(asked, writes=False) == [level, "wal"]
    await journal.close()


async def test_a_torn_tail_costs_what_was_not_committed_and_nothing_else(tmp_path):
    """The write-ahead log cut off anywhere in what its last commit wrote."""
    journal, images = await written(tmp_path / "j.db")
    (database, before), (_, after) = images[-2:]
    await journal.close()
    assert len(after) > len(before) > HEAD
    cuts = {len(before) + n for n in range(0, len(after) - len(before), 257)}
    for start in range(len(before), len(after), FRAME):
        cuts |= set(range(start, min(start + 26, len(after))))
        cuts |= {start + FRAME - 1, start + FRAME}
    for cut in sorted(cut for cut in cuts if cut <= len(after)):
        found = await read_from(tmp_path / "cut", database, after[:cut])
        assert found == (COMMITS if cut == len(after) else COMMITS - 1), cut


async def test_any_sectors_of_an_unflushed_commit_may_be_lost(tmp_path):
    """Lost, or never more than zeros: the commit is whole or it is not there."""
    journal, images = await written(tmp_path / "j.db")
    (database, before), (_, after) = images[-2:]
    await journal.close()
    rng = random.Random(1)
    whole = 0
    for _ in range(120):
        torn = bytearray(after[: rng.randrange(len(before), len(after) + 1)])
        for at in range(len(before) // SECTOR * SECTOR, len(torn), SECTOR):
            if rng.random() < 0.3:
                start = max(at, len(before))
                end = min(at + SECTOR, len(torn))
                torn[start:end] = rng.choice([bytes(end - start), rng.randbytes(end - start)])
        found = await read_from(tmp_path / "torn", database, bytes(torn))
        assert found in (COMMITS - 1, COMMITS)
        whole += found == COMMITS
    assert whole < 120


async def test_what_moves_into_the_file_may_be_half_there(tmp_path):
    """While SQLite moves its write-ahead log into the file, the log holds all of it still."""
    path = tmp_path / "j.db"
    journal, images = await written(path)
    wal = images[-1][1]
    await journal.close()
    moved = path.read_bytes()
    assert len(moved) > len(images[-1][0])
    rng = random.Random(2)
    for _ in range(60):
        mixed = bytearray(moved)
        for at in range(0, len(mixed), SECTOR):
            if rng.random() < 0.5:
                piece = images[-1][0][at : at + SECTOR]
                mixed[at : at + SECTOR] = piece.ljust(min(SECTOR, len(mixed) - at), b"\0")
        assert await read_from(tmp_path / "mixed", bytes(mixed), wal) == COMMITS


COMMITTING = """
import asyncio, pathlib, sys
from yoi.journal.log import Append, LogBounds
from yoi.journal.sqlite import SqliteJournal, Survives

async def main():
    journal = await SqliteJournal.open(pathlib.Path(sys.argv[1]), Survives[sys.argv[2]])
    for n in range(20):
        await journal.commit([Append("a", n, [b"x"], LogBounds(1000, 1 << 20))])

asyncio.run(main())
import os
os._exit(0)  # without the flush of a good end
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts the flushes")
@pytest.mark.parametrize(("survives", "flushes"), [("PROCESS_CRASH", False), ("POWER_LOSS", True)])
def test_the_system_is_asked_to_flush_each_commit(tmp_path, survives, flushes):
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", tmp_path / "calls"]
    child = [sys.executable, "-c", COMMITTING, tmp_path / "j.db", survives]
    done = subprocess.run([*command, *child], capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr[:200]}")
    calls = (tmp_path / "calls").read_text().count("sync(")
    assert (calls >= 20) is flushes, calls
