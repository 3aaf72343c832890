"""S7: a version that was refused is not what is left after a restart of the host."""

from dataclasses import replace
from functools import partial

import pytest
from tests.runtime.heard import Heard

from yoi.decisions.port import AccountDecisions
from yoi.decisions.recording import enable
from yoi.host import Host, Parts
from yoi.host.showing import to_nobody
from yoi.packages import Store, add_to_store, read_package
from yoi.serving.watching import Watch
from yoi.testing.trusting import entry_as_requested
from yoi.types import SystemClock

MANIFEST = """
schema_version = 1
id = "greeter"
name = "Greeter"
version = "0.1.{version}"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Greeter"

[[services]]
name = "greeter"
description = "Greets"

[[ingresses]]
name = "events"

[[tools]]
name = "greet"
description = "Greets"
input_schema = {{ type = "object" }}
"""
PLUGIN = """
from yoi_pdk import Plugin, tool

class Greeter(Plugin):
    def start(self, ctx, config):
        {start}

    @tool
    def greet(self):
        return "hello from {version}"
"""


class Operator:
    """Enables versions as `yoi plugin enable` does."""

    def __init__(self, folder) -> None:
        self.workspace = folder / "w"
        (self.workspace / ".yoi").mkdir(parents=True)
        self._source = folder / "source"
        self._source.mkdir()

    def enable(self, version: int, start: str = "pass") -> None:
        source = self._source
        (source / "plugin.toml").write_text(MANIFEST.format(version=version))
        (source / "plugin.py").write_text(PLUGIN.format(version=version, start=start))
        package = read_package(source)
        entry = replace(entry_as_requested(package, "greeter"), reference=f"project:{package.id}")
        store = Store.project(self.workspace)
        enable(self.workspace, entry, copying=lambda: add_to_store(source, store))

    @property
    def earlier(self) -> list[str]:
        """The versions from before that are kept."""
        with AccountDecisions().undisturbed(self.workspace) as decisions:
            return [one["version"] for one in decisions.earlier.values()]

    @property
    def packages(self) -> list[str]:
        return [path.name for path in (self.workspace / ".yoi" / "earlier").glob("*")]


@pytest.fixture
def operator(tmp_path) -> Operator:
    return Operator(tmp_path)


def running(operator, heard=None) -> Host:
    """Return a host that reloads when it is told."""
    folder, clock, decisions = operator.workspace, SystemClock(), AccountDecisions()
    parts = replace(
        Parts.runtime(folder, clock, decisions),
        showing=to_nobody,
        watch=partial(Watch, folder, lambda _: False),
    )
    listener = None if heard is None else heard.append
    return Host(folder, decisions=decisions, on_diagnostic=listener, parts=parts, clock=clock)


async def greeting(host) -> str:
    return str(await host.services["greeter"].call_tool("greet", {}))


async def test_a_refused_version_is_refused_again_after_a_restart_and_the_one_before_runs(operator):
    operator.enable(1)
    async with running(operator) as host:
        assert "hello from 1" in await greeting(host)
        operator.enable(2, "raise ValueError('not today')")
        applied = await host.reload()
        assert [one.version for one in applied.refused] == ["0.1.2"]
        assert "hello from 1" in await greeting(host)
    assert operator.earlier == ["0.1.1"]
    again = Heard()
    async with running(operator, again) as host:
        status = host.services.status("greeter")
        assert (status.version, status.refused_version.version) == ("0.1.1", "0.1.2")
        assert "service.version_refused" in again.codes
        assert "hello from 1" in await greeting(host)
        operator.enable(3)
        await host.reload()
        assert "hello from 3" in await greeting(host)
    # It has answered: nothing of the first is left.
    assert (operator.earlier, operator.packages) == ([], [])
    heard = Heard()
    async with running(operator, heard) as host:
        assert "hello from 3" in await greeting(host)
        assert host.services.status("greeter").refused_version is None
    assert "notice.replaced" not in heard.codes


async def test_another_package_in_the_place_of_the_one_before_is_not_run(operator, tmp_path):
    """The workspace may hold what it likes: what was decided is a digest."""
    operator.enable(1)
    async with running(operator) as host:
        assert "hello from 1" in await greeting(host)
        operator.enable(2, "raise ValueError('not today')")
        await host.reload()
    (kept,) = (operator.workspace / ".yoi" / "earlier").glob("*")
    planted = Operator(tmp_path / "other")
    planted.enable(1, "print('planted')")
    (package,) = (planted.workspace / ".yoi" / "plugins").glob("*")
    kept.write_bytes(package.read_bytes())
    heard = Heard()
    async with running(operator, heard) as host:
        assert host.services.status("greeter").version == "0.1.2"
    assert not [one for one in heard if "planted" in one.message]
    assert (operator.earlier, operator.packages) == ([], [])
