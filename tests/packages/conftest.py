"""A workspace with a package in its store."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from yoi.packages import (
    EnabledEntry,
    Enablement,
    Package,
    PackageInventory,
    Resolution,
    Store,
    add_to_store,
    read_package,
    resolve,
)
from yoi.packages.edits import write_enablement
from yoi.testing.trusting import entry_as_requested

TOML = (Path(__file__).parent / "echo.toml").read_text()


@dataclass
class Workspace:
    root: Path

    @property
    def source(self) -> Path:
        return self.root / "echo"

    @property
    def config(self) -> Path:
        return self.root / ".yoi" / "yoi.toml"

    @property
    def store(self) -> Store:
        return Store.project(self.root)

    def write(self, toml: str = TOML, plugin: str = "class Echo:\n    pass\n") -> Package:
        """Write the source folder and put it into the store."""
        self.source.mkdir(exist_ok=True)
        (self.source / "plugin.toml").write_text(toml)
        (self.source / "plugin.py").write_text(plugin)
        return add_to_store(self.source, self.store)

    def entry(self, package: Package, **changes) -> EnabledEntry:
        """Return an entry that grants all that the package asks for."""
        return replace(entry_as_requested(package, package.id), **changes)

    def enable(self, package: Package, **changes) -> EnabledEntry:
        entry = self.entry(package, **changes)
        write_enablement(self.config, entry)
        return entry

    def resolve(self) -> Resolution:
        return resolve(PackageInventory.of(self.store), Enablement.load(self.config))

    def stored(self) -> Package:
        return read_package(self.store.path / "echo.yoi-plugin", "project")


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)
