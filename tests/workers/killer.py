"""Kill a working worker again and again: `python killer.py FOLDER KILLS SEED`.

Each victim is a forked process that runs one worker on a SQLite journal as fast as it can and says
on a pipe which item it knows to be committed. It is killed at a random moment; then the file must
hold a valid history that includes everything the victim was sure of. Prints a JSON summary.
"""

import asyncio
import io
import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
import traceback
from pathlib import Path
from struct import iter_unpack

from tests.workers.worlds import tool

from yoi.journal.sqlite import SqliteJournal
from yoi.protocol import events as ev
from yoi.types import SystemClock
from yoi.workers.context import model_input
from yoi.workers.items import Stored, decode_item
from yoi.workers.scripted import CallTool, Say, ScriptedEngine
from yoi.workers.setup import WorkerSetup
from yoi.workers.tools import ToolRegistry
from yoi.workers.transcript import Transcript
from yoi.workers.worker import Worker

KILLS_PER_FILE = 20
TEXT = "x" * 2000  # several pages per commit, so that a torn one would show


async def victim(path: Path, pipe: int) -> None:
    journal = await SqliteJournal.open(path)
    calls = [CallTool("echo", f'{{"text":"{TEXT}"}}'), CallTool("echo", '{"text":"b"}')]
    worker = Worker(
        WorkerSetup(
            name="w",
            instructions="",
            max_turns=3,
            engine=ScriptedEngine(lambda request: random.choice([calls, [Say(TEXT)]])),
            tools=lambda: ToolRegistry([tool()]),
            journal=journal,
            clock=SystemClock(),
        )
    )

    def sure(event: ev.Event) -> None:
        os.write(pipe, worker._driver.transcript.head.to_bytes(8, "big"))

    worker.bus.listen(sure)
    await worker.start()
    os.write(pipe, worker._driver.transcript.head.to_bytes(8, "big"))
    while True:
        if worker.status().waiting < 8:
            await worker.send("go")
        await asyncio.sleep(0)


def inspect(path: Path) -> list[Stored]:
    """Return the stored history, read without any of the journal's code; every rule is checked."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        # Killed while the file was made: SQLite has taken that back just now.
        connection.close()
        return []
    rows = connection.execute("SELECT seq, data, sizes FROM records ORDER BY seq").fetchall()
    connection.close()
    transcript = Transcript()
    stored = []
    for last, data, packed in rows:
        sizes = [len(data)] if packed is None else [one for (one,) in iter_unpack("<I", packed)]
        rest = io.BytesIO(data)
        for seq, size in enumerate(sizes, last - len(sizes) + 1):
            item = decode_item(rest.read(size))
            assert transcript.apply(item, size) == seq
            stored.append(Stored(seq, item))
        assert rest.read() == b""
    model_input(stored)
    return stored


def drain(pipe: int) -> int:
    """Return the last item the victim was sure of."""
    data = b""
    while chunk := os.read(pipe, 65536):
        data += chunk
    return int.from_bytes(data[len(data) // 8 * 8 - 8 :][:8], "big") if len(data) >= 8 else 0


def main(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    lost = items = 0
    for number in range(kills):
        path = folder / f"{number // KILLS_PER_FILE}.db"
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                asyncio.run(victim(path, writing))
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.close(writing)
        if number % 4:  # some die while they start
            select.select([reading], [], [], 10)
        time.sleep(chance.random() * 0.04)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the victim died by itself"
        sure = drain(reading)
        os.close(reading)
        if not path.exists() or path.stat().st_size == 0:
            assert sure == 0
            continue
        stored = inspect(path)
        lost += max(0, sure - len(stored))
        items = max(items, len(stored))
    print(json.dumps({"kills": kills, "lost": lost, "items": items}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
