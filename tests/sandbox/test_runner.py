"""The runner as a file: built once, kept privately, named by its sources, never half written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from yoi.errors import SandboxError
from yoi.sandbox import runner, runner_build

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A copy of what goes into the runner."""
    root = tmp_path / "checkout"
    for path in runner_build.source_files(ROOT):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    return root


@pytest.fixture
def builds(monkeypatch):
    """The folders built into, instead of 15 seconds of componentize-py each."""
    made = []

    def tool(_tool, scratch):
        made.append(sorted(p.name for p in (scratch / "source").rglob("*.py")))
        (scratch / runner_build.COMPONENT).write_bytes(b"component")

    monkeypatch.setattr(runner_build, "_componentize", tool)
    return made


@pytest.fixture
def here(monkeypatch, checkout, tmp_path):
    """Yoi as if it were installed from `checkout`, with nothing shipped in the package."""
    monkeypatch.setattr(runner_build, "find_checkout", lambda start: checkout)
    monkeypatch.setattr(runner, "_SHIPPED", tmp_path / "package" / "_runner")
    return checkout


def test_this_checkout_is_found_and_an_installation_is_not(tmp_path):
    assert runner_build.find_checkout(ROOT / "src/yoi/sandbox/runner.py") == ROOT
    installed = tmp_path / "site-packages/yoi/sandbox/runner.py"
    assert runner_build.find_checkout(installed) is None


def test_everything_that_runs_in_the_guest_is_in_the_digest():
    names = {path.as_posix() for path in runner_build.source_files(ROOT)}
    assert {
        "wit/runner/1.0.0/world.wit",
        "runner/runner_app.py",
        "runner/yoi_runner/dispatch.py",
        "pdk/python/src/yoi_pdk/__init__.py",
    } <= names
    assert not any("test_" in name or "pycache" in name for name in names)


def test_the_digest_follows_content_and_names(checkout):
    first = runner_build.source_digest(checkout)
    assert runner_build.source_digest(ROOT) == first
    (checkout / "runner/runner_app.py").write_text("#\n")
    second = runner_build.source_digest(checkout)
    shutil.move(checkout / "runner/runner_app.py", checkout / "runner/other.py")
    assert len({first, second, runner_build.source_digest(checkout)}) == 3


def test_it_is_built_once_and_kept_privately(here, builds, tmp_path):
    cache = tmp_path / "cache"
    path = runner.runner_component(cache)
    assert path.read_bytes() == b"component"
    assert runner.runner_component(cache) == path
    assert len(builds) == 1
    assert (cache / "runner").stat().st_mode & 0o777 == 0o700
    record = json.loads((path.parent / runner_build.RECORD).read_text())
    assert record["source"] == runner_build.source_digest(here) == runner.runner_version().source
    assert sorted(p.name for p in path.parent.iterdir()) == ["runner.json", "runner.wasm"]


def test_changed_sources_are_a_new_runner_and_old_ones_are_forgotten(here, builds, tmp_path):
    cache = tmp_path / "cache"
    paths = []
    for n in range(runner._KEPT + 2):
        (here / "runner/runner_app.py").write_text(f"n = {n}\n")
        paths.append(runner.runner_component(cache))
    assert len(set(paths)) == len(builds) == runner._KEPT + 2
    assert paths[-1].is_file()
    assert len([p for p in paths if p.is_file()]) == runner._KEPT


def test_half_a_build_is_not_a_build(here, builds, tmp_path):
    path = runner.runner_component(tmp_path / "cache")
    (path.parent / runner_build.RECORD).unlink()
    runner.runner_component(tmp_path / "cache")
    assert len(builds) == 2


def test_what_is_shipped_is_used_unless_the_checkout_is_newer(here, builds, tmp_path):
    shipped = tmp_path / "package" / "_runner"
    runner_build.build(here, shipped)
    assert runner.runner_component(tmp_path / "cache") == shipped / "runner.wasm"
    (here / "runner/runner_app.py").write_text("changed = 1\n")
    assert runner.runner_component(tmp_path / "cache") != shipped / "runner.wasm"


def test_an_installation_without_runner_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "_SHIPPED", tmp_path)
    monkeypatch.setattr(runner_build, "find_checkout", lambda start: None)
    for call in (runner.runner_version, lambda: runner.runner_component(tmp_path)):
        with pytest.raises(SandboxError) as caught:
            call()
        assert caught.value.code == "sandbox.runner_missing"
        assert caught.value.hint == "pip install --force-reinstall yoi"


def test_a_missing_tool_names_the_command(here, monkeypatch, tmp_path):
    monkeypatch.setattr(runner_build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SandboxError) as caught:
        runner.runner_component(tmp_path / "cache")
    assert caught.value.code == "sandbox.runner_missing"
    assert caught.value.hint == "pip install componentize-py==0.25.1"


def test_a_failing_tool_is_reported_and_leaves_nothing(here, tmp_path):
    (here / "wit/runner/1.0.0/world.wit").write_text(
        "package yoi:runner@1.0.0;\nworld runnner {}\n"
    )
    with pytest.raises(SandboxError, match="componentize-py failed") as caught:
        runner.runner_component(tmp_path / "cache")
    assert caught.value.code == "sandbox.runner_missing"
    home = tmp_path / "cache/runner" / runner_build.source_digest(here)[:32]
    assert list(home.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(here, builds, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(SandboxError, match="cannot be kept") as caught:
        runner.runner_component(tmp_path / "cache")
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")


def test_the_build_module_needs_nothing_but_the_standard_library():
    """hatch_build.py loads it where Yoi's dependencies are not installed."""
    code = f"import runpy; runpy.run_path({runner_build.__file__!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)


def test_the_label_is_one_readable_line():
    label = runner.runner_version().label
    assert label.startswith("python runner 1 (CPython 3.14.0, sources ")
    assert label.isprintable()
