"""The runner is built and compiled once per machine, before the first test that needs it."""

import pytest

from yoi.limits import LIMITS
from yoi.runtime.paths import cache_dir
from yoi.sandbox import Sandbox


@pytest.fixture(scope="session")
def compiled_runner() -> None:
    """Make sure that services load from the cache, as on any machine after its first run."""
    Sandbox(LIMITS, cache_dir()).warm_up()
