"""N2: what host.toml says of the network is read again while the host runs, and never half."""

import asyncio
import dataclasses
from functools import partial

import pytest
from tests.runtime.heard import Heard
from tests.runtime.hosts import FreshPlans

from yoi.connections import MachineNetwork
from yoi.control.client import call
from yoi.decisions.port import WholeWorkspace
from yoi.host import Host, Parts
from yoi.host.machine_file import MachineFile
from yoi.host.showing import to_nobody
from yoi.limits import LIMITS
from yoi.serving.host_settings import HostSettings
from yoi.serving.watching import Watch
from yoi.testing import ManualClock
from yoi.version import __version__

OLD = '[network]\nproxy = "http://old.example:3128"\n'
NEW = '[network]\nproxy = "http://new.example:3128"\nproxy_resolves = true\nuser_agent = "me/1"\n'


class Alerts:
    machine_fault = None


class Followed:
    """A host.toml that is looked at when a test says so."""

    def __init__(self, folder, content):
        self.path = folder / "host.toml"
        if content is not None:
            self.write(content)
        machine = (
            HostSettings.load(self.path) if content is not None else HostSettings(source=self.path)
        )
        self.network, self.alerts = MachineNetwork(machine.ways_out), Alerts()
        self.clock, self.heard = ManualClock(), []
        self.file = MachineFile(machine, self.network, self.alerts, self.heard.append, self.clock)

    def write(self, content):
        self.path.write_text(content)
        self.path.chmod(0o600)

    async def look(self, times=2):
        for _ in range(times):
            self.clock.advance(2)
            await self.file.look()

    @property
    def proxy(self):
        found = self.network.settings.proxy
        return None if found is None else found.host

    @property
    def codes(self):
        return [one.code for one in self.heard]


async def test_a_change_is_in_force_after_two_looks_and_told_once(tmp_path):
    made = Followed(tmp_path, OLD)
    await made.look()
    assert (made.proxy, made.codes) == ("old.example", [])
    made.write(NEW)
    await made.look(1)
    assert made.proxy == "old.example"
    await made.look(3)
    assert (made.proxy, made.network.settings.proxy_resolves) == ("new.example", True)
    assert made.codes == ["notice.network"]
    assert made.alerts.machine_fault is None


async def test_a_file_that_comes_later_counts(tmp_path):
    made = Followed(tmp_path, None)
    await made.look()
    made.write(NEW)
    await made.look()
    assert made.proxy == "new.example"


@pytest.mark.parametrize("damage", ["[network", '[network]\nproxy = "x"\n', "[netwrok]\n"])
async def test_what_cannot_be_read_leaves_the_old_in_force_and_is_an_alert(tmp_path, damage):
    made = Followed(tmp_path, OLD)
    made.write("# other\n" + damage)
    await made.look(4)
    assert made.proxy == "old.example"
    assert made.alerts.machine_fault.code.startswith("enablement.")
    assert [one.severity for one in made.heard] == ["warning"]
    made.write(NEW)
    await made.look()
    assert (made.proxy, made.alerts.machine_fault) == ("new.example", None)


async def test_a_file_that_others_may_write_is_not_read(tmp_path):
    made = Followed(tmp_path, OLD)
    made.write(NEW)
    made.path.chmod(0o666)
    await made.look()
    assert made.proxy == "old.example"
    assert "written by other accounts" in made.alerts.machine_fault.message
    made.path.chmod(0o600)
    await made.look()
    assert (made.proxy, made.alerts.machine_fault) == ("new.example", None)


@pytest.mark.parametrize("gone", ["deleted", "emptied"])
async def test_a_file_that_is_gone_takes_no_proxy_away(tmp_path, gone):
    made = Followed(tmp_path, OLD)
    if gone == "deleted":
        made.path.unlink()
    else:
        made.write("")
    await made.look(2)
    assert made.alerts.machine_fault is None
    made.clock.advance(LIMITS.being_written_ms / 1000)
    await made.look(2)
    assert made.proxy == "old.example"
    assert "restart the host" in made.alerts.machine_fault.hint
    made.write(OLD)
    await made.look(1)
    assert (made.proxy, made.alerts.machine_fault, made.codes) == ("old.example", None, [])


async def test_other_tables_count_from_the_next_start_and_that_is_said_once(tmp_path):
    made = Followed(tmp_path, OLD)
    made.write(OLD + "[host]\nconnections = 5\n")
    await made.look(4)
    assert made.codes == ["notice.next_start"]
    made.write(NEW + "[host]\nconnections = 5\n")
    await made.look(4)
    assert made.codes == ["notice.next_start", "notice.network"]
    assert made.proxy == "new.example"


async def test_a_running_host_takes_it_and_says_so_in_its_status(tmp_path):
    path = tmp_path / "host.toml"
    path.write_text(OLD)
    path.chmod(0o600)
    workspace = tmp_path / "w"
    (workspace / ".yoi").mkdir(parents=True)
    heard = Heard()
    parts = Parts(
        plans=FreshPlans(workspace),
        watch=partial(Watch, workspace, lambda _: False),
        showing=to_nobody,
    )
    machine = HostSettings.load(path, dataclasses.replace(LIMITS, look_ms=20))
    decisions = WholeWorkspace()
    async with Host(
        workspace, decisions=decisions, machine=machine, on_diagnostic=heard.append, parts=parts
    ):
        status = await asyncio.to_thread(call, workspace, "host.status")
        assert status["network"] == {
            "proxy": "http://old.example:3128",
            "proxy_resolves": False,
            "note": None,
            "user_agent": f"yoi/{__version__}",
        }
        path.write_text(NEW)
        await heard.until(lambda: "notice.network" in heard.codes)
        status = await asyncio.to_thread(call, workspace, "host.status")
        assert status["network"]["proxy"] == "http://new.example:3128"
        assert "the proxy, not Yoi, decides" in status["network"]["note"]
        assert status["network"]["user_agent"] == "me/1"
