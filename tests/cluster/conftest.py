"""A test of several machines leaves no process behind, whatever it ends with."""

import contextlib

import pytest
from tests.cluster.test_takeover import HostProcess


@pytest.fixture(autouse=True)
async def _processes_end():
    yield
    for child in HostProcess.children:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        await child.communicate()
    HostProcess.children.clear()
