"""Examples run in the same sandbox as every service."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import compiled_runner

__all__ = ["compiled_runner"]


@pytest.fixture
def prepared(
    tmp_path: Path, compiled_runner: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[type[Any], Any], Any]]:
    """Return what makes the workspace of an example beside a gateway."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("YOI_STATE_HOME", str(tmp_path / "state"))
    made: list[Any] = []

    def prepare(kind: type[Any], gateway: Any) -> Any:
        folder = tmp_path / "workspace"
        folder.mkdir()
        made.append(kind(folder, gateway))
        return made[-1]

    yield prepare
    for one in made:
        for entry in one.diagnostics:  # shown by pytest where a test fails
            print(entry.code, entry.message)
