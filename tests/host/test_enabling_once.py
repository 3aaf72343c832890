"""`yoi plugin enable` beside the watch of the files, in a real host: one change is applied once."""

import asyncio
from dataclasses import replace

import pytest
from tests.runtime.heard import Heard
from tests.runtime.hosts import quiet_host

from yoi.cli.main import run
from yoi.decisions.port import AccountDecisions
from yoi.host import Host, Parts, operator_files
from yoi.host.showing import to_nobody
from yoi.runtime.service_manager import Applied, ServiceManager
from yoi.runtime.worker_manager import WorkerManager
from yoi.runtime.workspace import operator_file
from yoi.serving.watching import Watch
from yoi.types import SystemClock

MANIFEST = """
schema_version = 1
id = "greeter"
name = "Greeter"
version = "0.1.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Greeter"

[[services]]
name = "greeter"
description = "Greets"
"""

PLUGIN = """
from yoi_pdk import Plugin

class Greeter(Plugin):
    def start(self, ctx, config):
        pass
"""


WORKER = """
[[workers]]
name = "w{}"
model = "scripted"
script = [{{ say = "x" }}]
"""


class CountedWatch(Watch):
    """The watch of the host's files; counts the changes that the host has taken wholly."""

    def __init__(self, *args, **named) -> None:
        super().__init__(*args, **named)
        self.taken = 0
        self._told = False
        self._progress = asyncio.Event()

    async def changed(self, within: float | None = None) -> bool:
        # The host asks again once it has applied what was told.
        if self._told:
            self.taken += 1
            self._progress.set()
        self._told = await super().changed(within)
        return self._told

    async def after(self, taken: int) -> None:
        """Return once more than `taken` changes were taken."""
        async with asyncio.timeout(60):
            while self.taken <= taken:
                self._progress.clear()
                await self._progress.wait()


@pytest.fixture
def applied(monkeypatch) -> list[Applied]:
    """What each reload of any host of this test did."""
    done: list[Applied] = []
    apply = ServiceManager.apply

    async def recording(manager, *about):
        result = await apply(manager, *about)
        done.append(result)
        return result

    monkeypatch.setattr(ServiceManager, "apply", recording)
    return done


@pytest.fixture
def folder(tmp_path):
    plugin = tmp_path / "greeter"
    plugin.mkdir()
    (plugin / "plugin.toml").write_text(MANIFEST)
    (plugin / "plugin.py").write_text(PLUGIN)
    return plugin


@pytest.fixture
def workspace(tmp_path):
    made = tmp_path / "ws"
    operator_file(made).parent.mkdir(parents=True)
    operator_file(made).write_text("")
    return made


def save(workspace, text: str) -> None:
    """Write yoi.toml so that a reader finds the old text or the new, never a part."""
    aside = workspace / "aside"
    aside.write_text(text)
    aside.chmod(0o600)
    aside.replace(operator_file(workspace))


def did(applied: Applied) -> list[str]:
    """Return what a reload changed."""
    return [*applied.started, *applied.stopped, *applied.restarted, *applied.regranted]


async def yoi(*words: object) -> int:
    return await asyncio.to_thread(run, [str(word) for word in words])


async def test_enable_and_the_watch_of_the_files_together_apply_a_change_once(
    workspace, folder, applied, monkeypatch
):
    watches: list[CountedWatch] = []

    def watching(*args, **named) -> CountedWatch:
        watches.append(CountedWatch(*args, **named))
        return watches[-1]

    async def settled() -> None:
        """Return once all that a command has written and asked for is applied."""
        before = watches[0].taken
        save(workspace, operator_file(workspace).read_text())
        await watches[0].after(before)
        await host.reload()

    monkeypatch.setattr(operator_files, "Watch", watching)
    heard, clock, decisions = Heard(), SystemClock(), AccountDecisions()
    parts = replace(Parts.runtime(workspace, clock, decisions), showing=to_nobody)
    async with Host(
        workspace, decisions=decisions, on_diagnostic=heard.append, parts=parts, clock=clock
    ) as host:
        at = ("--yes", "--workspace", workspace)
        assert await yoi("plugin", "enable", folder, "--grant-requested", *at) == 0
        await settled()
        assert [did(one) for one in applied if did(one)] == [["greeter"]]
        assert applied[0].started == []
        # The start of the host, the command or the watch or both, the save with nothing new.
        assert len(applied) >= 3
        assert [service.name for service in host.services] == ["greeter"]
        assert len([one for one in heard if "running: it has started" in one.message]) == 1
        assert await yoi("plugin", "disable", "greeter", *at) == 0
        await settled()
        assert [did(one) for one in applied if did(one)] == [["greeter"], ["greeter"]]
        assert list(host.services) == []


async def test_of_parallel_reloads_the_newest_plan_is_applied_last(workspace, monkeypatch):
    ran: list[int] = []
    apply = WorkerManager.apply

    async def recording(manager, profiles, faulty):
        await apply(manager, profiles, faulty)
        ran.extend(int(profile.name.removeprefix("w")) for profile in profiles)

    monkeypatch.setattr(WorkerManager, "apply", recording)
    async with quiet_host(workspace, lambda _: None) as host:

        async def seen() -> int:
            """Return what had been applied last when a reload is done."""
            await host.reload()
            return ran[-1]

        asked = []
        for number in range(8):
            save(workspace, WORKER.format(number))
            asked.append(asyncio.create_task(seen()))
            for _ in range(number):  # some meet while one runs, some before it has begun
                await asyncio.sleep(0)
        answers = await asyncio.gather(*asked)
        assert all(answer >= number for number, answer in enumerate(answers))
        assert ran == sorted(ran)
        assert ran[-1] == 7
        assert [worker.name for worker in host.workers] == ["w7"]
