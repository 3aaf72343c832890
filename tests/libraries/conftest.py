"""An empty index and a plugin's source folder; uv looks nowhere else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from yoi.libraries import Change, Index, LibraryFolder

MANIFEST = """\
schema_version = 1
id = "relay"
name = "Relay"
version = "1.0.0"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:Relay"
"""


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory) -> Path:
    """What uv knows of the interpreter, once for all tests."""
    return tmp_path_factory.mktemp("uv")


@pytest.fixture
def wheels(tmp_path, monkeypatch, uv_cache) -> Path:
    """The folder that stands for an index: nothing is asked of any network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    config = tmp_path / "uv.toml"
    config.write_text("no-index = true\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(config))
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    return folder


@pytest.fixture
def plugin(tmp_path) -> Path:
    """A Python plugin's source folder."""
    folder = tmp_path / "relay"
    folder.mkdir()
    (folder / "plugin.toml").write_text(MANIFEST)
    (folder / "plugin.py").write_text("class Relay:\n    pass\n")
    return folder


@pytest.fixture
def index(wheels, tmp_path) -> Callable[[], Index]:
    """Return a fresh index over `wheels` for each change."""
    count = iter(range(100))

    def make() -> Index:
        scratch = tmp_path / f"scratch{next(count)}"
        scratch.mkdir()
        return Index(scratch, (wheels,))

    return make


@pytest.fixture
def added(plugin, index) -> Callable[..., Change]:
    """Add libraries to the plugin, for real."""

    def add(*wanted: str) -> Change:
        folder = LibraryFolder(plugin)
        change = folder.add(index(), wanted)
        folder.apply(change)
        return change

    return add
