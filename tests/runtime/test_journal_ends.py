"""D1, D6: a journal that is full, read-only, damaged or locked, on real files, and then is not.

The service stops accepting and says so, loses nothing that it accepted, and goes on by itself.
"""

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from tests.runtime.fakes import FakeInstance
from tests.runtime.test_durable import World, counting

from yoi.core.lifecycle import Lifecycle
from yoi.errors import JournalError
from yoi.journal.sqlite import SqliteJournal
from yoi.limits import Limits

SOON = Limits(
    retry_first_ms=0, service_log_retry_ms=1, service_log_retry_max_ms=5, journal_busy_ms=5
)


@contextmanager
def small_disk(folder, size):
    """Mount a file system of `size` bytes; only root may, and not everywhere."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root mounts")
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


class Running:
    """A durable service on a journal in `path`, with frames coming in."""

    def __init__(self, path):
        self.path = path
        self.world = World()
        self.texts = []

    async def __aenter__(self):
        self.journal = await SqliteJournal.open(self.path, limits=SOON)
        self.bench = self.world.bench(
            self.journal, *(FakeInstance(counting) for _ in range(400)), limits=SOON, max_events=800
        )
        await self.bench.service.start()
        self.bench.link.arrive()
        await self.hear(5)
        await self.world.workers.has(5)
        return self

    async def __aexit__(self, *exc):
        await self.bench.service.stop()
        await self.journal.close()

    async def hear(self, count, size=2000):
        for _ in range(count):
            text = f"{len(self.texts)}-" + "x" * size
            self.texts.append(text)
            self.bench.link.receive(text)
            await asyncio.sleep(0)

    async def refused(self):
        """Let frames come until the journal takes no more; return the code that says so."""
        async with asyncio.timeout(60):
            while self.bench.service.lifecycle is Lifecycle.RUNNING:
                assert len(self.texts) < 300
                await self.hear(2)
                # The journal's thread has done what was asked of it before.
                with suppress(JournalError):
                    await self.journal.status("service:echo")
        assert "pause" in self.bench.link.log
        return self.bench.service.status().last_error_code

    async def goes_on(self):
        """Wait until everything that came was handled, once and in order."""
        async with asyncio.timeout(60):
            while len(self.world.workers.told) < len(self.texts):
                await self.world.workers.has(len(self.texts))
        assert self.bench.service.lifecycle is Lifecycle.RUNNING
        assert list(self.world.workers.told.values()) == self.texts
        assert self.bench.service.status().counters.dropped == 0


async def test_a_full_disk(tmp_path):
    with small_disk(tmp_path / "disk", "400k") as disk:
        async with Running(disk / "j.db") as running:
            assert await running.refused() == "journal.io"
            await running.hear(3)
            remount(disk, "size=64m")
            await running.goes_on()


async def test_files_that_take_nothing_more(tmp_path):
    """As after a fault of the disk: what is open stays open, and no write succeeds."""
    async with Running(tmp_path / "j.db") as running:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            assert await running.refused() == "journal.io"
            await running.hear(3)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, ignored)
        await running.goes_on()


async def test_a_journal_in_a_folder_that_nothing_can_be_written_to(tmp_path):
    with small_disk(tmp_path / "disk", "64m") as disk:
        async with Running(disk / "j.db") as running:
            pass
        remount(disk, "ro")
        with pytest.raises(JournalError) as refused:
            await SqliteJournal.open(disk / "j.db", limits=SOON)
        assert refused.value.code == "journal.io"
        remount(disk, "rw")
        again = await SqliteJournal.open(disk / "j.db", limits=SOON)
        assert (await again.status("service:echo")).head > 5
        await again.close()
        assert len(running.world.workers.told) == 5


LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


async def test_a_journal_that_another_process_locks(tmp_path):
    path = tmp_path / "j.db"
    async with Running(path) as running:
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOCKING, str(path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert await other.stdout.readline() == b"locked\n"
        assert await running.refused() == "journal.io"
        await running.hear(3)
        other.stdin.close()
        await other.wait()
        await running.goes_on()


def ask(pragma, connection):
    connection.execute(f"PRAGMA {pragma}").fetchone()


async def test_a_journal_that_was_damaged_while_the_host_was_away(tmp_path):
    """It is left as it is, and nothing runs; put right, everything that was accepted is there."""
    path, copy = tmp_path / "j.db", tmp_path / "copy.db"
    async with Running(path) as running:
        running.bench.turns.hold()
        await running.hear(3)
        while running.bench.service._durability._writer._under_way:
            await running.bench.service._durability._writer.turned()
        # What a host leaves that is killed now.
        checkpoint = partial(ask, "wal_checkpoint(TRUNCATE)")
        await running.journal._do(checkpoint, writes=False)
        data = path.read_bytes()
        running.bench.turns.release()
    copy.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    world = World()
    for content, code in ((None, ("journal.io", "journal.format")), (data, (None,))):
        if content is not None:
            copy.write_bytes(content)
        instance = FakeInstance(counting)
        try:
            journal = await SqliteJournal.open(copy, limits=SOON)
        except JournalError as exc:
            assert exc.code in code  # noqa: PT017  one of the ways it is refused
            continue
        bench = world.bench(journal, instance, limits=SOON)
        await bench.service.start()
        assert bench.service.status().last_error_code in code
        if content is None:
            assert instance.calls == bench.links == []
        else:
            async with asyncio.timeout(60):
                await world.workers.has(3)
            assert list(world.workers.told.values()) == running.texts[5:]
        await bench.service.stop()
        await journal.close()
